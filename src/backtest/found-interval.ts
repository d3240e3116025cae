/** Finds out how far the rows of a file are apart. */
import { GatecastError } from '../errors.ts';
import { learnInterval } from '../series/interval.ts';
import { readTable } from '../table/table.ts';
import { type TableRequest, tableOptions } from './request.ts';

/** Rows that are enough to tell. */
const MAX_ROWS = 20_000;

/** The distance of the rows of one series, ms. @throws GatecastError as `readTable`; USAGE where it cannot be told */
export function foundInterval(file: string, request: Omit<TableRequest, 'interval'>): number {
  const table = readTable(file, tableOptions({ ...request, interval: request.rowInterval ?? 1 }));
  const times: number[] = [];
  let first: string | null | undefined;
  for (const { timeMs, id } of table.rows()) {
    first ??= id;
    if (id === first) times.push(timeMs);
    if (times.length >= MAX_ROWS) break;
  }
  const interval = request.clockStart === undefined ? learnInterval(times) : (request.rowInterval ?? null);
  if (interval === null)
    throw new GatecastError('USAGE', `${file}: how far its rows are apart cannot be told`, {
      hint: 'say it: --interval 5m',
    });
  return interval;
}
