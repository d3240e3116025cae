/** Numbers of a chart are stored as single-precision differences from a double-precision base: seven digits each. */
const DIGITS = 7;

/**
 * `base + difference`, rounded to the digits of the difference, so that a limit of 0 or 5 is restored exactly.
 * @param difference as stored; NaN for none
 */
export function restored(base: number, difference: number): number {
  if (difference === 0 || !Number.isFinite(difference)) return base + difference;
  const decimals = DIGITS - 1 - Math.floor(Math.log10(Math.abs(difference)));
  return Number((base + difference).toFixed(Math.max(0, Math.min(20, decimals)))) + 0;
}
