/** Keeps the database within its maximum age and size, in slices short enough for the main thread. */
import { trimAnomalies } from './anomalies.ts';
import type { Database } from './database.ts';
import { SLICE_ROWS, sliceEnd } from './reading.ts';
import { trimRejects } from './reject-counts.ts';

interface Limits {
  /** Age at which rows are deleted, ms. */
  readonly retentionMs: number;
  /** Upper limit of pages in use, bytes. */
  readonly maxBytes: number;
}

/** Measured size of a row, including its share of the tree. */
const ROW_BYTES = 27;

/**
 * Runs one slice of each kind of trimming. Call outside of transactions. Returns rows removed.
 * Age counts from the newest row or `nowMs`, whichever is earlier. @param nowMs null: the time is unknown, and no row too old
 */
export function trimSlice(db: Database, limits: Limits, nowMs: number | null): number {
  const aged = nowMs === null ? 0 : trimAge(db, limits, nowMs);
  const removed = aged + trimSize(db, limits.maxBytes) + trimForgotten(db);
  giveBackPages(db);
  return removed;
}

function trimAge(db: Database, limits: Limits, nowMs: number): number {
  const newest = db.prepare('SELECT max(time) FROM sample').pluck().get() as number | null;
  if (newest === null) return 0;
  const cutoff = Math.min(nowMs, newest) - limits.retentionMs;
  trimRejects(db, cutoff);
  trimAnomalies(db, cutoff);
  return deleteBefore(db, Math.min(cutoff, sliceEnd(db, Number.NEGATIVE_INFINITY)));
}

export interface Gap {
  /** Newest row before it, ms. */
  readonly fromMs: number;
  /** First row after it, or now, ms. */
  readonly endMs: number;
}

/** The newest time longer than `gapMs` without rows, if it ended at most `gapMs` before `nowMs`. Two steps in the index, whatever the table holds. */
export function recentGap(db: Database, nowMs: number, gapMs: number): Gap | null {
  const before = db.prepare('SELECT max(time) FROM sample WHERE time < ?').pluck();
  const newest = before.get(safeInteger(nowMs + 1)) as number | null;
  if (newest === null) return null;
  const firstMs = safeInteger(nowMs - gapMs);
  if (newest < firstMs) return { fromMs: newest, endMs: nowMs };
  const endMs = db.prepare('SELECT min(time) FROM sample WHERE time >= ?').pluck().get(firstMs) as number;
  const fromMs = before.get(endMs) as number | null;
  return fromMs === null || endMs - fromMs <= gapMs ? null : { fromMs, endMs };
}

/**
 * Deletes the oldest rows until pages in use fall to 95 % of `maxBytes`, at most one slice. Never deletes the last slice: the
 * remaining pages are then saved states, whose size is bounded by the number of streams.
 */
export function trimSize(db: Database, maxBytes: number): number {
  const used = usedBytes(db);
  if (used <= maxBytes) return 0;
  const rows = Math.min(SLICE_ROWS, Math.ceil((used - 0.95 * maxBytes) / ROW_BYTES));
  const end = sliceEnd(db, Number.NEGATIVE_INFINITY, rows);
  return end === Number.POSITIVE_INFINITY ? 0 : deleteBefore(db, end);
}

/** Deletes the oldest `rows` rows, unless these are all. Returns rows removed. */
export function trimRows(db: Database, rows: number): number {
  const key = db.prepare('SELECT time, stream FROM sample ORDER BY time, stream LIMIT 1 OFFSET ?').raw();
  const end = key.get(rows) as [number, number] | undefined;
  if (end === undefined) return 0;
  return db.prepare('DELETE FROM sample WHERE (time, stream) < (?, ?)').run(...end).changes;
}

/** Deletes rows of forgotten streams, one time span per call; a cursor records the progress. */
function trimForgotten(db: Database): number {
  const job = db.prepare('SELECT stream, cursor FROM forgotten LIMIT 1').get() as
    | { stream: number; cursor: number }
    | undefined;
  if (job === undefined) return 0;
  const end = sliceEnd(db, job.cursor);
  return db.transaction(() => {
    const removed = db
      .prepare('DELETE FROM sample WHERE time >= ? AND time < ? AND stream = ?')
      .run(job.cursor, safeInteger(end), job.stream).changes;
    if (end === Number.POSITIVE_INFINITY)
      db.prepare('DELETE FROM forgotten WHERE stream = ?').run(job.stream);
    else db.prepare('UPDATE forgotten SET cursor = ? WHERE stream = ?').run(end, job.stream);
    return removed;
  })();
}

/** Returns a surplus of free pages to the file system; normally freed pages are reused. */
function giveBackPages(db: Database): void {
  const free = db.pragma('freelist_count', { simple: true }) as number;
  const all = db.pragma('page_count', { simple: true }) as number;
  if (free > 1000 && free > all / 4) db.pragma('incremental_vacuum(2000)');
}

export function usedBytes(db: Database): number {
  const pages = db.pragma('page_count', { simple: true }) as number;
  const free = db.pragma('freelist_count', { simple: true }) as number;
  return (pages - free) * (db.pragma('page_size', { simple: true }) as number);
}

function deleteBefore(db: Database, beforeMs: number): number {
  return db.prepare('DELETE FROM sample WHERE time < ?').run(safeInteger(beforeMs)).changes;
}

function safeInteger(ms: number): number {
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Math.floor(ms)));
}
