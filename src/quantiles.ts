/** The quantile levels that every forecast carries, in order, and the loss that goes with them: one home for both. */
export const QUANTILES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9] as const;
/** How many there are. */
export const Q = QUANTILES.length;
/** Which of them is the median. */
export const MEDIAN = 4;

/** Pinball loss of a forecast quantile: weighs misses above by `level` and misses below by 1 - `level`. */
function pinball(level: number, actual: number, quantile: number): number {
  const error = actual - quantile;
  return error >= 0 ? level * error : (level - 1) * error;
}

/** Sum of the pinball losses of p10, p50 and p90. */
export function pinball3(actual: number, low: number, median: number, high: number): number {
  return pinball(0.1, actual, low) + pinball(0.5, actual, median) + pinball(0.9, actual, high);
}

/** Mean over the nine levels of twice the pinball loss. @param quantiles nine in order, from `offset` */
export function quantileLoss(actual: number, quantiles: ArrayLike<number>, offset: number): number {
  let sum = 0;
  for (const [q, level] of QUANTILES.entries()) sum += pinball(level, actual, quantiles[offset + q]);
  return (2 * sum) / Q;
}
