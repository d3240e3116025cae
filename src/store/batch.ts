/** What waits, into the database: rows, then the marks on them and on older ones, meta values, counts of refused readings. */
import { OUT_OF_RANGE } from '../series/quality.ts';
import type { Database } from './database.ts';
import { isRefused, writeMark } from './marks.ts';
import type { RejectCounts } from './reject-counts.ts';
import type { WriteAhead } from './write-ahead.ts';

export const SELECT_ID = 'SELECT id FROM stream WHERE name = ?';
export const SELECT_META = 'SELECT value FROM meta WHERE key = ?';
export const UPSERT_META =
  'INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value';

/**
 * Call inside a transaction; nothing else changes, as that may yet fail.
 * @param known by the write-ahead's number of a stream: its id in the database
 * @returns the ids known now, and the rows added
 */
export function insertBatch(
  db: Database,
  ahead: WriteAhead,
  rejects: RejectCounts,
  known: readonly (number | undefined)[],
): { ids: (number | undefined)[]; added: number } {
  const insert = db.prepare('INSERT OR IGNORE INTO sample (time, stream, value, mark) VALUES (?, ?, ?, ?)');
  const replace = db.prepare(
    'UPDATE sample SET value = ?, mark = ? WHERE time = ? AND stream = ? AND mark & ? <> 0',
  );
  const ids = known.slice();
  const idOf = (number: number): number => {
    ids[number] ??= insertStream(db, ahead.nameOf(number));
    return ids[number];
  };
  let added = 0;
  ahead.forEach((number, timeMs, value, mark) => {
    const id = idOf(number);
    if (insert.run(timeMs, id, value, mark).changes > 0) added++;
    else if (!isRefused(mark)) replace.run(value, mark, timeMs, id, OUT_OF_RANGE);
  });
  for (const { number, span } of ahead.marks) writeMark(db, idOf(number), span);
  for (const [key, value] of ahead.meta) db.prepare(UPSERT_META).run(key, value);
  rejects.write(db, (stream) => insertStream(db, stream));
  return { ids, added };
}

/** Finds or makes the stream's row. Ids are never used twice: rows of a forgotten stream may still be there. */
export function insertStream(db: Database, name: string): number {
  const known = db.prepare(SELECT_ID).pluck().get(name) as number | undefined;
  if (known !== undefined) return known;
  const next = `max((SELECT coalesce(max(id), 0) FROM stream), (SELECT coalesce(max(stream), 0) FROM forgotten)) + 1`;
  return Number(db.prepare(`INSERT INTO stream (id, name) VALUES (${next}, ?)`).run(name).lastInsertRowid);
}
