/**
 * Copies the readable data of a damaged database into a new one: one bad page should not cost two months of samples.
 * Copies the newest rows first, because they matter most, and each table up to its first error. Saved states carry
 * their own checksums.
 */
import { type Database, openReadOnly } from './database.ts';

/** Most rows copied: takes about two seconds on a small board. */
const MAX_ROWS = 500_000;
/** Rows of one transaction: few enough for the rest of a full disk, enough that syncs cost little. */
const BATCH_ROWS = 10_000;

/** @returns the number of copied samples. Never throws. */
export function salvage(damagedPath: string, into: Database): number {
  let from: Database;
  try {
    from = openReadOnly(damagedPath);
  } catch {
    return 0;
  }
  try {
    // Rows are useless without the names of their streams.
    if (!copyTable(from, into, 'stream', ['id', 'name'])) return 0;
    copyTable(from, into, 'meta', ['key', 'value']);
    copyTable(from, into, 'forgotten', ['stream', 'cursor']);
    const snapshot = ['stream', 'slot', 'saved', 'model', 'replay_from', 'sha256', 'bytes'];
    copyTable(from, into, 'snapshot', snapshot);
    copyTable(from, into, 'reject', ['day', 'stream', 'reason', 'count']);
    copyTable(from, into, 'anomaly', ['time', 'stream', 'observed', 'score']);
    return copySamples(from, into);
  } catch {
    // The disk refused the commit.
    return 0;
  } finally {
    from.close();
  }
}

/** @returns whether any row was read; an earlier, interrupted copy may have copied it */
function copyTable(from: Database, into: Database, table: string, columns: readonly string[]): boolean {
  const names = columns.join(', ');
  const insert = into.prepare(
    `INSERT OR IGNORE INTO ${table} (${names}) VALUES (${columns.map(() => '?').join(', ')})`,
  );
  let found = false;
  into.transaction(() => {
    try {
      for (const row of from.prepare(`SELECT ${names} FROM ${table}`).raw().iterate()) {
        found = true;
        insert.run(...(row as unknown[]));
      }
    } catch {
      // Rows before the damage are kept.
    }
  })();
  return found;
}

function copySamples(from: Database, into: Database): number {
  const insert = into.prepare('INSERT OR IGNORE INTO sample (time, stream, value, mark) VALUES (?, ?, ?, ?)');
  const select = from.prepare(
    'SELECT time, stream, value, mark FROM sample ORDER BY time DESC, stream DESC LIMIT ?',
  );
  let copied = 0;
  let rows: unknown[][] = [];
  const write = (): void => {
    copied += into.transaction(() => rows.reduce((sum, row) => sum + insert.run(...row).changes, 0))();
    rows = [];
  };
  try {
    for (const row of select.raw().iterate(MAX_ROWS)) {
      rows.push(row as unknown[]);
      if (rows.length === BATCH_ROWS) write();
    }
  } catch {
    // Rows before the damage are kept, and those that fit on a full disk.
  }
  try {
    write();
  } catch {
    // The disk is full.
  }
  return copied;
}
