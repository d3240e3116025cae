/** `forecasts.csv`: one row a step, `series,origin,step,time,p10..p90`. */
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { GatecastError } from '../errors.ts';
import { Q } from '../forecast/forecast.ts';
import type { Grid, Played } from './play.ts';

const stamp = (ms: number): string => new Date(ms).toISOString().replace('.000Z', 'Z');
const quoted = (name: string): string => (/[",\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name);

const HEADER = 'series,origin,step,time,p10,p20,p30,p40,p50,p60,p70,p80,p90\n';

/** Makes the file, and its folder, with nothing but the header. Throws FILE_UNWRITABLE when that cannot be. */
export function prepareForecasts(path: string): void {
  const file = open(path);
  writeSync(file, HEADER);
  closeSync(file);
}

function open(path: string): number {
  try {
    mkdirSync(dirname(path), { recursive: true });
    return openSync(path, 'w');
  } catch (cause) {
    throw new GatecastError('FILE_UNWRITABLE', `${path} cannot be written.`, { cause });
  }
}

/** Throws FILE_UNWRITABLE when the file cannot be written. */
export function writeForecasts(path: string, grids: readonly Grid[], played: readonly Played[]): void {
  const file = open(path);
  try {
    writeSync(file, HEADER);
    const ordered = [...played].sort((a, b) => a.series - b.series || a.origin - b.origin);
    for (const { series, origin, quantiles } of ordered) {
      const { name, startMs, intervalMs } = grids[series];
      const from = startMs + origin * intervalMs;
      let text = '';
      for (let k = 1; k * Q <= quantiles.length; k++) {
        const values = Array.from(quantiles.subarray((k - 1) * Q, k * Q), (value) =>
          String(Number(value.toPrecision(9))),
        );
        text += `${quoted(name)},${stamp(from)},${k},${stamp(from + k * intervalMs)},${values.join(',')}\n`;
      }
      writeSync(file, text);
    }
  } finally {
    closeSync(file);
  }
}
