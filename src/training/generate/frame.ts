/** The clock of one generated series, and what every recipe is given. Pure. */
import type { Random } from '../random.ts';

export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;
export const DAY_MS = 86_400_000;

export interface GeneratedSeries {
  /** `<recipe>-<number>` */
  readonly name: string;
  readonly intervalMs: number;
  /** Label of the first bucket, ms since 1970 UTC; a multiple of the interval. */
  readonly startMs: number;
  /** One value a bucket; NaN where nothing was observed. */
  readonly values: Float32Array;
}

export interface Frame {
  readonly rng: Random;
  readonly steps: number;
  readonly intervalMs: number;
  readonly startMs: number;
  /** Local time minus UTC, ms: people and the sun follow local time. */
  readonly zoneMs: number;
}

/** Position in the local day of bucket t, [0, 1). */
export function dayPhase(frame: Frame, t: number): number {
  return fraction((frame.startMs + frame.zoneMs + t * frame.intervalMs) / DAY_MS);
}

/** Day number of bucket t on local time, counted from a Monday; `% 7` is 0 on Mondays. */
export function dayNumber(frame: Frame, t: number): number {
  // 1970-01-01 was a Thursday.
  return Math.floor((frame.startMs + frame.zoneMs + t * frame.intervalMs) / DAY_MS) + 3;
}

/** Position in the local year of bucket t, [0, 1), from the first of January. */
export function yearPhase(frame: Frame, t: number): number {
  return fraction((frame.startMs + frame.zoneMs + t * frame.intervalMs) / (365.2425 * DAY_MS));
}

/** Buckets a span of time has, at least `least`. */
export function bucketsOf(frame: Frame, ms: number, least = 1): number {
  return Math.max(least, Math.round(ms / frame.intervalMs));
}

/** How many days the frame covers. */
export function daysOf(frame: Frame): number {
  return (frame.steps * frame.intervalMs) / DAY_MS;
}

export function fraction(x: number): number {
  return x - Math.floor(x);
}

export function make(frame: Frame, value: (t: number) => number): Float64Array {
  const out = new Float64Array(frame.steps);
  for (let t = 0; t < frame.steps; t++) out[t] = value(t);
  return out;
}

export function standardise(x: Float64Array): Float64Array {
  let mean = 0;
  for (const value of x) mean += value / x.length;
  let variance = 0;
  for (const value of x) variance += (value - mean) ** 2 / x.length;
  const scale = variance > 1e-18 ? 1 / Math.sqrt(variance) : 0;
  for (let i = 0; i < x.length; i++) x[i] = (x[i] - mean) * scale;
  return x;
}
