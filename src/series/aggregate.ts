/** From the readings of one bucket, put in order of time so that the order of arrival never matters, to its value. */
import type { Aggregate } from './spec.ts';

/** Readings of one open bucket. */
export interface Readings {
  readonly times: number[];
  readonly values: number[];
}

/** A counter as it stood at the end of the last bucket, and when; NaN before the first reading. */
export interface CounterState {
  last: number;
  timeMs: number;
}

/** The bucket that is closed, ms. */
export interface BucketSpan {
  readonly startMs: number;
  readonly intervalMs: number;
}

const WRAPS = [2 ** 16, 2 ** 32];
/** A counter that falls by less than this share has been corrected, not reset. */
const CORRECTION = 0.1;
/** It trembles where it falls by less than this: the highest reading stays the one to count from. */
const TREMBLING = 0.01;

/**
 * Increase of a counter from `before` to `after`. A fall is a wrap where the counter stood in the top tenth of a 16- or
 * 32-bit range and came back low; nothing where it is slight; and else a reset, after which it counted up from zero.
 */
export function counterIncrease(before: number, after: number): number {
  if (after >= before) return after - before;
  if (before - after < CORRECTION * before) return 0;
  for (const range of WRAPS) {
    if (before < range && before >= 0.9 * range && after <= 0.1 * range && Number.isInteger(before)) {
      return range - before + after;
    }
  }
  return Math.max(0, after);
}

/** The readings by time; a time occurs once. */
export function inOrder({ times, values }: Readings): Readings {
  if (times.length === 1) return { times, values };
  const order = times.map((_, i) => i).sort((a, b) => times[a] - times[b]);
  return { times: order.map((i) => times[i]), values: order.map((i) => values[i]) };
}

/** The readings of other times than these. */
export function without({ times, values }: Readings, left: readonly number[]): Readings {
  const out = new Set(left);
  const kept = times.map((timeMs) => !out.has(timeMs));
  return { times: times.filter((_, i) => kept[i]), values: values.filter((_, i) => kept[i]) };
}

/**
 * @param readings by time
 * @param counter goes on with every `delta`, and is left alone by the others
 * @returns the bucket's value; NaN for an empty bucket, or for a delta without an earlier reading to count from
 */
export function aggregate(
  kind: Aggregate,
  { times, values }: Readings,
  counter: CounterState,
  span: BucketSpan,
): number {
  const n = values.length;
  if (n === 0) return Number.NaN;
  switch (kind) {
    case 'last':
      return values[n - 1];
    case 'min':
      return values.reduce((low, value) => Math.min(low, value), Infinity);
    case 'max':
      return values.reduce((high, value) => Math.max(high, value), -Infinity);
    case 'sum':
      return sum(values);
    case 'mean':
      return sum(values) / n;
    case 'median': {
      const sorted = [...values].sort((a, b) => a - b);
      return n % 2 === 1 ? sorted[(n - 1) / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
    }
    case 'delta':
      return increase(times, values, counter, span);
  }
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

function increase(
  times: readonly number[],
  values: readonly number[],
  counter: CounterState,
  { startMs, intervalMs }: BucketSpan,
): number {
  const { last, timeMs } = counter;
  let total = 0;
  for (let i = 0; i < values.length; i++) {
    const now = values[i];
    if (!Number.isNaN(counter.last)) total += counterIncrease(counter.last, now);
    if (!(now < counter.last && counter.last - now < TREMBLING * counter.last)) counter.last = now;
  }
  counter.timeMs = times[times.length - 1];
  if (Number.isNaN(last) && values.length === 1) return Number.NaN;
  // What was counted during a gap is not this bucket's alone: it gets its share of the time.
  const passedMs = counter.timeMs - timeMs;
  return timeMs < startMs - intervalMs ? (total * intervalMs) / passedMs : total;
}
