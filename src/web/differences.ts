/** Numbers of a chart, kept in single precision as differences from a number in double precision: seven digits of the difference. */
const DIGITS = 7;

/**
 * The number, rounded to the digits that the difference has: a limit of 0 or 5 is 0 or 5 again.
 * @param difference as it was kept; NaN for none
 */
export function restored(base: number, difference: number): number {
  if (difference === 0 || !Number.isFinite(difference)) return base + difference;
  const decimals = DIGITS - 1 - Math.floor(Math.log10(Math.abs(difference)));
  return Number((base + difference).toFixed(Math.max(0, Math.min(20, decimals)))) + 0;
}
