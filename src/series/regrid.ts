/**
 * Converts a stream's history to another grid when the device has changed its rate: merges several buckets into one,
 * or spreads one over several. This preserves the learnt level, seasons and errors.
 */
import type { History } from './history.ts';
import { type Aggregate, isCounter } from './spec.ts';

/** Whether a bucket's value is proportional to its length. */
const isAmount = (aggregate: Aggregate): boolean => aggregate === 'sum' || isCounter(aggregate);

/** Values `lag` steps ago, up to `reach`; 0 is the newest. */
export type Past = Pick<History, 'at' | 'reach'>;

/** Most buckets converted: more would hardly improve the learnt state. */
const MOST = 2048;

interface BucketGrid {
  readonly intervalMs: number;
  /** Label of the newest bucket, ms. */
  readonly newestMs: number;
}

/**
 * @param from current grid of the history
 * @param to new grid, with the newest bucket of the result
 * @returns oldest first; empty if the history is shorter than a bucket
 */
export function regridded(
  history: Past,
  aggregate: Aggregate,
  from: BucketGrid,
  to: BucketGrid,
): { startMs: number; values: Float64Array } {
  const n = Math.min(MOST, Math.floor(((history.reach + 1) * from.intervalMs) / to.intervalMs));
  const startMs = to.newestMs - (n - 1) * to.intervalMs;
  const values = new Float64Array(Math.max(0, n));
  const merge = to.intervalMs > from.intervalMs ? merged : interpolated;
  for (let i = 0; i < n; i++) values[i] = merge(history, aggregate, from, to, startMs + i * to.intervalMs);
  return { startMs, values };
}

/** Lag (fractional) of the old bucket whose middle is at a time. */
const lagAt = (history: Past, from: BucketGrid, timeMs: number): number =>
  Math.min(history.reach, Math.max(0, (from.newestMs + from.intervalMs / 2 - timeMs) / from.intervalMs));

/** Value of a new bucket from the old buckets whose middles are in it. */
function merged(
  history: Past,
  aggregate: Aggregate,
  from: BucketGrid,
  to: BucketGrid,
  startMs: number,
): number {
  const newest = Math.ceil(lagAt(history, from, startMs + to.intervalMs));
  const oldest = Math.max(newest, Math.floor(lagAt(history, from, startMs)));
  let value = history.at(newest);
  let sum = value;
  for (let lag = newest + 1; lag <= oldest; lag++) {
    const old = history.at(lag);
    sum += old;
    if (aggregate === 'min') value = Math.min(value, old);
    else if (aggregate === 'max') value = Math.max(value, old);
  }
  const count = oldest - newest + 1;
  if (isAmount(aggregate)) return (sum * to.intervalMs) / (count * from.intervalMs);
  const ofMean = aggregate === 'mean' || aggregate === 'median' || aggregate === 'circular-mean';
  return ofMean ? sum / count : value;
}

/** Linear interpolation between the middles of the old buckets. */
function interpolated(
  history: Past,
  aggregate: Aggregate,
  from: BucketGrid,
  to: BucketGrid,
  startMs: number,
): number {
  const lag = lagAt(history, from, startMs + to.intervalMs / 2);
  const newer = Math.floor(lag);
  const older = Math.min(history.reach, newer + 1);
  const value = history.at(newer) + (lag - newer) * (history.at(older) - history.at(newer));
  return isAmount(aggregate) ? (value * to.intervalMs) / from.intervalMs : value;
}
