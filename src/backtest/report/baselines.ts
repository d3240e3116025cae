/** The two naive forecasters in a report, scored by the same code on the same targets as the model. */
import { Q } from '../../quantiles.ts';
import type { Grid, Played } from '../play.ts';
import { historyErrors, lastKnown, type SeriesScore, scoreSeries, seasonalValue } from '../score.ts';

interface Baselines {
  readonly naive: SeriesScore;
  readonly seasonal: SeriesScore;
}

/** @param origins buckets of the scored forecasts */
export function scoreBaselines(
  grid: Grid,
  origins: readonly number[],
  horizon: number,
  firstEvaluated: number,
): Baselines {
  const errors = historyErrors(grid, horizon, firstEvaluated);
  const score = (lag: number, own: readonly Float64Array[]): SeriesScore =>
    scoreSeries(grid, repeating(grid, origins, lag, own), horizon, firstEvaluated, errors);
  const naive = score(1, errors.naive);
  return { naive, seasonal: errors.season === 1 ? naive : score(errors.season, errors.seasonal) };
}

/** Forecasts that repeat the value of `lag` buckets ago. @param errors for each lead, quantiles of its errors, [9] */
function repeating(
  { actual }: Grid,
  origins: readonly number[],
  lag: number,
  errors: readonly Float64Array[],
): Played[] {
  return origins.map((origin) => {
    const quantiles = new Float64Array(errors.length * Q);
    const last = lastKnown(actual, origin);
    errors.forEach((error, i) => {
      const point = lag === 1 ? last : seasonalValue(actual, origin, i + 1, lag, last);
      for (let q = 0; q < Q; q++) quantiles[i * Q + q] = point + error[q];
    });
    return { series: 0, origin, quantiles, kind: lag === 1 ? 'naive' : 'seasonal-naive' };
  });
}
