/** Samples that say their own number, so that a test can tell which are missing, doubled or wrong. */
import type { Sample } from '../../src/series/sample.ts';
import type { SqliteStoreOptions } from '../../src/store/sqlite-store.ts';
import type { StoredSample } from '../../src/store/store-contract.ts';
import { systemClock } from '../../src/system/clock.ts';

export const NUMBERED_T0 = Date.UTC(2025, 0, 1);
const STREAMS = 7;

export function numbered(n: number): Sample {
  const timeMs = NUMBERED_T0 + n * 10;
  return { stream: `s${n % STREAMS}`, timeMs, value: n + 0.5, arrivalMs: timeMs };
}

/** How many are there from 0 on; throws when one is wrong, doubled or missing in between. */
export function countNumbered(rows: Iterable<StoredSample & { readonly stream: string }>): number {
  let n = 0;
  for (const row of rows) {
    const expected = numbered(n++);
    if (row.timeMs !== expected.timeMs || row.stream !== expected.stream || row.value !== expected.value) {
      throw new Error(`row ${n - 1} is ${JSON.stringify(row)}`);
    }
  }
  return n;
}

/** Options of a store in `dir` that deletes nothing. */
export const keepAll = (dir: string, onFault: SqliteStoreOptions['onFault']): SqliteStoreOptions => ({
  dir,
  maxBytes: 2 ** 30,
  retentionMs: 1e13,
  clock: systemClock,
  onFault,
});
