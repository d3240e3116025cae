/**
 * Copies the readable data of a damaged database into a new one: one bad page should not cost two months of samples.
 * Copies the newest rows first, because they matter most, and goes on beyond unreadable pages. Saved states carry their own
 * checksums.
 */
import { type Database, isRowRefused, openReadOnly, type Statement } from './database.ts';

/** Most rows copied: the copy blocks the agent for five to six seconds on a server, and longer on a small board. */
const MAX_ROWS = 500_000;
/** Most unreadable places among the samples to go past, each with about a hundred searches. */
const MAX_GAPS = 1000;
/** Rows of one transaction: few enough for the rest of a full disk, enough that syncs cost little. */
const BATCH_ROWS = 10_000;

interface Copied {
  /** Number of copied samples. */
  readonly samples: number;
  /** Whether older ones, which can be read, were left out. */
  readonly isLimited: boolean;
}

const NOTHING: Copied = { samples: 0, isLimited: false };

/** Never throws. */
export function salvage(damagedPath: string, into: Database, maxRows = MAX_ROWS): Copied {
  let from: Database;
  try {
    from = openReadOnly(damagedPath);
  } catch {
    return NOTHING;
  }
  try {
    // Rows are useless without the names of their streams.
    if (!copyTable(from, into, 'stream', ['id', 'name'])) return NOTHING;
    copyTable(from, into, 'meta', ['key', 'value']);
    copyTable(from, into, 'forgotten', ['stream', 'cursor']);
    const snapshot = ['stream', 'slot', 'saved', 'model', 'replay_from', 'sha256', 'bytes'];
    copyTable(from, into, 'snapshot', snapshot);
    copyTable(from, into, 'reject', ['day', 'stream', 'reason', 'count']);
    copyTable(from, into, 'anomaly', ['time', 'stream', 'observed', 'score']);
    return copySamples(from, into, maxRows);
  } catch {
    // The disk refused the commit.
    return NOTHING;
  } finally {
    from.close();
  }
}

/**
 * Reads from both ends, because an unreadable page ends a scan. The first column begins the key of each table.
 * @returns whether any row was read; an earlier, interrupted copy may have copied it
 */
function copyTable(from: Database, into: Database, table: string, columns: readonly string[]): boolean {
  const names = columns.join(', ');
  const insert = into.prepare(
    `INSERT OR IGNORE INTO ${table} (${names}) VALUES (${columns.map(() => '?').join(', ')})`,
  );
  let found = false;
  into.transaction(() => {
    for (const order of ['ASC', 'DESC'])
      try {
        const select = from.prepare(`SELECT ${names} FROM ${table} ORDER BY ${columns[0]} ${order}`);
        for (const row of select.raw().iterate()) {
          found = true;
          copied(insert, row as unknown[]);
        }
        return;
      } catch {
        // Rows before the damage are kept.
      }
  })();
  return found;
}

function copySamples(from: Database, into: Database, maxRows: number): Copied {
  const insert = into.prepare('INSERT OR IGNORE INTO sample (time, stream, value, mark) VALUES (?, ?, ?, ?)');
  // A stream whose name is lost: the next new stream would get its id, and so its rows.
  const named = new Set(into.prepare('SELECT id FROM stream').pluck().all());
  const aboutMs = into.prepare('SELECT max(replay_from) FROM snapshot').pluck().get() as number | null;
  let count = 0;
  let left = maxRows;
  let isLimited = false;
  let rows: unknown[][] = [];
  const write = (): void => {
    count += into.transaction(() => rows.reduce((sum, row) => sum + copied(insert, row), 0))();
    rows = [];
  };
  try {
    for (const row of newestFirst(from, aboutMs ?? Number.MAX_SAFE_INTEGER)) {
      isLimited = left-- === 0;
      if (isLimited) break;
      if (named.has(row[1])) rows.push(row);
      if (rows.length === BATCH_ROWS) write();
    }
  } catch {
    // Rows that fit on a full disk are kept.
    isLimited = true;
  }
  try {
    write();
  } catch {
    isLimited = true;
  }
  return { samples: count, isLimited };
}

/**
 * The readable samples, newest first.
 * @param aboutMs a time near the newest samples, where the search begins if these cannot be read
 */
function* newestFirst(from: Database, aboutMs: number): Generator<unknown[]> {
  const select = from.prepare(
    'SELECT time, stream, value, mark FROM sample WHERE time < ? ORDER BY time DESC, stream DESC',
  );
  let beforeMs: number | null = Number.MAX_SAFE_INTEGER;
  for (let gaps = 0; beforeMs !== null && gaps < MAX_GAPS; gaps++) {
    try {
      for (const row of select.raw().iterate(beforeMs) as IterableIterator<unknown[]>) {
        yield row;
        if (typeof row[0] === 'number') beforeMs = Math.min(beforeMs, row[0]);
      }
      return;
    } catch {
      beforeMs = endOfGap(from, beforeMs, aboutMs);
    }
  }
  // Older rows may be readable: the copy must not count as complete.
  if (beforeMs !== null) throw new Error(`${MAX_GAPS} places cannot be read`);
}

/** The latest time before which samples can be read again, ms; null if there is none. */
function endOfGap(from: Database, beforeMs: number, aboutMs: number): number | null {
  const newest = from.prepare('SELECT 1 FROM sample WHERE time < ? ORDER BY time DESC, stream DESC LIMIT 1');
  const isReadable = (ms: number): boolean => {
    try {
      newest.get(ms);
      return true;
    } catch {
      return false;
    }
  };
  let bad = beforeMs;
  let good = Math.min(beforeMs, aboutMs) - 1;
  for (let step = 1; !isReadable(good); step *= 2) {
    bad = good;
    good -= step;
    if (good < Number.MIN_SAFE_INTEGER) return null;
  }
  while (bad - good > 1) {
    const middle = Math.floor((bad + good) / 2);
    if (isReadable(middle)) good = middle;
    else bad = middle;
  }
  return good;
}

/** A damaged page may hold impossible values. @returns the number of rows copied */
function copied(insert: Statement, row: readonly unknown[]): number {
  try {
    return insert.run(...row).changes;
  } catch (error) {
    if (isRowRefused(error)) return 0;
    throw error;
  }
}
