/**
 * How many readings of each stream were refused, by day and reason, so that the owner sees it long after. Counted in
 * memory and written with the next batch: a crash loses the counts since, never a sample.
 */
import type { Database } from './database.ts';

export interface RejectCount {
  /** Start of the day on which they came, ms UTC. */
  readonly dayMs: number;
  readonly reason: string;
  readonly count: number;
}

const DAY_MS = 86_400_000;

export class RejectCounts {
  /** By stream, then by day and reason. */
  readonly #waiting = new Map<string, Map<string, number>>();

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  add(stream: string, reason: string, atMs: number, count: number): void {
    const key = `${Math.floor(atMs / DAY_MS) * DAY_MS} ${reason}`;
    const own = this.#waiting.get(stream) ?? new Map<string, number>();
    this.#waiting.set(stream, own.set(key, (own.get(key) ?? 0) + count));
  }

  forget(stream: string): void {
    this.#waiting.delete(stream);
  }

  /** Call inside a transaction, and `clear` when it has been committed. */
  write(db: Database, idOf: (stream: string) => number): void {
    const upsert = db.prepare(
      `INSERT INTO reject (day, stream, reason, count) VALUES (?, ?, ?, ?)
       ON CONFLICT (day, stream, reason) DO UPDATE SET count = count + excluded.count`,
    );
    for (const [stream, counts] of this.#waiting) {
      for (const [key, count] of counts) {
        const space = key.indexOf(' ');
        upsert.run(Number(key.slice(0, space)), idOf(stream), key.slice(space + 1), count);
      }
    }
  }

  clear(): void {
    this.#waiting.clear();
  }
}

/** Of one stream, ascending by day. */
export function readRejects(db: Database, id: number): RejectCount[] {
  return db
    .prepare('SELECT day AS dayMs, reason, count FROM reject WHERE stream = ? ORDER BY day, reason')
    .all(id) as RejectCount[];
}

/** Days that ended before `cutoffMs` go. */
export function trimRejects(db: Database, cutoffMs: number): void {
  db.prepare('DELETE FROM reject WHERE day < ?').run(Math.floor(cutoffMs) - DAY_MS);
}
