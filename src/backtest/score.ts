/**
 * How good a backtest's forecasts were: MASE and SQL (scaled by the seasonal naive's error on the history before the
 * first origin, Hyndman & Koehler 2006), coverage of p10..p90, and skill against the naive and the seasonal naive on the
 * very same targets; over all leads and by lead.
 */
import { MEDIAN, Q, QUANTILES, quantileLoss } from '../quantiles.ts';
import { turnTo } from '../series/circle.ts';
import type { Grid, Played } from './play.ts';

/** Where `n` is 0 nothing was scored: the rest is NaN, null in JSON. */
export interface Score {
  readonly n: number;
  readonly mae: number;
  /** Mean |error of the median| over the scale. */
  readonly mase: number;
  /** Mean over the nine levels of 2 x pinball, over the scale. */
  readonly sql: number;
  readonly coverage: number;
  readonly bias: number;
  /** 1 - loss / loss of the naive, of SQL; the naives' quantiles come from their own errors on the history. */
  readonly skillNaive: number;
  readonly skillSeasonal: number;
}

export interface SeriesScore extends Score {
  readonly series: string;
  readonly season: number;
  readonly byLead: readonly (Score & { readonly lead: number })[];
}

const DAY_MS = 86_400_000;
/** Share of the p05..p95 range below which a scale is not believed. */
const SCALE_FLOOR = 0.01;
/** Share of a series' largest value that is rounding. */
const ROUNDING = 1e-12;
/** A loss of this many scales counts as none; and no loss as more than so many times another. */
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

/** A day where the interval divides it into 4 to 1440 buckets and two of them are known; otherwise 1. */
export function seasonOf(intervalMs: number, known: number): number {
  const perDay = DAY_MS / intervalMs;
  return Number.isInteger(perDay) && perDay >= 4 && perDay <= 1440 && known >= 2 * perDay ? perDay : 1;
}

/** Quantiles of the naives' errors before the first evaluated bucket: for each lead [9]. */
export interface HistoryErrors {
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

/** How far a value is from another one: of directions the shorter way round. */
const difference = ({ circular }: Pick<Grid, 'circular'>, from: number, to: number): number =>
  circular === true ? turnTo(from, to) : to - from;

/** @param errors of this grid and horizon, where they are at hand: they are what costs */
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
      // As it is nearest to what was forecast.
      const near = (forecast: number): number =>
        grid.circular === true ? forecast + turnTo(forecast, seen) : seen;
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

/** What rounding leaves of a series' largest value: the scale of a series that never changes. */
function leastScale(y: ArrayLike<number>): number {
  let size = 0;
  for (let i = 0; i < y.length; i++) if (Math.abs(y[i]) > size) size = Math.abs(y[i]);
  return size > 0 ? Math.max(ROUNDING * size, Number.MIN_VALUE) : 1;
}

function finish(sums: Sums, scale: number): Score {
  const { n } = sums;
  // Beside a naive forecast that is never wrong any loss would be infinitely larger.
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

/** Without a history (`--start 0`), or with a constant one, the whole series stands in for it: by next to nothing, any error is huge. */
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
  if ((n === 0 || scale === 0) && until < y.length) return historyScale(grid, season, y.length);
  return Math.max(scale, leastScale(y));
}

/** What losses are scaled by where the whole series is the history. */
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

/** For each lead the nine quantiles of the (seasonal) naive's errors on the history; at most 2,000 origins are looked at. */
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
 * Over the series of which anything was scored, NaN where there are none: skills as geometric means, as the field compares sets
 * of unlike series.
 */
export function overall(all: readonly SeriesScore[]): {
  mase: number;
  sql: number;
  coverage: number;
  skillNaive: number;
  skillSeasonal: number;
} {
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
