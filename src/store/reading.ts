/**
 * Reads stored samples in time order, one page at a time: SQLite allows no other statement on a connection during an
 * iteration, and the caller may append in between. `samplesIn` is for other threads and processes.
 */
import { type Database, openReadOnly } from './database.ts';
import { isRefused } from './marks.ts';
import type { StoredSample } from './store-contract.ts';

export interface NamedSample extends StoredSample {
  readonly stream: string;
}

const PAGE_ROWS = 4096;

/** Samples of one stream; `fromMs` inclusive, `toMs` exclusive. */
export function* eachSampleOf(
  db: Database,
  id: number,
  fromMs: number,
  toMs: number,
): Generator<StoredSample> {
  const page = db.prepare(
    'SELECT time AS timeMs, value, mark FROM sample WHERE time >= ? AND time < ? AND stream = ? ORDER BY time LIMIT ?',
  );
  let from = bounded(fromMs);
  for (;;) {
    const rows = page.all(from, bounded(toMs), id, PAGE_ROWS) as StoredSample[];
    yield* rows;
    if (rows.length < PAGE_ROWS) return;
    from = rows.at(-1)!.timeMs + 1;
  }
}

/** Rows of a slice: read or deleted in about 50 ms on a small board. */
export const SLICE_ROWS = 20_000;

/** End of a slice of the rows of all streams that begins at `fromMs`, exclusive; infinity if fewer rows remain. */
export function sliceEnd(db: Database, fromMs: number, rows = SLICE_ROWS): number {
  const from = bounded(fromMs);
  const time = db
    .prepare('SELECT time FROM sample WHERE time >= ? ORDER BY time LIMIT 1 OFFSET ?')
    .pluck()
    .get(from, rows) as number | undefined;
  return time === undefined ? Number.POSITIVE_INFINITY : Math.max(time, from + 1);
}

/** Start of a slice that ends before `beforeMs`; -Infinity if fewer rows remain. */
export function sliceStart(db: Database, beforeMs: number): number {
  const time = db
    .prepare('SELECT time FROM sample WHERE time < ? ORDER BY time DESC LIMIT 1 OFFSET ?')
    .pluck()
    .get(bounded(beforeMs), SLICE_ROWS - 1) as number | undefined;
  return time ?? Number.NEGATIVE_INFINITY;
}

/**
 * Samples of all streams, sorted by time and then in a fixed order of streams; `toMs` exclusive.
 * @param only ids of the streams wanted
 */
export function* eachSample(
  db: Database,
  fromMs: number,
  only?: readonly number[],
  toMs = Number.POSITIVE_INFINITY,
): Generator<NamedSample> {
  const wanted = only === undefined ? '' : 'AND s.stream IN (SELECT value FROM json_each(?))';
  const page = db.prepare(
    `SELECT s.time AS timeMs, s.stream AS id, s.value, s.mark FROM sample s
     WHERE (s.time, s.stream) > (?, ?) AND s.time < ? ${wanted} ORDER BY s.time, s.stream LIMIT ?`,
  );
  const ids = only === undefined ? [] : [JSON.stringify(only)];
  const names = namesById(db);
  let time = bounded(fromMs) - 1;
  let last = Number.MAX_SAFE_INTEGER;
  for (;;) {
    const rows = page.all(time, last, bounded(toMs), ...ids, PAGE_ROWS) as (StoredSample & { id: number })[];
    for (const { id, timeMs, value, mark } of rows) {
      const stream = names.get(id);
      // Skip rows of forgotten streams that are not yet trimmed.
      if (stream !== undefined) yield { stream, timeMs, value, mark };
    }
    if (rows.length < PAGE_ROWS) return;
    time = rows.at(-1)!.timeMs;
    last = rows.at(-1)!.id;
  }
}

export interface SampleTime {
  readonly stream: string;
  readonly timeMs: number;
}

const namesById = (db: Database): Map<number, string> =>
  new Map(db.prepare('SELECT id, name FROM stream').raw().all() as [number, string][]);

/** Times of the samples of all streams, newest first, one page at a time. */
export function* eachTimeBackwards(db: Database): Generator<SampleTime[]> {
  const page = db.prepare(TIMES_BACKWARDS).raw();
  const names = namesById(db);
  let before: readonly number[] = [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER];
  for (;;) {
    const rows = page.all(...before, PAGE_ROWS) as [number, number][];
    // The names of forgotten streams are missing.
    yield rows.map(([timeMs, id]) => ({ stream: names.get(id) ?? '', timeMs }));
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE_ROWS) return;
    before = last;
  }
}

/** Seeks by the primary key, so that a page costs the same wherever it is. */
export const TIMES_BACKWARDS =
  'SELECT time, stream FROM sample WHERE (time, stream) < (?, ?) ORDER BY time DESC, stream DESC LIMIT ?';

/**
 * Merges rows of the database with waiting rows. Of several rows with the same key and time, the stored one is returned, else the
 * first waiting one; a refused one is replaced by a good one. If reading fails, `onError` is called and the waiting rows are still returned.
 */
export function* mergeByTime<T extends StoredSample>(
  stored: Iterable<T>,
  waiting: T[],
  keyOf: (sample: T) => string,
  onError: (error: unknown) => void,
): Generator<T> {
  const refused = (sample: T): number => (isRefused(sample.mark) ? 1 : 0);
  waiting.sort((a, b) => a.timeMs - b.timeMs || refused(a) - refused(b));
  let next = 0;
  let now = Number.NEGATIVE_INFINITY;
  const seen = new Set<string>();
  const isNew = (sample: T): boolean => {
    if (sample.timeMs !== now) {
      now = sample.timeMs;
      seen.clear();
    }
    const key = keyOf(sample);
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  };
  const iterator = stored[Symbol.iterator]();
  for (;;) {
    let row: T | undefined;
    try {
      row = iterator.next().value;
    } catch (error) {
      onError(error);
    }
    while (next < waiting.length && (row === undefined || waiting[next].timeMs < row.timeMs)) {
      const sample = waiting[next++];
      if (isNew(sample)) yield sample;
    }
    if (row === undefined) return;
    const { timeMs } = row;
    if (isRefused(row.mark) && waiting[next]?.timeMs === timeMs) {
      const key = keyOf(row);
      const same = waiting.find((one) => one.timeMs === timeMs && keyOf(one) === key);
      if (same !== undefined) row = same;
    }
    if (isNew(row)) yield row;
  }
}

/**
 * The samples of all streams of a database, ascending by time, for another thread or process: as of the last `settle`.
 * Throws SqliteError if the database does not exist or cannot be read.
 */
export function* samplesIn(path: string, fromMs: number): Generator<NamedSample> {
  const db = openReadOnly(path);
  try {
    yield* eachSample(db, fromMs);
  } finally {
    db.close();
  }
}

function bounded(ms: number): number {
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Math.ceil(ms)));
}
