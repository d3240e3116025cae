import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Grid, Played } from '../../../src/backtest/play.ts';
import { scoreBaselines } from '../../../src/backtest/report/baselines.ts';
import { calibration, shares } from '../../../src/backtest/report/calibration.ts';
import { chooseForecasts, fanChart, lossOf } from '../../../src/backtest/report/fan.ts';
import type { ReportInput, ReportSeries } from '../../../src/backtest/report/input.ts';
import { buildReport } from '../../../src/backtest/report/report.ts';
import { runBacktest } from '../../../src/backtest/run.ts';
import { scoreSeries } from '../../../src/backtest/score.ts';
import { ModelRegistry } from '../../../src/model/registry.ts';
import { normal } from '../../support/random.ts';
import { tempDirs } from '../../support/temp.ts';

const HOUR = 3_600_000;
const temp = tempDirs();

function grid(name: string, buckets: number, value: (i: number) => number): Grid {
  return {
    name,
    startMs: Date.UTC(2024, 0, 1),
    intervalMs: HOUR,
    actual: Float64Array.from({ length: buckets }, (_, i) => value(i)),
  };
}

/** Nine quantiles around a point at every lead, `width` apart. */
function fan(origin: number, horizon: number, centre: (k: number) => number, width: number): Played {
  const quantiles = new Float64Array(horizon * 9);
  for (let k = 1; k <= horizon; k++)
    for (let q = 0; q < 9; q++) quantiles[(k - 1) * 9 + q] = centre(k) + (q - 4) * width;
  return { series: 0, origin, quantiles, kind: 'gru' };
}

function example(name: string, horizon: number, buckets = 400): ReportSeries {
  const noise = normal(7);
  const one = grid(name, buckets, (i) => 20 + 5 * Math.sin((2 * Math.PI * i) / 24) + noise());
  const first = Math.floor(buckets / 2);
  const played: Played[] = [];
  for (let origin = first - 1; origin + horizon < buckets; origin += 5) {
    played.push(fan(origin, horizon, (k) => 20 + 5 * Math.sin((2 * Math.PI * (origin + k)) / 24), 0.35));
  }
  return { grid: one, played, first, score: scoreSeries(one, played, horizon, first) };
}

function input(series: ReportSeries[], horizon: number, more: Partial<ReportInput> = {}): ReportInput {
  const kinds = { gru: series.length };
  const settings: [string, string][] = [['model', 'base 1']];
  return {
    files: ['plant.csv'],
    series,
    horizon,
    settings,
    kinds,
    refused: {},
    runs: [],
    tuned: false,
    ...more,
  };
}

describe('buildReport', () => {
  it('is one file without links to other files or scripts', () => {
    const html = buildReport(input([example('a', 24)], 24));
    expect(html).not.toMatch(/<script|<link|<img|<iframe|src=|url\(|@import|https?:|\son\w+=/i);
    expect(html.match(/<svg viewBox/g)?.length).toBeGreaterThan(10);
    expect(html).not.toMatch(/NaN|undefined|Infinity/);
  });

  it('shows the names of files and series as text, whatever they hold', () => {
    const evil = `<img src=x onerror=alert(1)>&"'`;
    const html = buildReport(
      input([example(evil, 12)], 12, {
        files: [`${evil}.csv`],
        tuned: true,
        runs: [{ file: evil, timeMs: 0, bucket: 1, promoted: false, reason: evil, seconds: 1 }],
      }),
    );
    expect(html).not.toContain('<img');
    expect(html).toContain('&#60;img src=x');
  });

  it('holds every score, and says where a series is worse than a naive', () => {
    const good = example('good', 24);
    const bad = {
      ...good,
      played: good.played.map((one) => ({ ...one, quantiles: one.quantiles.map((v) => v + 40) })),
    };
    const score = scoreSeries(good.grid, bad.played, 24, good.first);
    const html = buildReport(
      input([good, { ...bad, grid: { ...good.grid, name: 'bad' }, score: { ...score, series: 'bad' } }], 24),
    );
    expect(html).toContain(`<td class="n">${good.score.mase.toFixed(3)}</td>`);
    expect(html).toContain(`<td class="n">${score.sql.toFixed(3)}</td>`);
    expect(html.match(/better than both naives/g)).toHaveLength(1);
    expect(html).toMatch(/chip bad">worse than the/);
  });

  it('shows what fine-tuning did and why, or that it was off', () => {
    const series = [example('a', 12)];
    expect(buildReport(input(series, 12))).toContain('Fine-tuning was off');
    expect(buildReport(input(series, 12, { tuned: true }))).toContain('enough new readings');
    const run = { file: 'plant.csv', bucket: 600, seconds: 3.21 };
    const html = buildReport(
      input(series, 12, {
        tuned: true,
        runs: [
          { ...run, timeMs: Date.UTC(2024, 1, 2), promoted: true, reason: 'saves 4.0 % of the loss' },
          { ...run, timeMs: Date.UTC(2024, 1, 9), promoted: false, reason: 'no better than the champion' },
        ],
      }),
    );
    for (const text of ['2024-02-02 00:00', 'saves 4.0 %', '3.2 s', 'no better than the champion', '600'])
      expect(html).toContain(text);
    expect(html).toContain('2 fine-tunes, 1 promoted');
  });

  it('stays below 3 MB for 60 series at the longest horizon, and charts no more than 60', () => {
    const one = example('sensor', 336, 740);
    const many = Array.from({ length: 61 }, (_, i) => ({
      ...one,
      score: { ...one.score, series: `sensor ${i}`, sql: i },
    }));
    const html = buildReport(input(many, 336));
    expect(html.length).toBeLessThan(3_000_000);
    expect(html.match(/<section class="card"/g)).toHaveLength(60);
    expect(html).toContain('60 of 61 series with the largest SQL');
    expect(html).not.toContain('id="s0"');
    expect(html).toContain('id="s60"');
  });

  it('has room for a file without a single scored reading', () => {
    const empty = grid('silent', 100, (i) => (i < 50 ? i : Number.NaN));
    const played = [fan(49, 12, () => 1, 1)];
    const score = scoreSeries(empty, played, 12, 50);
    const html = buildReport(input([{ grid: empty, played, first: 50, score }], 12));
    expect(html).toContain('no readings to score');
    expect(html).not.toContain('0.000');
    // Beside one that was scored, it does not make that one's mean better.
    const beside = example('a', 12);
    const both = buildReport(input([beside, { grid: empty, played, first: 50, score }], 12));
    expect(both).toMatch(new RegExp(`overall</td>.*<td class="n">${beside.score.mase.toFixed(3)}</td>`));
    expect(both).not.toMatch(/NaN|Infinity/);
    expect(html).not.toMatch(/NaN|Infinity/);
  });
});

describe('the naives of a report', () => {
  it('are the very ones that skill is measured against: their own skill is 0', () => {
    const { grid: one, played, first } = example('a', 24);
    const origins = played.map(({ origin }) => origin);
    const { naive, seasonal } = scoreBaselines(one, origins, 24, first);
    expect(naive.n).toBe(scoreSeries(one, played, 24, first).n);
    expect(naive.skillNaive).toBeCloseTo(0, 12);
    expect(seasonal.skillSeasonal).toBeCloseTo(0, 12);
    // the series has a day, so that the two differ
    expect(seasonal.mase).toBeLessThan(0.5 * naive.mase);
  });
});

describe('calibration', () => {
  it('finds a forecast calibrated that is, and one that is too narrow', () => {
    const random = normal(3);
    const noisy = grid('a', 4001, () => random());
    const levels = [-1.28155, -0.84162, -0.5244, -0.25335, 0, 0.25335, 0.5244, 0.84162, 1.28155];
    const at = (scale: number) =>
      Array.from({ length: 4000 }, (_, origin): Played => {
        const quantiles = Float64Array.from(levels, (level) => scale * level);
        return { series: 0, origin, quantiles, kind: 'gru' };
      });
    shares(calibration(noisy, at(1))).forEach((share, q) => {
      expect(Math.abs(share - (q + 1) / 10)).toBeLessThan(0.03);
    });
    const narrow = shares(calibration(noisy, at(0.3)));
    expect(narrow[0]).toBeGreaterThan(0.3);
    expect(narrow[8]).toBeLessThan(0.7);
  });

  it('counts readings that equal their quantile as either side, whichever is nearer to nominal', () => {
    const shut = grid('valve', 11, () => 0);
    const zero = Array.from({ length: 10 }, (_, origin) => fan(origin, 1, () => 0, 0));
    expect(shares(calibration(shut, zero))).toEqual([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]);
    const above = Array.from({ length: 10 }, (_, origin) => fan(origin, 1, () => 1, 0));
    expect(shares(calibration(shut, above))[0]).toBe(1);
  });
});

describe('fan charts', () => {
  it('show a typical, a poor and the newest forecast, not the prettiest', () => {
    const flat = grid('a', 60, () => 0);
    // the error grows with the origin, but the newest is the best
    const played = Array.from({ length: 21 }, (_, i) => fan(10 + i, 4, () => (i === 20 ? 0 : 1 + i), 0.1));
    const picks = chooseForecasts(flat, played);
    expect(picks.map(({ name }) => name)).toEqual(['typical', 'poor', 'newest']);
    const losses = played.map((one) => lossOf(flat, one)).sort((a, b) => a - b);
    expect(lossOf(flat, picks[0]!.played)).toBe(losses[10]);
    expect(lossOf(flat, picks[1]!.played)).toBe(losses[18]);
    expect(picks[2]!.played.origin).toBe(30);
    expect(chooseForecasts(flat, played.slice(0, 1))).toHaveLength(1);
  });

  it('leaves a gap where nothing was observed, and keeps the highest spike however long the history', () => {
    const observedOf = (chart: string) => /class="observed" d="([^"]*)"/.exec(chart)![1]!;
    const whole = grid('a', 100, (i) => i % 7);
    const holed = grid('a', 100, (i) => (i > 60 && i < 70 ? Number.NaN : i % 7));
    const one = fan(80, 12, () => 3, 0.5);
    expect(observedOf(fanChart(whole, { name: 'newest', played: one })).match(/M/g)).toHaveLength(1);
    expect(observedOf(fanChart(holed, { name: 'newest', played: one })).match(/M/g)).toHaveLength(2);
    const spiky = grid('a', 2000, (i) => (i === 1213 ? 50 : 0));
    const heights = [
      ...observedOf(fanChart(spiky, { name: 'newest', played: fan(1300, 336, () => 0, 1) })).matchAll(
        /[ML][\d.]+ ([\d.]+)/g,
      ),
    ].map((m) => Number(m[1]));
    // the top of the chart is reached, but for the room above the highest value
    expect(Math.min(...heights)).toBeLessThan(25);
    expect(heights.length).toBeLessThan(300);
  });
});

describe('backtest --report', () => {
  const request = (more: object) => ({
    time: ['time'],
    columns: 'all' as const,
    interval: HOUR,
    horizon: 6,
    start: 0.5,
    stride: 6,
    model: 'none',
    fill: 'model' as const,
    aggregate: 'mean' as const,
    timezone: 'UTC',
    finetune: null,
    registry: new ModelRegistry(null, null),
    ...more,
  });
  const csv = (folder: string): string => {
    const path = join(folder, 'plant.csv');
    const rows = Array.from(
      { length: 120 },
      (_, i) => `${new Date(Date.UTC(2024, 0, 1) + i * HOUR).toISOString()},${Math.sin(i / 4)}`,
    );
    writeFileSync(path, `time,flow\n${rows.join('\n')}\n`);
    return path;
  };

  it('writes the report beside the printed scores, which it agrees with', async () => {
    const folder = temp();
    const report = join(folder, 'deep', 'report.html');
    const text = await runBacktest([csv(folder)], request({ report }));
    expect(text).toContain(`report: ${report}`);
    const html = readFileSync(report, 'utf8');
    const [, mase] = /^flow\s+\d+\s+([\d.]+)/m.exec(text)!;
    expect(html).toContain(`<td class="n">${mase}</td>`);
    expect(html).toContain('plant.csv');
  });

  it('never overwrites its input, and refuses a start that leaves no origin', async () => {
    const folder = temp();
    const file = csv(folder);
    const before = readFileSync(file, 'utf8');
    for (const over of [
      { out: file },
      { report: join(folder, '.', 'plant.csv') },
      { out: 'x', report: './x' },
    ])
      await expect(runBacktest([file], request(over))).rejects.toMatchObject({ code: 'USAGE' });
    expect(readFileSync(file, 'utf8')).toBe(before);
    await expect(runBacktest([file], request({ start: 0.999 }))).rejects.toMatchObject({
      code: 'NOT_ENOUGH_DATA',
    });
  });

  it('fails before the run when the report cannot be written', async () => {
    const folder = temp();
    const file = csv(folder);
    const out = join(folder, 'f.csv');
    await expect(runBacktest([file], request({ report: join(file, 'r.html'), out }))).rejects.toMatchObject({
      code: 'FILE_UNWRITABLE',
    });
    expect(readdirSync(folder)).toEqual(['plant.csv']);
  });

  it('leaves what a former run wrote when it fails', async () => {
    const folder = temp();
    const files = { out: join(folder, 'f.csv'), report: join(folder, 'f.html') };
    for (const path of Object.values(files)) writeFileSync(path, 'of before');
    await expect(runBacktest([join(folder, 'none.csv')], request(files))).rejects.toMatchObject({
      code: 'FILE_UNREADABLE',
    });
    for (const path of Object.values(files)) expect(readFileSync(path, 'utf8')).toBe('of before');
    expect(readdirSync(folder)).toEqual(['f.csv', 'f.html']);
  });
});
