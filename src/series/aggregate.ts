/** Computes the value of a bucket from its readings, sorted by time so that the order of arrival does not matter. */
import { meanDirection } from './circle.ts';
import type { Counter } from './counter.ts';
import type { Aggregate } from './spec.ts';

/** Readings of one open bucket. */
export interface Readings {
  readonly times: number[];
  readonly values: number[];
}

/** Start and end of a closed bucket, ms. */
interface BucketSpan {
  readonly startMs: number;
  readonly intervalMs: number;
}

/** The readings sorted by time; each time occurs once. */
export function inOrder({ times, values }: Readings): Readings {
  if (times.length === 1) return { times, values };
  const order = times.map((_, i) => i).sort((a, b) => times[a] - times[b]);
  return { times: order.map((i) => times[i]), values: order.map((i) => values[i]) };
}

/** The readings except those at the given times. */
export function without({ times, values }: Readings, left: readonly number[]): Readings {
  const out = new Set(left);
  const kept = times.map((timeMs) => !out.has(timeMs));
  return { times: times.filter((_, i) => kept[i]), values: values.filter((_, i) => kept[i]) };
}

/** The value of a bucket, and whether its counter made an impossible jump. */
interface Aggregated {
  readonly value: number;
  readonly jump: boolean;
}

/**
 * @param readings sorted by time
 * @param counter running state of a counter, updated by every bucket; null for other kinds
 * @returns the bucket's value; NaN for an empty bucket, for an increase without an earlier reading, or if
 *   its only readings are wrong
 */
export function aggregate(
  kind: Aggregate,
  { times, values }: Readings,
  counter: Counter | null,
  span: BucketSpan,
): Aggregated {
  if (counter !== null && values.length > 0) return growth(times, values, counter, span);
  return { value: combined(kind, values), jump: false };
}

function combined(kind: Aggregate, values: readonly number[]): number {
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
    case 'circular-mean':
      return meanDirection(values);
    case 'median': {
      const sorted = [...values].sort((a, b) => a - b);
      return n % 2 === 1 ? sorted[(n - 1) / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
    }
    case 'delta':
    case 'change':
      return Number.NaN;
  }
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

function growth(
  times: readonly number[],
  values: readonly number[],
  counter: Counter,
  { startMs, intervalMs }: BucketSpan,
): Aggregated {
  let total = 0;
  let known = 0;
  let jump = false;
  let sinceMs = Number.NaN;
  for (let i = 0; i < values.length; i++) {
    const { increase, jump: jumped, fromMs } = counter.read(times[i], values[i]);
    jump ||= jumped;
    if (Number.isNaN(increase)) continue;
    if (known === 0) sinceMs = fromMs;
    total += increase;
    known++;
  }
  if (known === 0) return { value: Number.NaN, jump };
  // An increase during a gap belongs only partly to this bucket: use its share of the time.
  const passedMs = times[times.length - 1] - sinceMs;
  return { value: sinceMs < startMs - intervalMs ? (total * intervalMs) / passedMs : total, jump };
}
