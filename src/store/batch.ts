/**
 * Writes waiting data to the database: rows, then marks on new and older rows, meta values, counts of refused
 * readings, and anomalies.
 */
import { OUT_OF_RANGE } from '../series/quality.ts';
import { jsonOrNull } from '../system/json.ts';
import type { AnomalyBuffer } from './anomalies.ts';
import { type Database, isRowRefused, type Statement } from './database.ts';
import { isRefused, writeMark } from './marks.ts';
import type { RejectCounts } from './reject-counts.ts';
import type { Applied } from './segments.ts';
import type { Waiting } from './waiting.ts';

export const SELECT_ID = 'SELECT id FROM stream WHERE name = ?';
const SELECT_META = 'SELECT value FROM meta WHERE key = ?';
export const UPSERT_META =
  'INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value';

/** Meta key for the name of the last committed batch. */
const BATCH_KEY = 'store.batch';
/** Meta key for the number of stored rows. */
export const ROWS_KEY = 'store.rows';
/** Meta key for how much of each journal file the database contains. */
const APPLIED_KEY = 'store.journal';

interface WrittenBatch {
  /** Database ids, by the number of a stream in `Waiting`. */
  readonly ids: (number | undefined)[];
  readonly added: number;
  /** Rows that the database refuses because of their values; they are skipped, because they would block the batch for ever. */
  readonly refused: number;
}

/** Data besides the rows, for the last part of a batch. */
interface Extras {
  readonly rejects: RejectCounts;
  readonly anomalies: AnomalyBuffer;
  /** A new name for this batch. */
  readonly batch: string;
}

/**
 * Call inside a transaction. Changes nothing outside the database, so that the transaction may fail.
 * @param known ids and number of stored rows, known so far
 * @param most only as many of the oldest rows
 * @param extras null: rows alone
 */
export function insertBatch(
  db: Database,
  waiting: Waiting,
  known: { readonly ids: readonly (number | undefined)[]; readonly rows: number },
  most: number,
  extras: Extras | null,
): WrittenBatch {
  const insert = db.prepare('INSERT OR IGNORE INTO sample (time, stream, value, mark) VALUES (?, ?, ?, ?)');
  const replace = db.prepare(
    'UPDATE sample SET value = ?, mark = ? WHERE time = ? AND stream = ? AND mark & ? <> 0',
  );
  const setMeta = db.prepare(UPSERT_META);
  const ids = known.ids.slice();
  const idOf = (number: number): number => {
    const id = ids[number] ?? insertStream(db, waiting.nameOf(number));
    ids[number] = id;
    return id;
  };
  let added = 0;
  let refused = 0;
  const run = (statement: Statement, ...values: unknown[]): number => {
    try {
      return statement.run(...values).changes;
    } catch (error) {
      if (!isRowRefused(error)) throw error;
      refused++;
      return 1;
    }
  };
  waiting.forEach((number, timeMs, value, mark) => {
    const id = idOf(number);
    if (run(insert, timeMs, id, value, mark) > 0) added++;
    else if (!isRefused(mark)) run(replace, value, mark, timeMs, id, OUT_OF_RANGE);
  }, most);
  // In the page that changes anyway.
  setMeta.run(ROWS_KEY, String(known.rows + added - refused));
  if (extras === null) return { ids, added: added - refused, refused };
  for (const { number, span } of waiting.marks) writeMark(db, idOf(number), span);
  for (const [key, value] of waiting.meta) run(setMeta, key, value);
  const idOfName = (stream: string): number => insertStream(db, stream);
  extras.rejects.write(db, extras.batch, readMeta(db, BATCH_KEY), idOfName);
  extras.anomalies.write(db, idOfName);
  setMeta.run(BATCH_KEY, extras.batch);
  setMeta.run(APPLIED_KEY, JSON.stringify(waiting.segments.applied()));
  return { ids, added: added - refused, refused };
}

export function readMeta(db: Database, key: string): string | null {
  return (db.prepare(SELECT_META).pluck().get(key) as string | undefined) ?? null;
}

/** How much of each journal file the database contains; empty if that cannot be read. */
export function readApplied(db: Database): Applied {
  return (jsonOrNull(readMeta(db, APPLIED_KEY) ?? '') ?? {}) as Applied;
}

/** Finds or inserts the stream's row. Ids are never reused, because rows of a forgotten stream may still exist. */
export function insertStream(db: Database, name: string): number {
  const known = db.prepare(SELECT_ID).pluck().get(name) as number | undefined;
  if (known !== undefined) return known;
  const next = `max((SELECT coalesce(max(id), 0) FROM stream), (SELECT coalesce(max(stream), 0) FROM forgotten)) + 1`;
  return Number(db.prepare(`INSERT INTO stream (id, name) VALUES (${next}, ?)`).run(name).lastInsertRowid);
}
