/**
 * The number of digits that distinguishes the values of a forecast: six are too few for a meter's total of 45678.9
 * that grows by 0.05.
 */

import { LARGE } from '../series/line.ts';

/** Below `LARGE`, this share of the value is what single precision leaves. */
const ROUNDING = 1e-5;
/** Of the spread of the numbers this share is told apart: four digits. */
const SPREAD_DIGITS = 4;
/** Beyond these stands what the arithmetic left; the zeros in front of a small number count, so that a number is 14 characters long at most. */
const MOST = 12;

/** @returns significant digits for `values`: at least `least`, more where they lie close together far from zero */
export function digitsFor(values: ArrayLike<number>, least: number): number {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = 0; i < values.length; i++) {
    low = Math.min(low, values[i]);
    high = Math.max(high, values[i]);
  }
  const largest = Math.max(Math.abs(low), Math.abs(high));
  if (!(largest > 0 && Number.isFinite(largest))) return least;
  if (largest < LARGE && high - low < ROUNDING * largest) return least;
  const digits = place(largest) - place(high - low) + 1 + SPREAD_DIGITS;
  return Math.max(least, Math.min(MOST + Math.min(0, place(largest)), digits));
}

/** Where the first digit of a positive number stands: 0 for units, 3 for thousands, -1 for tenths; of 0, infinitely far back. */
const place = (value: number): number => Math.floor(Math.log10(value));

/** Powers of ten that are exact. */
const TEN = Array.from({ length: 23 }, (_, power) => 10 ** power);
/** How near to a half the digits behind the last one are left to the slow way. */
const NEAR_HALF = 1e-4;

/**
 * Digits behind the point of a number in so many significant digits; below 0: zeros in front of it. Zeros in front of a small number
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
 * The significant digits of a number as a whole number, or -1 where only the slow way is exact: scaled and rounded, a number is off
 * by less than a digit's 1e-4, so that only what is nearer to a half needs the text.
 */
function wholeOf(size: number, places: number, digits: number): number {
  const scaled = places >= 0 ? size * TEN[places] : size / TEN[-places];
  const rounded = Math.round(scaled);
  const fits = rounded >= TEN[digits - 1] && rounded <= TEN[digits];
  return fits && Math.abs(Math.abs(scaled - rounded) - 0.5) > NEAR_HALF ? rounded : -1;
}

/** Whether whole numbers are exact enough for `wholeOf`. */
const isOrdinary = (size: number, digits: number): boolean => size >= 1e-4 && size < 1e9 && digits <= 9;

/**
 * `value` in so many significant digits; never a negative zero. The same as `Number(value.toPrecision(digits)) + 0`, which makes
 * a text and reads it again: a quotient of two exact numbers is the number nearest to their decimal fraction.
 */
export function inDigits(value: number, digits: number): number {
  const size = Math.abs(value);
  if (isOrdinary(size, digits)) {
    const places = placesOf(size, digits);
    const whole = wholeOf(size, places, digits);
    if (whole >= 0) {
      const result = places >= 0 ? whole / TEN[places] : whole * TEN[-places];
      return value < 0 ? -result : result;
    }
  }
  return Number(value.toPrecision(digits)) + 0;
}

/** Longest text that `writeInDigits` writes, bytes. */
export const LONGEST_NUMBER = 32;
const [MINUS, POINT, ZERO] = [0x2d, 0x2e, 0x30];

/** Writes the JSON of `inDigits(value, digits)` to `out` from `at` on, without the number or the text. @returns where it ends */
export function writeInDigits(value: number, digits: number, out: Uint8Array, at: number): number {
  const size = Math.abs(value);
  if (isOrdinary(size, digits)) {
    let places = placesOf(size, digits);
    let whole = wholeOf(size, places, digits);
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

/** A whole number, the last `places` digits of it behind the point. */
export function writeDecimal(whole: number, places: number, out: Uint8Array, at: number): number {
  let length = 1;
  while (whole >= TEN[length]) length++;
  // A zero in front of the point.
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
