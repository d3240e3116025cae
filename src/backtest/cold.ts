/**
 * How honest forecasts are from the first reading: many short slices of each series are played from nothing, and what is
 * forecast after 1, 2, 4, ... 128 buckets is scored on what came.
 */
import type { Engine } from '../forecast/engine.ts';
import { MEDIAN, Q, quantileLoss } from '../quantiles.ts';
import { turnTo } from '../series/circle.ts';
import { type Grid, type PlayOptions, play, type Reading } from './play.ts';
import { seasonOf, seriesScale } from './score.ts';

/** Buckets seen before a forecast is scored. */
export const COLD_COUNTS: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128];
/** Slices of one series at most. */
const MOST_SLICES = 24;

/** One reading and the forecast that was made of it after `count` buckets. */
export interface ColdPoint {
  readonly series: number;
  readonly count: number;
  readonly lead: number;
  readonly actual: number;
  readonly low: number;
  readonly median: number;
  readonly high: number;
  /** Loss of all nine quantiles, over the scale of the series. */
  readonly loss: number;
}

export interface ColdScore {
  readonly count: number;
  readonly n: number;
  readonly coverage: number;
  readonly sql: number;
}

/** First buckets of the slices of a series: as many as fit, spread over it, each with a reading. */
function sliceStarts(actual: Float64Array, length: number): number[] {
  const room = actual.length - length;
  const count = Math.min(MOST_SLICES, Math.floor(room / 16));
  const starts: number[] = [];
  for (let i = 0; i < count; i++) {
    let at = Math.floor(((i + 0.5) * room) / count);
    while (at < room && Number.isNaN(actual[at])) at++;
    if (at < room) starts.push(at);
  }
  return starts;
}

/** @param fresh makes an engine that has seen nothing */
export async function playCold(
  fresh: () => Engine,
  grids: readonly Grid[],
  options: PlayOptions,
  point: (point: ColdPoint) => void,
): Promise<void> {
  const { horizon } = options;
  const most = Math.max(...COLD_COUNTS);
  const length = most + horizon + 1;
  for (const [series, grid] of grids.entries()) {
    const season = seasonOf(grid.intervalMs, grid.actual.length);
    const scale = seriesScale(grid, season);
    const starts = sliceStarts(grid.actual, length);
    const slices: Grid[] = starts.map((from, s) => ({
      ...grid,
      name: `${grid.name}/${s}`,
      actual: grid.actual.slice(from, from + length),
    }));
    const all: Reading[] = slices.flatMap(({ actual }, s) =>
      Array.from(actual, (value, i) => ({
        series: s,
        // The phase of the day is that of the slice's own place, as far as slices of one engine may share a clock.
        timeMs: grid.startMs + i * grid.intervalMs,
        value,
      })).filter(({ value }) => !Number.isNaN(value)),
    );
    all.sort((a, b) => a.timeMs - b.timeMs);
    const engine = fresh();
    const shared = slices.map((slice) => ({ ...slice, startMs: grid.startMs }));
    const counted = { ...options, aggregate: grid.circular === true ? 'circular-mean' : 'mean' } as const;
    const played = await play(engine, shared, all, { ...counted, start: 0, stride: 1 });
    await engine.release();
    for (const { series: s, origin, quantiles } of played) {
      const count = origin + 1;
      if (!COLD_COUNTS.includes(count)) continue;
      for (let k = 0; k < horizon; k++) {
        const seen = shared[s].actual[origin + 1 + k];
        if (seen === undefined || Number.isNaN(seen)) continue;
        const at = k * Q;
        const median = quantiles[at + MEDIAN];
        const actual = grid.circular === true ? median + turnTo(median, seen) : seen;
        point({
          series,
          count,
          lead: k + 1,
          actual,
          low: quantiles[at],
          median,
          high: quantiles[at + Q - 1],
          loss: quantileLoss(actual, quantiles, at) / scale,
        });
      }
    }
  }
}

/** Means over series, each counting the same. */
export function coldScores(points: readonly ColdPoint[]): ColdScore[] {
  return COLD_COUNTS.map((count) => {
    const bySeries = new Map<number, { n: number; held: number; loss: number }>();
    for (const point of points) {
      if (point.count !== count) continue;
      const sums = bySeries.get(point.series) ?? { n: 0, held: 0, loss: 0 };
      bySeries.set(point.series, sums);
      sums.n++;
      sums.loss += point.loss;
      if (point.actual >= point.low && point.actual <= point.high) sums.held++;
    }
    const all = [...bySeries.values()];
    const mean = (of: (sums: { n: number; held: number; loss: number }) => number): number =>
      all.reduce((sum, one) => sum + of(one), 0) / all.length;
    return {
      count,
      n: all.reduce((sum, { n }) => sum + n, 0),
      coverage: mean(({ n, held }) => held / n),
      sql: mean(({ n, loss }) => loss / n),
    };
  });
}

export function coldText(scores: readonly ColdScore[]): string {
  const rows = scores.map(
    ({ count, n, coverage, sql }) =>
      `${String(count).padEnd(16)}${String(n).padStart(9)}${`${(100 * coverage).toFixed(1)} %`.padStart(10)}${sql.toFixed(3).padStart(9)}`,
  );
  return [
    'buckets seen            n  coverage      SQL',
    ...rows,
    '',
    'Many slices of each series, each forecast from nothing. coverage: share of the readings between p10 and p90, 80 % wanted.',
    'SQL: loss of all nine quantiles over the error of the seasonal naive on the whole series, lower is better.',
    '',
  ].join('\n');
}
