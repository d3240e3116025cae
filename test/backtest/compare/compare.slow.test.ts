import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type CompareRequest, compareGaps, type FillRow } from '../../../src/backtest/compare/compare.ts';
import { drawGaps, missingShare, withoutLost } from '../../../src/backtest/compare/gaps.ts';
import { compareText } from '../../../src/backtest/compare/text.ts';
import type { Grid, Reading } from '../../../src/backtest/play.ts';
import { origins } from '../../../src/backtest/play.ts';
import { ModelRegistry } from '../../../src/model/registry.ts';
import { FILLS } from '../../../src/series/spec.ts';
import { Random } from '../../../src/training/random.ts';
import { normal } from '../../support/random.ts';
import { run } from '../../support/run.ts';
import { tempDirs } from '../../support/temp.ts';

const HOUR = 3_600_000;
const START = Date.UTC(2024, 0, 1);
const temp = tempDirs();

const grid = (values: readonly number[]): Grid => ({
  name: 'a',
  startMs: START,
  intervalMs: HOUR,
  actual: Float64Array.from(values),
});

/** Lengths of the runs of 1. */
function runs(lost: Uint8Array): number[] {
  return [...lost.join('').matchAll(/1+/g)].map(([run]) => run.length);
}

describe('drawGaps', () => {
  const full = grid(Array.from({ length: 2000 }, (_, i) => i));

  it('hides the share asked for, in single buckets and in blocks', () => {
    const lost = drawGaps(full, 0.2, 24, new Random(3));
    expect(lost.reduce((sum, one) => sum + one, 0)).toBe(400);
    const lengths = runs(lost);
    expect(lengths.filter((n) => n === 1).length).toBeGreaterThan(50);
    expect(lengths.filter((n) => n >= 8).length).toBeGreaterThan(3);
  });

  it('repeats itself with the same seed, and only then', () => {
    const draw = (seed: number) => drawGaps(full, 0.1, 12, new Random(seed)).join('');
    expect(draw(5)).toBe(draw(5));
    expect(draw(5)).not.toBe(draw(6));
  });

  it('hides only existing readings, and never the first one', () => {
    const holed = grid(Array.from({ length: 300 }, (_, i) => (i < 10 || i % 3 === 0 ? Number.NaN : i)));
    const lost = drawGaps(holed, 0.9, 24, new Random(1));
    expect(lost[10]).toBe(0);
    lost.forEach((one, i) => {
      if (one) expect(Number.isNaN(holed.actual[i]!)).toBe(false);
    });
    expect(lost.reduce((sum, one) => sum + one, 0)).toBeGreaterThan(150);
    expect(drawGaps(grid([Number.NaN, 1, Number.NaN]), 0.9, 4, new Random(1)).join('')).toBe('000');
  });

  it('takes all readings of a hidden bucket and no others', () => {
    const known: Reading[] = [0, 1, 2].flatMap((i) => [
      { series: 0, timeMs: START + i * HOUR, value: i },
      { series: 0, timeMs: START + i * HOUR + HOUR - 1, value: i },
    ]);
    const left = withoutLost(known, [grid([0, 1, 2])], [Uint8Array.of(0, 1, 0)]);
    expect(left.map(({ value }) => value)).toEqual([0, 0, 2, 2]);
  });

  it('counts gaps from the first reading on', () => {
    expect(missingShare(grid([Number.NaN, Number.NaN, 1, Number.NaN, 2, 3]))).toBe(0.25);
    expect(missingShare(grid([1, 2]))).toBe(0);
  });
});

/** A day with noise, 30 days; `holes` leaves out some rows. */
function file(holes: (i: number) => boolean = () => false): string {
  const noise = normal(2);
  const rows: string[] = [];
  for (let i = 0; i < 720; i++) {
    const value = 20 + 5 * Math.sin((2 * Math.PI * i) / 24) + 0.3 * noise();
    if (!holes(i)) rows.push(`${new Date(START + i * HOUR).toISOString()},${value}`);
  }
  const path = join(temp(), 'plant.csv');
  writeFileSync(path, `time,flow\n${rows.join('\n')}\n`);
  return path;
}

const request = (more: Partial<CompareRequest> = {}): CompareRequest => ({
  time: ['time'],
  columns: 'all',
  interval: HOUR,
  horizon: 8,
  start: 0.5,
  stride: 3,
  model: 'none',
  fill: 'model',
  aggregate: 'mean',
  timezone: 'UTC',
  finetune: null,
  registry: new ModelRegistry(null, null),
  inject: [],
  seed: 1,
  ...more,
});

const of = (rows: readonly FillRow[], fill: string): FillRow => rows.find((row) => row.fill === fill)!;

describe('compareGaps', () => {
  it('scores every fill on the same readings, the hidden ones included', async () => {
    const told: string[] = [];
    const rows = await compareGaps(
      [file()],
      request({ inject: [0.3], progress: (_done, _total, what) => told.push(what) }),
    );
    expect(rows.map(({ fill }) => fill)).toEqual(FILLS);
    expect(told).toHaveLength(FILLS.length);
    const targets = 8 * origins(720, { start: 0.5, stride: 3, horizon: 8 }).length;
    for (const row of rows) {
      expect(row.all.n).toBe(targets);
      expect(row.missing).toBeCloseTo(0.3, 2);
      expect(row.inGap!.n).toBe(of(rows, 'hold').inGap!.n);
      expect(row.inGap!.n).toBeLessThan(targets);
    }
    expect(rows.filter(({ best }) => best).length).toBeGreaterThanOrEqual(1);
    const least = Math.min(...rows.map(({ all }) => all.sql));
    for (const row of rows) expect(row.best).toBe(row.all.sql === least);
    // live, nothing behind the gap is known
    expect(of(rows, 'linear').all).toEqual(of(rows, 'hold').all);
    // a day stands out of the noise: what stood here yesterday says more than the mean
    expect(of(rows, 'seasonal').all.sql).toBeLessThan(of(rows, 'mean').all.sql);
  });

  it('takes the gaps a file has, and refuses a file that has none', async () => {
    const rows = await compareGaps([file((i) => i % 50 > 40)], request());
    expect(rows).toHaveLength(FILLS.length);
    expect(rows[0]!.injected).toBeNull();
    expect(rows[0]!.missing).toBeCloseTo(126 / 720, 9);
    await expect(compareGaps([file()], request())).rejects.toMatchObject({ code: 'NOT_ENOUGH_DATA' });
  });

  it('gives each share the same holes whatever other shares are asked for', async () => {
    const path = file();
    const alone = await compareGaps([path], request({ inject: [0.2] }));
    const both = await compareGaps([path], request({ inject: [0.1, 0.2] }));
    expect(both.slice(FILLS.length)).toEqual(alone);
    const other = await compareGaps([path], request({ inject: [0.2], seed: 2 }));
    expect(other).not.toEqual(alone);
  });

  it.each([[{ finetune: HOUR }], [{ out: 'f.csv' }], [{ report: 'r.html' }]])(
    'refuses what belongs to a single run: %j',
    async (more) => {
      await expect(compareGaps([file()], request({ inject: [0.2], ...more }))).rejects.toMatchObject({
        code: 'USAGE',
      });
    },
  );
});

describe('compareText', () => {
  const score = { n: 10, mase: 0.5, sql: 0.4, coverage: 0.8 };
  const row: FillRow = { injected: 0.2, missing: 0.213, fill: 'hold', all: score, inGap: null, best: false };

  it('marks the best, keeps shares apart, and says what linear is', () => {
    const text = compareText([
      row,
      { ...row, fill: 'model', inGap: score, best: true },
      { ...row, injected: null },
    ]);
    const lines = text.split('\n');
    expect(lines[2]).toMatch(/^21\.3 % {8}hold {12}10 {3}0\.500 {3}0\.400 {3}80\.0 % +-$/);
    expect(lines[3]).toMatch(/^21\.3 % {8}model.*0\.400.*0\.400 {3}80\.0 % {2}\*$/);
    expect(lines[4]).toBe('');
    expect(lines[5]).toMatch(/^21\.3 % real/);
    expect(text).toMatch(/linear: .*repeats the last value/);
  });
});

describe('the command line', () => {
  it.each([
    [['--inject', '0.2'], '--compare gaps'],
    [['--compare', 'models'], 'gaps'],
    [['--compare', 'gaps', '--inject', '1'], '--inject'],
  ])('%j is wrong usage', async (flags, word) => {
    const argv = ['backtest', 'plant.csv', '--interval', '1h', '--horizon', '8', ...flags];
    const { code, err } = await run(...argv);
    expect(code).toBe(2);
    expect(err).toContain(word);
  });
});
