/** Finds numbers in a file that stand for missing values (sentinels such as -999). */
import { couldBeSentinel, isSeparate } from '../series/sentinels.ts';
import type { Table } from '../table/table.ts';

/** A sentinel must occur at least this often. */
const MIN_COUNT = 3;
const MAX_HINTS = 5;

/** Warnings about numbers that look like marks of a missing value. @param remedy what drops such a number */
export function sentinelHints(
  file: string,
  table: Table,
  remedy = (value: number): string => `--missing ${value}`,
): string[] {
  const columns = table.columns.map(() => ({
    min: Infinity,
    max: -Infinity,
    counts: new Map<number, number>(),
  }));
  for (const { values } of table.rows())
    for (const [at, column] of columns.entries()) {
      const value = values[at] ?? Number.NaN;
      if (Number.isNaN(value)) continue;
      if (couldBeSentinel(value)) column.counts.set(value, (column.counts.get(value) ?? 0) + 1);
      else {
        column.min = Math.min(column.min, value);
        column.max = Math.max(column.max, value);
      }
    }
  const found = new Map<number, { count: number; columns: number }>();
  for (const { min, max, counts } of columns)
    for (const [value, count] of counts) {
      if (count < MIN_COUNT || !isSeparate(value, min, max)) continue;
      const before = found.get(value) ?? { count: 0, columns: 0 };
      found.set(value, { count: before.count + count, columns: before.columns + 1 });
    }
  return [...found]
    .sort(([, a], [, b]) => b.count - a.count)
    .slice(0, MAX_HINTS)
    .map(([value, { count, columns: n }]) => {
      const where = n === 1 ? 'one column' : `${n} columns`;
      return `${file}: ${value} occurs ${count} times in ${where} and looks like a mark for a missing value; ${remedy(value)} drops it`;
    });
}
