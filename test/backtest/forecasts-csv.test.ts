import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { writeForecasts } from '../../src/backtest/forecasts-csv.ts';
import type { Grid, Played } from '../../src/backtest/play.ts';
import { Q } from '../../src/quantiles.ts';
import { tempDirs } from '../support/temp.ts';

const temp = tempDirs();

it('forecasts of a large total that hardly changes keep different digits', () => {
  const file = join(temp(), 'f.csv');
  const quantiles = Float64Array.from({ length: 2 * Q }, (_, i) => 1e9 + i / 4);
  const grid = { name: 'meter', startMs: Date.UTC(2025, 0, 1), intervalMs: 3_600_000 } as Grid;
  writeForecasts(file, [grid], [{ series: 0, origin: 3, quantiles } as unknown as Played]);
  const rows = readFileSync(file, 'utf8').trim().split('\n').slice(1);
  expect(rows.flatMap((row) => row.split(',').slice(4).map(Number))).toEqual([...quantiles]);
});
