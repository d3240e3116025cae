/** Determines the interval between the rows of a file. */
import { GatecastError } from '../errors.ts';
import { learnInterval } from '../series/interval.ts';
import { readTable } from '../table/table.ts';
import { type TableRequest, tableOptions } from './request.ts';

/** Maximum number of rows read. */
const MAX_ROWS = 20_000;

/** Interval between the rows of the first series, ms. @throws GatecastError as `readTable`; USAGE if there is none */
export function findInterval(file: string, request: Omit<TableRequest, 'interval'>): number {
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
    throw new GatecastError('USAGE', `${file}: cannot determine the interval between rows`, {
      hint: 'pass it, for example --interval 5m',
    });
  return interval;
}
