import { describe, expect, it } from 'vitest';
import {
  againstBest,
  type PeriodScore,
  periodStart,
  periodText,
  scoreByPeriod,
} from '../../src/backtest/periods.ts';
import type { Grid, Played } from '../../src/backtest/play.ts';
import { Q } from '../../src/quantiles.ts';
import { normal } from '../support/random.ts';

const HOUR = 3_600_000;
const HORIZON = 6;
const Z = [-1.2815516, -0.8416212, -0.5244005, -0.2533471, 0, 0.2533471, 0.5244005, 0.8416212, 1.2815516];
const iso = (ms: number): string => new Date(ms).toISOString();

describe('periodStart', () => {
  it('is the first of the month and the Monday of the week, UTC', () => {
    const time = Date.UTC(2026, 2, 1, 5);
    expect(iso(periodStart(time, 'month'))).toBe('2026-03-01T00:00:00.000Z');
    // The first of March 2026 is a Sunday.
    expect(iso(periodStart(time, 'week'))).toBe('2026-02-23T00:00:00.000Z');
    expect(periodStart(periodStart(time, 'week'), 'week')).toBe(periodStart(time, 'week'));
    expect(iso(periodStart(-1, 'week'))).toBe('1969-12-29T00:00:00.000Z');
  });
});

/** Noise about 0 from the first of January on, and forecasts off by `bias` of the time of the origin. */
function run(bias: (timeMs: number) => number, days = 90) {
  const noise = normal(1);
  const startMs = Date.UTC(2026, 0, 1);
  const grid: Grid = {
    name: 'pump',
    startMs,
    intervalMs: HOUR,
    actual: Float64Array.from({ length: days * 24 }, () => noise()),
  };
  const played: Played[] = [];
  for (let origin = 24 * 30; origin < days * 24 - HORIZON; origin += HORIZON) {
    const off = bias(startMs + origin * HOUR);
    const quantiles = Float64Array.from({ length: HORIZON * Q }, (_, i) => off + Z[i % Q]!);
    played.push({ series: 0, origin, quantiles, kind: 'gru' });
  }
  return { grid, played };
}

describe('scores by period', () => {
  const march = Date.UTC(2026, 2, 1);
  const { grid, played } = run((time) => (time >= march ? 8 : 0));
  const other = run(() => 0).played;
  const scores = scoreByPeriod(grid, played, other, HORIZON, 24 * 30, 'month');

  it('show in which month a forecast was worse than another, and how much', () => {
    expect(scores.map(({ startMs }) => iso(startMs).slice(0, 7))).toEqual(['2026-01', '2026-02', '2026-03']);
    const [, february, third] = scores as [PeriodScore, PeriodScore, PeriodScore];
    expect(february.published).toBeCloseTo(february.untuned!, 9);
    expect(february.published).toBeLessThan(0.9 * february.naive);
    expect(againstBest(february)).toBeCloseTo(1, 9);
    expect(third.untuned).toBeLessThan(third.naive);
    expect(againstBest(third)).toBeCloseTo(third.published / third.untuned!, 9);
    expect(againstBest(third)).toBeGreaterThan(3);
  });

  it('count each forecast once', () => {
    expect(scores.reduce((sum, { n }) => sum + n, 0)).toBe(played.length * HORIZON);
    const weeks = scoreByPeriod(grid, played, null, HORIZON, 24 * 30, 'week');
    expect(weeks).toHaveLength(10);
    expect(weeks.every(({ untuned }) => untuned === null)).toBe(true);
    expect(weeks.reduce((sum, { n }) => sum + n, 0)).toBe(played.length * HORIZON);
  });

  it('are a table that counts the months in which another forecast was better', () => {
    const text = periodText(scores, 'month');
    expect(text).toMatch(/^month .*naive .*seasonal .*not tuned .*to best .*worst/);
    expect(text).toMatch(/^2026-02-01 .* 1\.000 {7}1\.000$/m);
    expect(text).toMatch(/more than 1 % worse than the best of the others: 1 of 3\./);
    expect(periodText(scoreByPeriod(grid, played, null, HORIZON, 24 * 30, 'month'), 'month')).not.toMatch(
      /not tuned/,
    );
  });
});
