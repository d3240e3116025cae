import { describe, expect, it } from 'vitest';
import { type Grid, origins, type Played } from '../../src/backtest/play.ts';
import { scoreText } from '../../src/backtest/report/text.ts';
import { overall, scoreSeries, seasonOf } from '../../src/backtest/score.ts';
import { QUANTILES, quantileLoss } from '../../src/quantiles.ts';

const HOUR = 3_600_000;

function grid(values: number[]): Grid {
  return { name: 'a', startMs: 0, intervalMs: HOUR, actual: Float64Array.from(values) };
}

/** Nine equal quantiles at every lead. */
function point(origin: number, values: number[]): Played {
  return {
    series: 0,
    origin,
    kind: 'gru',
    quantiles: Float64Array.from(values.flatMap((v) => new Array<number>(9).fill(v))),
  };
}

describe('origins', () => {
  it('are the bucket before the first evaluated one, then every stride while the horizon fits', () => {
    expect(origins(100, { start: 0.5, stride: 20, horizon: 10 })).toEqual([49, 69, 89]);
    expect(origins(100, { start: 0.5, stride: 20, horizon: 11 })).toEqual([49, 69]);
    expect(origins(10, { start: 0, stride: 4, horizon: 2 })).toEqual([0, 4]);
  });
});

describe('scoreSeries', () => {
  it('scales by the naive error on the history, and counts only what was observed', () => {
    // History alternates 0, 2: |difference| is 2 everywhere.
    const series = grid([0, 2, 0, 2, 0, 2, 0, 2, 1, Number.NaN, 5]);
    const score = scoreSeries(series, [point(7, [2, 9, 5])], 3, 8);
    expect(score.season).toBe(1);
    expect(score.n).toBe(2);
    // Errors 1 and 0 over scale 2.
    expect(score.mase).toBeCloseTo(0.25, 12);
    expect(score.byLead[0].mae).toBeCloseTo(1, 12);
    const none = { n: 0, mae: null, mase: null, sql: null, coverage: null, bias: null };
    const lead2: unknown = JSON.parse(JSON.stringify(score.byLead[1]));
    expect(lead2).toEqual({ lead: 2, ...none, skillNaive: null, skillSeasonal: null });
    expect(score.byLead[2].mae).toBe(0);
    // A point forecast covers only an exact hit.
    expect(score.coverage).toBe(0.5);
  });

  it('scales by the whole series where the history is constant', () => {
    const score = scoreSeries(grid([5, 5, 5, 5, 5, 9, 5, 9]), [point(5, [5, 5])], 2, 5);
    // Errors 0 and 4 over the naive's mean error of 12 / 7.
    expect(score.mase).toBeCloseTo(2 / (12 / 7), 12);
  });

  it.each([0.1, -3e9, 1e-12])(
    'scales by its own size where all of it is %d, give or take rounding errors',
    (size) => {
      const series = Array.from({ length: 60 }, (_, i) => (i % 7 === 0 ? size * (1 + Number.EPSILON) : size));
      const forecast: Played = {
        series: 0,
        origin: 50,
        kind: 'gru',
        quantiles: Float64Array.from(QUANTILES, (p) => size * (1 + (p - 0.5) * 1e-6)),
      };
      const score = scoreSeries(grid(series), [forecast], 1, 50);
      expect(score.sql).toBeLessThan(1e-6);
      expect(Math.abs(score.skillNaive)).toBeLessThan(0.5);
    },
  );

  it('scales by small changes far from zero', () => {
    const score = scoreSeries(grid([0, 2, 0, 2, 0, 2].map((v) => 1e12 + v / 1000)), [point(3, [1e12])], 1, 4);
    expect(score.mase).toBeCloseTo(0, 12);
    expect(score.bias).toBeCloseTo(0, 12);
    const next = scoreSeries(grid([0, 2, 0, 2, 0, 2].map((v) => 1e12 + v / 1000)), [point(4, [1e12])], 1, 4);
    expect(next.mase).toBeCloseTo(1, 1);
  });

  it('scales by the whole series where there is no history', () => {
    const score = scoreSeries(grid([0, 2, 0, 2, 0, 2]), [point(0, [3])], 1, 0);
    expect(score.mase).toBeCloseTo(0.5, 12);
  });

  it('excludes series without a scored reading from the means, and prints no score for them', () => {
    const scored = scoreSeries(grid([0, 2, 0, 2, 0, 2]), [point(3, [2])], 1, 4);
    const empty = scoreSeries(grid([0, 2, 0, 2, Number.NaN, 2]), [point(3, [2])], 1, 4);
    expect(empty.n).toBe(0);
    expect(overall([scored, empty])).toEqual(overall([scored]));
    expect(new Set(Object.values(overall([empty])))).toEqual(new Set([Number.NaN]));
    const text = scoreText({
      scores: [scored, empty],
      horizon: 1,
      kinds: {},
      refused: {},
      runs: [],
      written: {},
    });
    expect(text.split('\n')[2]).toMatch(/^a +0( +-){5}$/);
  });

  it('finds a perfect forecast better than both naives and the naive itself equal', () => {
    const values = Array.from(
      { length: 400 },
      (_, i) => Math.sin((2 * Math.PI * i) / 24) + 0.3 * Math.sin(i * i),
    );
    const series = grid(values);
    const list = origins(400, { start: 0.5, stride: 7, horizon: 4 });
    const perfect = list.map((o) => point(o, values.slice(o + 1, o + 5)));
    expect(scoreSeries(series, perfect, 4, 200).skillNaive).toBe(1);
    expect(scoreSeries(series, perfect, 4, 200).season).toBe(24);
    const last = list.map((o) => point(o, new Array<number>(4).fill(values[o])));
    // The naive here has no spread, the one it is compared with has: it is worse, never better.
    expect(scoreSeries(series, last, 4, 200).skillNaive).toBeLessThan(0);
  });

  it('is the mean over levels of twice the pinball loss', () => {
    const zero = new Float64Array(9);
    // Levels sum to 4.5: above, sum(q) * e; below, sum(1 - q) * |e|.
    expect(quantileLoss(3, zero, 0)).toBeCloseTo((2 * 4.5 * 3) / 9, 12);
    expect(quantileLoss(-3, zero, 0)).toBeCloseTo((2 * 4.5 * 3) / 9, 12);
  });

  it('takes a day as season only where it divides and is known', () => {
    expect(seasonOf(HOUR, 48)).toBe(24);
    expect(seasonOf(HOUR, 47)).toBe(1);
    expect(seasonOf(1000, 1e6)).toBe(1);
    expect(seasonOf(7 * HOUR, 1e6)).toBe(1);
  });
});
