/** The interval of a file for commands without --interval. */
import { findInterval } from '../../backtest/find-interval.ts';
import type { TableRequest } from '../../backtest/request.ts';
import { formatDuration } from '../../config/units.ts';

/** @param say gets the line that shows the interval to the user. @returns ms. @throws GatecastError as `findInterval` */
export function detectedInterval(
  file: string,
  request: Omit<TableRequest, 'interval'>,
  say: (text: string) => void,
): number {
  const interval = findInterval(file, request);
  say(`--interval ${formatDuration(interval)}: detected from the rows of ${file}`);
  return interval;
}
