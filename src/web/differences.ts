/**
 * Numbers of a picture, kept in single precision as differences from a number beside them that is kept whole: half the bytes,
 * and seven digits of the difference.
 */
const DIGITS = 7;

/**
 * The number again, without what rounding has left behind its last digit: a limit of 0 or 5 comes back as 0 or 5.
 * @param difference as it was kept; NaN for none
 */
export function restored(base: number, difference: number): number {
  if (difference === 0 || !Number.isFinite(difference)) return base + difference;
  const decimals = DIGITS - 1 - Math.floor(Math.log10(Math.abs(difference)));
  return Number((base + difference).toFixed(Math.max(0, Math.min(20, decimals)))) + 0;
}
