/** Sentinel values that devices and files use for a missing value: -127, -200, -999, 65535. */

const SENTINELS: ReadonlySet<number> = new Set([
  -99, -99.9, -127, -196.6, -200, -242, -255, -273, -273.15, -327.68, -999, -999.9, -3276.8, -9999, -32768,
  327.67, 655.35, 3276.7, 6553.5, 9999, 32767, 65535, 99999, -2147483648, 2147483647, 4294967295,
]);

export const couldBeSentinel = (value: number): boolean => SENTINELS.has(value);

/** Whether a sentinel candidate is clearly separate from the other values of its series, which are from `min` to `max`. */
export function isSeparate(value: number, min: number, max: number): boolean {
  if (!(min <= max)) return false;
  if (value < 0 && min >= 0) return true;
  const span = Math.max(max - min, Math.abs(max) / 10, 1);
  return value < min - 3 * span || value > max + 3 * span;
}
