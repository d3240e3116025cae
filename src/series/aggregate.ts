/** From the readings of one bucket to its value. Readings are put in time order first, so arrival order never matters. */
import type { Aggregate } from './spec.ts';

/** Readings of one open bucket. */
export interface Readings {
  readonly times: number[];
  readonly values: number[];
}

/** A counter as it stood at the end of the last bucket; NaN before the first reading. */
export interface CounterState {
  last: number;
}

const WRAPS = [2 ** 16, 2 ** 32];

/**
 * Increase of a counter from `before` to `after`. A fall is a wrap where the counter stood in the top tenth of a 16- or
 * 32-bit range and came back low, and else a reset, after which it counted up from zero.
 */
export function counterIncrease(before: number, after: number): number {
  if (after >= before) return after - before;
  for (const range of WRAPS) {
    if (before < range && before >= 0.9 * range && after <= 0.1 * range && Number.isInteger(before)) {
      return range - before + after;
    }
  }
  return Math.max(0, after);
}

/**
 * @returns the bucket's value; NaN for an empty bucket, or for a delta without an earlier reading to count from
 */
export function aggregate(kind: Aggregate, readings: Readings, counter: CounterState): number {
  const n = readings.values.length;
  if (n === 0) return Number.NaN;
  const order = readings.times.map((_, i) => i);
  if (n > 1)
    order.sort((a, b) => readings.times[a] - readings.times[b] || readings.values[a] - readings.values[b]);
  const value = (i: number): number => readings.values[order[i]];
  switch (kind) {
    case 'last':
      return value(n - 1);
    case 'min':
      return order.reduce((low, i) => Math.min(low, readings.values[i]), Infinity);
    case 'max':
      return order.reduce((high, i) => Math.max(high, readings.values[i]), -Infinity);
    case 'sum':
    case 'mean': {
      let sum = 0;
      for (let i = 0; i < n; i++) sum += value(i);
      return kind === 'sum' ? sum : sum / n;
    }
    case 'median': {
      const sorted = order.map((i) => readings.values[i]).sort((a, b) => a - b);
      return n % 2 === 1 ? sorted[(n - 1) / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
    }
    case 'delta': {
      let total = 0;
      let known = false;
      for (let i = 0; i < n; i++) {
        const now = value(i);
        if (!Number.isNaN(counter.last)) {
          total += counterIncrease(counter.last, now);
          known = true;
        }
        counter.last = now;
      }
      return known ? total : Number.NaN;
    }
  }
}
