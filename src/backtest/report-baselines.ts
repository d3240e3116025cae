/** The two simple forecasters a report compares with, as forecasts of their own, scored by the same code on the same targets. */
import { Q } from '../forecast/forecast.ts';
import type { Grid, Played } from './play.ts';
import {
  empiricalErrors,
  lastKnown,
  type SeriesScore,
  scoreSeries,
  seasonalValue,
  seasonOf,
} from './score.ts';

export interface Baselines {
  readonly naive: SeriesScore;
  readonly seasonal: SeriesScore;
}

/** @param origins buckets at which the scored forecasts were made */
export function scoreBaselines(
  grid: Grid,
  origins: readonly number[],
  horizon: number,
  firstEvaluated: number,
): Baselines {
  const season = seasonOf(grid.intervalMs, firstEvaluated);
  const score = (lag: number): SeriesScore =>
    scoreSeries(grid, repeating(grid, origins, horizon, firstEvaluated, lag), horizon, firstEvaluated);
  const naive = score(1);
  return { naive, seasonal: season === 1 ? naive : score(season) };
}

/** Forecasts that repeat the value of `lag` buckets ago, with the quantiles of their own errors on the history. */
function repeating(
  { actual }: Grid,
  origins: readonly number[],
  horizon: number,
  firstEvaluated: number,
  lag: number,
): Played[] {
  const errors = empiricalErrors(actual, lag, horizon, firstEvaluated);
  return origins.map((origin) => {
    const quantiles = new Float64Array(horizon * Q);
    const last = lastKnown(actual, origin);
    for (let k = 1; k <= horizon; k++) {
      const point = lag === 1 ? last : seasonalValue(actual, origin, k, lag, last);
      for (let q = 0; q < Q; q++) quantiles[(k - 1) * Q + q] = point + errors[k - 1]![q]!;
    }
    return { series: 0, origin, quantiles, kind: lag === 1 ? 'naive' : 'seasonal-naive' };
  });
}
