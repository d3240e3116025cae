import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runBacktest } from '../../src/backtest/run.ts';
import { hourlyBacktest } from '../support/backtest.ts';
import { normal } from '../support/random.ts';
import { tempDirs } from '../support/temp.ts';

const temp = tempDirs();
const HOUR = 3_600_000;

interface Case {
  readonly days: number;
  /** Steps ahead. */
  readonly horizon: number;
  /** Share of the days before the first origin: the 27 days that are left are scored, every origin. */
  readonly start: number;
}

/** Hourly noise of 1 about a level that rises by 50 in the middle of the last 27 days. */
function write({ days }: Case): string {
  const noise = normal(7);
  const shift = (days - 13.5) * 24;
  const rows = Array.from({ length: days * 24 }, (_, hour) => {
    const time = new Date(Date.UTC(2026, 0, 1) + hour * HOUR).toISOString();
    return `${time},${((hour < shift ? 0 : 50) + noise()).toFixed(4)}`;
  });
  const file = join(temp(), 'level.csv');
  writeFileSync(file, `time,value\n${rows.join('\n')}\n`);
  return file;
}

async function skill(of: Case): Promise<number> {
  const { horizon, start } = of;
  const text = await runBacktest([write(of)], hourlyBacktest({ horizon, start, stride: 1 }));
  return (JSON.parse(text) as { overall: { skillNaive: number } }).overall.skillNaive;
}

describe('the base model on a stream whose level shifts by 50 sigma', () => {
  it.each([
    { days: 90, horizon: 48, start: 0.7 },
    { days: 54, horizon: 24, start: 0.5 },
  ])('is over 27 days no more than 3 % worse than the naive forecast, $horizon steps ahead', async (of) => {
    expect(await skill(of)).toBeGreaterThan(-0.03);
  });
});
