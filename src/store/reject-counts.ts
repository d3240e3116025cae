/**
 * Counts the refused readings of each stream by day and reason, so that the owner can look them up later. Counts are
 * kept in memory and written with the next batch: a crash loses the counts since the last batch, never a sample.
 */
import type { Database } from './database.ts';

export interface RejectCount {
  /** Start of the day on which the readings arrived, ms UTC. */
  readonly dayMs: number;
  readonly reason: string;
  readonly count: number;
}

const DAY_MS = 86_400_000;

/** By stream, then by day and reason. */
type Counts = Map<string, Map<string, number>>;

export class RejectCounts {
  private waiting: Counts = new Map();
  /** Counts of a transaction whose commit failed: the database may contain them nevertheless. */
  private attempted: { readonly batch: string; readonly counts: Counts } | null = null;

  get isEmpty(): boolean {
    return this.waiting.size === 0 && this.attempted === null;
  }

  add(stream: string, reason: string, atMs: number, count: number): void {
    addTo(this.waiting, stream, `${Math.floor(atMs / DAY_MS) * DAY_MS} ${reason}`, count);
  }

  forget(stream: string): void {
    this.waiting.delete(stream);
  }

  /**
   * Call inside the transaction that also stores `batch`; call `settled` after its commit.
   * @param last the last batch in the database: prevents adding counts twice after a commit that was reported as failed
   */
  write(db: Database, batch: string, last: string | null, idOf: (stream: string) => number): void {
    const counts = this.waiting;
    if (this.attempted !== null && this.attempted.batch !== last)
      for (const [stream, own] of this.attempted.counts)
        for (const [key, count] of own) addTo(counts, stream, key, count);
    this.attempted = { batch, counts };
    this.waiting = new Map();
    const upsert = db.prepare(
      `INSERT INTO reject (day, stream, reason, count) VALUES (?, ?, ?, ?)
       ON CONFLICT (day, stream, reason) DO UPDATE SET count = count + excluded.count`,
    );
    for (const [stream, own] of counts) {
      for (const [key, count] of own) {
        const space = key.indexOf(' ');
        upsert.run(Number(key.slice(0, space)), idOf(stream), key.slice(space + 1), count);
      }
    }
  }

  settled(): void {
    this.attempted = null;
  }
}

function addTo(counts: Counts, stream: string, key: string, count: number): void {
  const own = counts.get(stream) ?? new Map<string, number>();
  counts.set(stream, own.set(key, (own.get(key) ?? 0) + count));
}

/** Counts of one stream, ascending by day. */
export function readRejects(db: Database, id: number): RejectCount[] {
  return db
    .prepare('SELECT day AS dayMs, reason, count FROM reject WHERE stream = ? ORDER BY day, reason')
    .all(id) as RejectCount[];
}

/** Deletes days that ended before `cutoffMs`. */
export function trimRejects(db: Database, cutoffMs: number): void {
  db.prepare('DELETE FROM reject WHERE day < ?').run(Math.floor(cutoffMs) - DAY_MS);
}
