/**
 * Scores the forecasts of new streams: many short slices of each series are played as a new stream, and its forecasts
 * after 1, 2, 4, ... 128 buckets are scored against the readings that followed.
 */
import type { Engine } from '../forecast/engine.ts';
import { MEDIAN, Q, quantileLoss } from '../quantiles.ts';
import { angleDifference } from '../series/circle.ts';
import { type Grid, type PlayOptions, specOf } from './play.ts';
import { seasonOf, seriesScale } from './score.ts';

/** Buckets seen before a forecast is scored. */
export const COLD_COUNTS: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128];
/** Maximum number of slices of one series. */
const MOST_SLICES = 24;

/** One reading and its forecast, made when the stream had seen `count` buckets. */
export interface ColdPoint {
  readonly series: number;
  /** Whether the slice is in the first half of its series: for choosing settings; the second half is for reporting them. */
  readonly isFirstHalf: boolean;
  readonly count: number;
  readonly lead: number;
  /** [count] values seen before the forecast. */
  readonly past: Float64Array;
  readonly actual: number;
  /** [9] */
  readonly quantiles: Float64Array;
  /** Loss of all nine quantiles, divided by the scale of the series. */
  readonly loss: number;
}

interface ColdScore {
  readonly count: number;
  readonly n: number;
  readonly coverage: number;
  readonly sql: number;
}

/** First buckets of the slices: at most `most`, spread evenly over the series, each with a reading. */
function sliceStarts(actual: Float64Array, length: number, most: number): number[] {
  const room = actual.length - length;
  const count = Math.min(most, Math.floor(room / 16));
  const starts: number[] = [];
  for (let i = 0; i < count; i++) {
    let at = Math.floor(((i + 0.5) * room) / count);
    while (at < room && Number.isNaN(actual[at])) at++;
    if (at < room) starts.push(at);
  }
  return starts;
}

/**
 * Plays the slices one after the other, each on its own clock.
 * @param engine adding the stream again for each slice resets it
 */
export async function playCold(
  engine: Engine,
  grids: readonly Grid[],
  options: PlayOptions,
  point: (point: ColdPoint) => void,
  mostSlices = MOST_SLICES,
): Promise<void> {
  const { horizon } = options;
  const most = Math.max(...COLD_COUNTS);
  const length = most + horizon + 1;
  for (const [series, grid] of grids.entries()) {
    const { intervalMs, actual: all } = grid;
    const circular = grid.circular === true;
    const stream = grid.name;
    const scale = seriesScale(grid, seasonOf(intervalMs, all.length));
    for (const from of sliceStarts(all, length, mostSlices)) {
      const actual = all.subarray(from, from + length);
      const aggregate = circular ? 'circular-mean' : 'mean';
      engine.add(specOf(stream, { ...options, aggregate }));
      for (let i = 0; i < most; i++) {
        const startMs = grid.startMs + (from + i) * intervalMs;
        const value = actual[i] as number;
        if (!Number.isNaN(value)) engine.push({ stream, timeMs: startMs, value, arrivalMs: startMs });
        const [forecast] = await engine.tick(startMs + intervalMs);
        const count = i + 1;
        if (forecast === undefined || !COLD_COUNTS.includes(count)) continue;
        for (let k = 0; k < horizon; k++) {
          const seen = actual[count + k] as number;
          if (Number.isNaN(seen)) continue;
          const quantiles = forecast.quantiles.subarray(k * Q, (k + 1) * Q);
          const median = quantiles[MEDIAN] as number;
          const outcome = circular ? median + angleDifference(median, seen) : seen;
          const loss = quantileLoss(outcome, quantiles, 0) / scale;
          point({
            series,
            isFirstHalf: from + length <= all.length / 2,
            count,
            lead: k + 1,
            past: actual.subarray(0, count),
            actual: outcome,
            quantiles,
            loss,
          });
        }
      }
    }
    engine.remove(stream);
  }
}

/** Unweighted means over the series. */
function coldScores(points: readonly ColdPoint[]): ColdScore[] {
  return COLD_COUNTS.map((count) => {
    const bySeries = new Map<number, { n: number; held: number; loss: number }>();
    for (const point of points) {
      if (point.count !== count) continue;
      const sums = bySeries.get(point.series) ?? { n: 0, held: 0, loss: 0 };
      bySeries.set(point.series, sums);
      sums.n++;
      sums.loss += point.loss;
      const rounding = 1e-6 * Math.abs(point.actual);
      const [low, high] = [point.quantiles[0] as number, point.quantiles[Q - 1] as number];
      if (point.actual >= low - rounding && point.actual <= high + rounding) sums.held++;
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

/** Scores of all slices, of those in each half of the series, and of each series. */
interface ColdReport {
  readonly cold: readonly ColdScore[];
  readonly firstHalf: readonly ColdScore[];
  readonly secondHalf: readonly ColdScore[];
  readonly series: readonly { readonly name: string; readonly scores: readonly ColdScore[] }[];
}

/** @param names of the series */
export function coldReport(points: readonly ColdPoint[], names: readonly string[]): ColdReport {
  const bySeries = names.map((): ColdPoint[] => []);
  for (const point of points) bySeries[point.series]?.push(point);
  return {
    cold: coldScores(points),
    firstHalf: coldScores(points.filter(({ isFirstHalf }) => isFirstHalf)),
    secondHalf: coldScores(points.filter(({ isFirstHalf }) => !isFirstHalf)),
    series: names.map((name, at) => ({ name, scores: coldScores(bySeries[at] ?? []) })),
  };
}

const percent = (share: number): string => (Number.isNaN(share) ? '-' : `${(100 * share).toFixed(1)} %`);
const loss = (sql: number): string => (Number.isNaN(sql) ? '-' : sql.toFixed(3));

export function coldText({ cold, firstHalf, secondHalf, series }: ColdReport): string {
  const pair = (score: ColdScore | undefined): string =>
    percent(score?.coverage ?? Number.NaN).padStart(10) + loss(score?.sql ?? Number.NaN).padStart(9);
  const rows = cold.map(
    (score, at) =>
      `${String(score.count).padEnd(16)}${String(score.n).padStart(9)}${pair(score)}${pair(firstHalf[at])}${pair(secondHalf[at])}`,
  );
  const each = series.map(
    ({ name, scores }) =>
      `${name.slice(0, 31).padEnd(32)}${scores.map(({ coverage }) => percent(coverage).padStart(9)).join('')}`,
  );
  return [
    'buckets seen            n  coverage      SQL  1st half      SQL  2nd half      SQL',
    ...rows,
    '',
    ...(series.length < 2
      ? []
      : [
          `${'coverage after'.padEnd(32)}${COLD_COUNTS.map((count) => String(count).padStart(9)).join('')}`,
          ...each,
          '',
        ]),
    'Each slice of a series starts as a new stream. coverage: share of the readings between p10 and p90; the target is 80 %.',
    'Choose settings by slices of the first half of the series, and report their scores on those of the second half.',
    'SQL: loss of all nine quantiles divided by the error of the seasonal naive on the whole series, lower is better.',
    '',
  ].join('\n');
}
