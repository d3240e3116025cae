import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runBacktest } from '../../src/backtest/run.ts';
import { ModelRegistry } from '../../src/model/registry.ts';
import { normal } from '../support/random.ts';
import { tempDirs } from '../support/temp.ts';

const temp = tempDirs();
const HOUR = 3_600_000;
const DAYS = 90;
const SHIFT = 76.5 * 24;

/** Hourly noise of 1 about a level. */
function write(level: (hour: number) => number): string {
  const noise = normal(7);
  const rows = Array.from({ length: DAYS * 24 }, (_, hour) => {
    const time = new Date(Date.UTC(2026, 0, 1) + hour * HOUR).toISOString();
    return `${time},${(level(hour) + noise()).toFixed(4)}`;
  });
  const file = join(temp(), 'level.csv');
  writeFileSync(file, `time,value\n${rows.join('\n')}\n`);
  return file;
}

async function skill(file: string): Promise<number> {
  const text = await runBacktest([file], {
    time: ['time'],
    columns: 'all',
    interval: HOUR,
    horizon: 48,
    // The last 27 days, every origin.
    start: 0.7,
    stride: 1,
    model: 'base',
    fill: 'model',
    aggregate: 'mean',
    timezone: 'UTC',
    finetune: null,
    json: true,
    registry: new ModelRegistry(null),
  });
  return (JSON.parse(text) as { overall: { skillNaive: number } }).overall.skillNaive;
}

describe('the base model on a stream whose level shifts by 50 sigma', () => {
  it('is over 27 days no more than 3 % worse than the naive forecast', async () => {
    expect(await skill(write((hour) => (hour < SHIFT ? 0 : 50)))).toBeGreaterThan(-0.03);
  });
});
