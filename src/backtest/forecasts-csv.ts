/** `forecasts.csv`: one row per step, `series,origin,step,time,p10..p90`. */
import { digitsFor } from '../forecast/digits.ts';
import { Q } from '../quantiles.ts';
import { writeOutput } from '../system/output-file.ts';
import type { Grid, Played } from './play.ts';

/** Minimum number of significant digits. */
const DIGITS = 9;

const stamp = (ms: number): string => new Date(ms).toISOString().replace('.000Z', 'Z');
const quoted = (name: string): string => (/[",\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name);

/** Throws FILE_UNWRITABLE when the file cannot be written. */
export function writeForecasts(path: string, grids: readonly Grid[], played: readonly Played[]): void {
  writeOutput(path, rows(grids, played));
}

function* rows(grids: readonly Grid[], played: readonly Played[]): Generator<string> {
  yield 'series,origin,step,time,p10,p20,p30,p40,p50,p60,p70,p80,p90\n';
  const ordered = [...played].sort((a, b) => a.series - b.series || a.origin - b.origin);
  for (const { series, origin, quantiles } of ordered) {
    const { name, startMs, intervalMs } = grids[series];
    const from = startMs + origin * intervalMs;
    const digits = digitsFor(quantiles, DIGITS);
    let text = '';
    for (let k = 1; k * Q <= quantiles.length; k++) {
      const values = Array.from(quantiles.subarray((k - 1) * Q, k * Q), (value) =>
        String(Number(value.toPrecision(digits))),
      );
      text += `${quoted(name)},${stamp(from)},${k},${stamp(from + k * intervalMs)},${values.join(',')}\n`;
    }
    yield text;
  }
}
