/**
 * Anomalous buckets, for the page: the newest of all streams, within the retention. Kept in memory and written with the next
 * batch: a crash loses the anomalies since the last batch, never a sample.
 */
import type { Database } from './database.ts';

export interface StoredAnomaly {
  /** Start of the bucket, ms since 1970 UTC. */
  readonly timeMs: number;
  readonly observed: number;
  /** -log10 of the probability. */
  readonly score: number;
}

type NamedAnomaly = StoredAnomaly & { readonly stream: string };

/** Most stored anomalies of all streams together: 0.7 MB. */
const MOST_ANOMALIES = 20_000;
/** Most anomalies that wait for the disk; of more, the newest are kept. */
const MOST_WAITING = 2000;

export class AnomalyBuffer {
  private waiting: NamedAnomaly[] = [];

  get isEmpty(): boolean {
    return this.waiting.length === 0;
  }

  add(anomaly: NamedAnomaly): void {
    this.waiting.push(anomaly);
    if (this.waiting.length > MOST_WAITING) this.waiting = this.waiting.slice(-MOST_WAITING / 2);
  }

  forget(stream: string): void {
    this.waiting = this.waiting.filter((one) => one.stream !== stream);
  }

  /** Call inside a transaction; call `settled` after its commit. Repeating it after a failed commit does no harm. */
  write(db: Database, idOf: (stream: string) => number): void {
    const insert = db.prepare(
      'INSERT OR REPLACE INTO anomaly (time, stream, observed, score) VALUES (?, ?, ?, ?)',
    );
    for (const { stream, timeMs, observed, score } of this.waiting)
      insert.run(timeMs, idOf(stream), observed, score);
  }

  settled(): void {
    this.waiting = [];
  }

  /** The waiting ones of one stream. */
  of(stream: string): StoredAnomaly[] {
    return this.waiting.flatMap(({ stream: of, ...anomaly }) => (of === stream ? [anomaly] : []));
  }
}

/** Those of one stream, newest first; `fromMs` inclusive, `toMs` exclusive. */
export function readAnomalies(
  db: Database,
  id: number,
  fromMs: number,
  toMs: number,
  most: number,
): StoredAnomaly[] {
  return db
    .prepare(
      `SELECT time AS timeMs, observed, score FROM anomaly
       WHERE time >= ? AND time < ? AND stream = ? ORDER BY time DESC LIMIT ?`,
    )
    .all(fromMs, toMs, id, most) as StoredAnomaly[];
}

/** The newest of every stream, newest first; `most` of each. */
export function readNewestAnomalies(db: Database, most: number): NamedAnomaly[] {
  return db
    .prepare(
      `SELECT stream, timeMs, observed, score FROM (
         SELECT n.name AS stream, a.time AS timeMs, a.observed, a.score,
           row_number() OVER (PARTITION BY a.stream ORDER BY a.time DESC) AS place
         FROM anomaly a JOIN stream n ON n.id = a.stream)
       WHERE place <= ? ORDER BY timeMs DESC`,
    )
    .all(most) as NamedAnomaly[];
}

/** Deletes those before `cutoffMs`, and the oldest of too many. */
export function trimAnomalies(db: Database, cutoffMs: number, most = MOST_ANOMALIES): void {
  const oldest = db
    .prepare('SELECT time FROM anomaly ORDER BY time DESC, stream DESC LIMIT 1 OFFSET ?')
    .pluck()
    .get(most) as number | undefined;
  db.prepare('DELETE FROM anomaly WHERE time < ? OR time <= ?').run(
    Math.floor(cutoffMs),
    oldest ?? Number.MIN_SAFE_INTEGER,
  );
}
