/**
 * Scores of a backtest's forecasts: MASE and SQL (scaled by the seasonal naive's error on the history before the first
 * origin, Hyndman & Koehler 2006), coverage of p10..p90, and skill relative to the naive and the seasonal naive on the
 * same targets; over all leads and by lead.
 */
import { MEDIAN, Q, QUANTILES, quantileLoss } from '../quantiles.ts';
import { angleDifference } from '../series/circle.ts';
import type { Grid, Played } from './play.ts';

/** If `n` is 0, the other fields are NaN (null in JSON). */
export interface Score {
  readonly n: number;
  readonly mae: number;
  /** Mean |error of the median|, divided by the scale. */
  readonly mase: number;
  /** Mean over the nine levels of 2 x pinball, divided by the scale. */
  readonly sql: number;
  readonly coverage: number;
  readonly bias: number;
  /** 1 - SQL / SQL of the naive, whose quantiles come from its own errors on the history. */
  readonly skillNaive: number;
  readonly skillSeasonal: number;
}

export interface SeriesScore extends Score {
  readonly series: string;
  readonly season: number;
  readonly byLead: readonly (Score & { readonly lead: number })[];
}

const DAY_MS = 86_400_000;
/** Minimum scale, as a share of the p05..p95 range. */
const SCALE_FLOOR = 0.01;
/** Share of a series' largest value that is rounding error. */
const ROUNDING = 4 * Number.EPSILON;
/** A loss below NEGLIGIBLE scales counts as 0, and a ratio of losses as at most MOST. */
const NEGLIGIBLE = 1e-6;
const MOST = 100;

interface Sums {
  n: number;
  absolute: number;
  error: number;
  pinball: number;
  covered: number;
  naive: number;
  seasonal: number;
}

const empty = (): Sums => ({ n: 0, absolute: 0, error: 0, pinball: 0, covered: 0, naive: 0, seasonal: 0 });

/** Buckets per day if that is an integer from 4 to 1440 and two days are known; otherwise 1. */
export function seasonOf(intervalMs: number, known: number): number {
  const perDay = DAY_MS / intervalMs;
  return Number.isInteger(perDay) && perDay >= 4 && perDay <= 1440 && known >= 2 * perDay ? perDay : 1;
}

/** Quantiles of the naives' errors before the first evaluated bucket: for each lead [9]. */
interface HistoryErrors {
  readonly season: number;
  readonly naive: readonly Float64Array[];
  readonly seasonal: readonly Float64Array[];
}

export function historyErrors(grid: Grid, horizon: number, firstEvaluated: number): HistoryErrors {
  const season = seasonOf(grid.intervalMs, firstEvaluated);
  const naive = empiricalErrors(grid, 1, horizon, firstEvaluated);
  const seasonal = season === 1 ? naive : empiricalErrors(grid, season, horizon, firstEvaluated);
  return { season, naive, seasonal };
}

/** `to - from`; for directions, the shorter way round. */
const difference = ({ circular }: Pick<Grid, 'circular'>, from: number, to: number): number =>
  circular === true ? angleDifference(from, to) : to - from;

/** @param errors of this grid and horizon, if already computed: they are expensive */
export function scoreSeries(
  grid: Grid,
  played: readonly Played[],
  horizon: number,
  firstEvaluated: number,
  errors: HistoryErrors = historyErrors(grid, horizon, firstEvaluated),
): SeriesScore {
  const y = grid.actual;
  const { season, naive: naiveErrors, seasonal: seasonalErrors } = errors;
  const scale = historyScale(grid, season, firstEvaluated);
  const leads = Array.from({ length: horizon }, empty);
  const simple = new Float64Array(Q);
  for (const { origin, quantiles } of played) {
    const last = lastKnown(y, origin);
    for (let k = 1; k <= horizon; k++) {
      const seen = y[origin + k];
      if (Number.isNaN(seen)) continue;
      const sums = leads[k - 1];
      const at = (k - 1) * Q;
      const error = difference(grid, seen, quantiles[at + MEDIAN]);
      // a direction is shifted by full turns to be nearest to the forecast
      const near = (forecast: number): number =>
        grid.circular === true ? forecast + angleDifference(forecast, seen) : seen;
      const actual = near(quantiles[at + MEDIAN]);
      sums.n++;
      sums.absolute += Math.abs(error);
      sums.error += error;
      sums.pinball += quantileLoss(actual, quantiles, at);
      if (actual >= quantiles[at] && actual <= quantiles[at + Q - 1]) sums.covered++;
      for (let q = 0; q < Q; q++) simple[q] = last + naiveErrors[k - 1][q];
      sums.naive += quantileLoss(near(last), simple, 0);
      const seasonal = season === 1 ? last : seasonalValue(y, origin, k, season, last);
      for (let q = 0; q < Q; q++) simple[q] = seasonal + seasonalErrors[k - 1][q];
      sums.seasonal += quantileLoss(near(seasonal), simple, 0);
    }
  }
  return {
    series: grid.name,
    season,
    ...finish(
      leads.reduce((a, b) => {
        for (const key of Object.keys(a) as (keyof Sums)[]) a[key] += b[key];
        return a;
      }, empty()),
      scale,
    ),
    byLead: leads.map((sums, i) => ({ lead: i + 1, ...finish(sums, scale) })),
  };
}

/** Largest absolute value; 0 if there is none. */
function sizeOf(y: ArrayLike<number>): number {
  let size = 0;
  for (let i = 0; i < y.length; i++) if (Math.abs(y[i]) > size) size = Math.abs(y[i]);
  return size;
}

function finish(sums: Sums, scale: number): Score {
  const { n } = sums;
  // avoids an infinite ratio when the naive forecast is never wrong
  const negligible = NEGLIGIBLE * scale * n;
  const ratio = (other: number): number =>
    sums.pinball === 0 && other > 0 ? 0 : (sums.pinball + negligible) / (other + negligible);
  const skill = (other: number): number => (n === 0 ? Number.NaN : 1 - Math.min(MOST, ratio(other)));
  return {
    n,
    mae: sums.absolute / n,
    mase: sums.absolute / n / scale,
    sql: sums.pinball / n / scale,
    coverage: sums.covered / n,
    bias: sums.error / n,
    skillNaive: skill(sums.naive),
    skillSeasonal: skill(sums.seasonal),
  };
}

/**
 * Scale from the history before `until`; from the whole series if the history is empty (`--start 0`) or constant. The scale
 * of a constant series is its own size, because the naive's error is 0 or rounding error.
 */
function historyScale(grid: Grid, season: number, until: number): number {
  const y = grid.actual;
  let sum = 0;
  let n = 0;
  const known: number[] = [];
  for (let i = 0; i < until; i++) {
    if (Number.isFinite(y[i])) known.push(y[i]);
    const change = i >= season ? Math.abs(difference(grid, y[i - season], y[i])) : Number.NaN;
    if (Number.isFinite(change)) {
      sum += change;
      n++;
    }
  }
  known.sort((a, b) => a - b);
  const at = (share: number): number =>
    known[Math.min(known.length - 1, Math.floor(share * known.length))] ?? 0;
  const floor = SCALE_FLOOR * (at(0.95) - at(0.05));
  const scale = Math.max(n > 0 ? sum / n : 0, floor);
  const size = sizeOf(y);
  if (n > 0 && scale > ROUNDING * size) return scale;
  return until < y.length ? historyScale(grid, season, y.length) : size || 1;
}

/** Scale from the whole series. */
export const seriesScale = (grid: Grid, season: number): number =>
  historyScale(grid, season, grid.actual.length);

export function lastKnown(y: ArrayLike<number>, origin: number): number {
  for (let i = origin; i >= 0; i--) if (Number.isFinite(y[i])) return y[i];
  return 0;
}

export function seasonalValue(
  y: ArrayLike<number>,
  origin: number,
  k: number,
  season: number,
  last: number,
): number {
  for (let at = origin + k - season * Math.ceil(k / season); at >= 0; at -= season) {
    if (Number.isFinite(y[at])) return y[at];
  }
  return last;
}

/** For each lead, the nine quantiles of the (seasonal) naive's errors on the history, from at most 2,000 origins. */
function empiricalErrors(grid: Grid, season: number, horizon: number, until: number): Float64Array[] {
  const y = grid.actual;
  const stride = Math.max(1, Math.floor(until / 2000));
  return Array.from({ length: horizon }, (_, i) => {
    const k = i + 1;
    const back = season * Math.ceil(k / season);
    const found: number[] = [];
    for (let t = back; t < until; t += stride) {
      const error = difference(grid, y[t - (season === 1 ? k : back)], y[t]);
      if (Number.isFinite(error)) found.push(error);
    }
    const errors = Float64Array.from(found).sort();
    return Float64Array.from(QUANTILES, (level) => {
      if (errors.length === 0) return 0;
      const position = level * (errors.length - 1);
      const low = Math.floor(position);
      const high = Math.min(errors.length - 1, low + 1);
      return errors[low] + (position - low) * (errors[high] - errors[low]);
    });
  });
}

/**
 * Means over the series that have scored readings, NaN if there are none. Skills are averaged geometrically, as is usual
 * for ratios of unlike series.
 */
export function overall(
  all: readonly SeriesScore[],
): Pick<Score, 'mase' | 'sql' | 'coverage' | 'skillNaive' | 'skillSeasonal'> {
  const scores = all.filter(({ n }) => n > 0);
  const mean = (of: (score: SeriesScore) => number): number =>
    scores.reduce((sum, score) => sum + of(score), 0) / scores.length;
  const skill = (of: (score: SeriesScore) => number): number =>
    1 - Math.exp(mean((score) => Math.log(Math.max(0.01, 1 - of(score)))));
  return {
    mase: mean((score) => score.mase),
    sql: mean((score) => score.sql),
    coverage: mean((score) => score.coverage),
    skillNaive: skill((score) => score.skillNaive),
    skillSeasonal: skill((score) => score.skillSeasonal),
  };
}
