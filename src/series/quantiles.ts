/** The quantile levels that every forecast carries, in order, and the loss that goes with them: one home for both. */
export const QUANTILES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9] as const;

/** Pinball loss of a forecast quantile: weighs misses above by `level` and misses below by 1 - `level`. */
export function pinball(level: number, actual: number, quantile: number): number {
  const error = actual - quantile;
  return error >= 0 ? level * error : (level - 1) * error;
}

/** Mean over the nine levels of twice the pinball loss. @param quantiles nine in order, from `offset` */
export function quantileLoss(actual: number, quantiles: ArrayLike<number>, offset: number): number {
  let sum = 0;
  for (const [q, level] of QUANTILES.entries())
    sum += pinball(level, actual, quantiles[offset + q] as number);
  return (2 * sum) / QUANTILES.length;
}
