/**
 * Chooses the number of significant digits needed to distinguish the values of a forecast: six are too few for a meter's total of 45678.9
 * that grows by 0.05.
 */

import { LARGE } from '../series/line.ts';

/** Relative error of single precision for values below `LARGE`. */
const ROUNDING = 1e-5;
/** Digits that resolve the spread of the values. */
const SPREAD_DIGITS = 4;
/** Most digits: further ones are floating-point noise. Leading zeros of a small number count, so a number has at most 14 characters. */
const MOST = 12;
/** Smaller numbers are written with an exponent, without leading zeros: this many digits have 14 characters, too. */
const WITH_EXPONENT = 1e-6;
const MOST_WITH_EXPONENT = 9;
/** Most digits of large numbers whose spread needs more than `MOST`; a double resolves as many. */
const MOST_OF_DOUBLE = 16;
const DECIMALS_OF_LARGE = 3;

/**
 * @param ofSpread digits, besides the first, that resolve the spread
 * @returns significant digits for `values`: at least `least`, more if they are close together far from zero
 */
export function digitsFor(values: ArrayLike<number>, least: number, ofSpread = SPREAD_DIGITS): number {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = 0; i < values.length; i++) {
    low = Math.min(low, values[i]);
    high = Math.max(high, values[i]);
  }
  const largest = Math.max(Math.abs(low), Math.abs(high));
  if (!(largest > 0 && Number.isFinite(largest))) return least;
  if (largest < LARGE && high - low < ROUNDING * largest) return least;
  const digits = place(largest) - place(high - low) + 1 + ofSpread;
  return Math.max(least, Math.min(mostFor(largest), digits));
}

function mostFor(largest: number): number {
  if (largest < WITH_EXPONENT) return MOST_WITH_EXPONENT;
  const withDecimals = place(largest) + 1 + DECIMALS_OF_LARGE;
  return Math.max(MOST + Math.min(0, place(largest)), Math.min(MOST_OF_DOUBLE, withDecimals));
}

/** Decimal exponent of a positive number: 0 for units, 3 for thousands, -1 for tenths; -Infinity for 0. */
const place = (value: number): number => Math.floor(Math.log10(value));

/** Powers of ten that are exact. */
const TEN = Array.from({ length: 23 }, (_, power) => 10 ** power);
/** If the rest after the last digit is this close to a half, the slow conversion decides the rounding. */
const NEAR_HALF = 1e-4;

/**
 * Decimal places of a number with the given number of significant digits; negative: trailing zeros before the point. Leading zeros of a small number
 * do not count.
 */
function placesOf(size: number, digits: number): number {
  let whole = 0;
  while (whole < 9 && size >= TEN[whole]) whole++;
  let places = digits - whole;
  if (whole === 0) for (let least = 0.1; size < least; least /= 10) places++;
  return places;
}

/**
 * The significant digits of a number as an integer, or -1 if only the slow conversion is exact: scaling and rounding has an error
 * of less than 1e-4 of a digit, so only numbers closer than that to a half need the text.
 */
function wholeOf(size: number, places: number): number {
  const scaled = places >= 0 ? size * TEN[places] : size / TEN[-places];
  const rounded = Math.round(scaled);
  return Math.abs(Math.abs(scaled - rounded) - 0.5) > NEAR_HALF ? rounded : -1;
}

/** Whether `wholeOf` is exact enough for this number. */
const isOrdinary = (size: number, digits: number): boolean => size >= 1e-4 && size < 1e9 && digits <= 9;

/**
 * `value` rounded to the given number of significant digits; never a negative zero. Equals `Number(value.toPrecision(digits)) + 0`, which formats
 * and parses a text; the quotient of two exact numbers is also the double nearest to the decimal fraction.
 */
export function inDigits(value: number, digits: number): number {
  const size = Math.abs(value);
  if (isOrdinary(size, digits)) {
    const places = placesOf(size, digits);
    const whole = wholeOf(size, places);
    if (whole >= 0) {
      const result = places >= 0 ? whole / TEN[places] : whole * TEN[-places];
      return value < 0 ? -result : result;
    }
  }
  return Number(value.toPrecision(digits)) + 0;
}

/** Longest output of `writeInDigits`, bytes. */
export const LONGEST_NUMBER = 32;
const [MINUS, POINT, ZERO] = [0x2d, 0x2e, 0x30];

/** Writes the JSON of `inDigits(value, digits)` to `out` from `at` on, without allocating a number or a string. @returns the end */
export function writeInDigits(value: number, digits: number, out: Uint8Array, at: number): number {
  const size = Math.abs(value);
  if (isOrdinary(size, digits)) {
    let places = placesOf(size, digits);
    let whole = wholeOf(size, places);
    if (whole >= 0) {
      let end = at;
      if (value < 0) out[end++] = MINUS;
      for (; places > 0 && whole % 10 === 0; places--) whole /= 10;
      for (; places < 0; places++) whole *= 10;
      return writeDecimal(whole, places, out, end);
    }
  }
  const text = JSON.stringify(inDigits(value, digits));
  for (let i = 0; i < text.length; i++) out[at + i] = text.charCodeAt(i);
  return at + text.length;
}

/** Writes an integer with its last `places` digits after the decimal point. */
export function writeDecimal(whole: number, places: number, out: Uint8Array, at: number): number {
  let length = 1;
  while (whole >= TEN[length]) length++;
  // At least one zero before the point.
  length = Math.max(length, places + 1);
  const end = at + length + (places > 0 ? 1 : 0);
  let rest = whole;
  for (let i = end - 1, left = places; i >= at; i--, left--) {
    if (left === 0 && places > 0) out[i--] = POINT;
    const next = Math.floor(rest / 10);
    out[i] = ZERO + rest - 10 * next;
    rest = next;
  }
  return end;
}
