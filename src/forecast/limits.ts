/** Clips forecasts to the possible range of a stream. */
import type { Features } from '../series/features.ts';
import type { StreamSpec } from '../series/spec.ts';

/** Share of readings at the lowest value from which that value counts as a floor (rain, counts, light). */
const FLOOR_SHARE = 0.02;
const ENOUGH = 32;

type Limits = Pick<StreamSpec, 'min' | 'max'> & Partial<Pick<StreamSpec, 'aggregate'>>;
type Range = Pick<Features, 'floorShare' | 'observations' | 'observedRange' | 'line'>;

/** The nearest value within the physical limits, and at least 0 for a stream with a floor at 0. */
export function limited(value: number, { min, max, aggregate }: Limits, features: Range): number {
  // Directions are circular: they have no limits.
  if (aggregate === 'circular-mean') return value;
  let result = value;
  if (result < 0 && features.floorShare > FLOOR_SHARE && features.observations > ENOUGH) {
    if (features.line.toUnit(features.observedRange.min) === 0) result = 0;
  }
  if (min !== null && result < min) result = min;
  if (max !== null && result > max) result = max;
  return result;
}

/** Whether `limited` changes no value from `low` to `high`. */
export const isWithinLimits = (low: number, high: number, limits: Limits, features: Range): boolean =>
  limited(low, limits, features) === low && limited(high, limits, features) === high;

/** The lowest and the highest of some values, to test many at once. */
const extremes = { low: 0, high: 0, isNumber: true };

/** Writes `extremes`. */
export function findExtremes(values: Float64Array): typeof extremes {
  let low = Infinity;
  let high = -Infinity;
  let isNumber = true;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value < low) low = value;
    if (value > high) high = value;
    if (Number.isNaN(value)) isNumber = false;
  }
  extremes.low = low;
  extremes.high = high;
  extremes.isNumber = isNumber;
  return extremes;
}
