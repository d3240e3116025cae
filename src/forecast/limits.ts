/** Clips forecasts to the possible range of a stream. */
import type { Features } from '../series/features.ts';
import type { StreamSpec } from '../series/spec.ts';

/** A stream that has stood at its lowest value this often has a floor there (rain, counts, light). */
const FLOOR_SHARE = 0.02;
const ENOUGH = 32;

/** The nearest value within the physical limits, and not below the floor of a stream that has one at zero. */
export function limited(
  value: number,
  { min, max, aggregate }: Pick<StreamSpec, 'min' | 'max'> & Partial<Pick<StreamSpec, 'aggregate'>>,
  features: Pick<Features, 'floorShare' | 'observations' | 'observedRange' | 'line'>,
): number {
  // Directions have no ends.
  if (aggregate === 'circular-mean') return value;
  let result = value;
  if (result < 0 && features.floorShare > FLOOR_SHARE && features.observations > ENOUGH) {
    if (features.line.toUnit(features.observedRange.min) === 0) result = 0;
  }
  if (min !== null && result < min) result = min;
  if (max !== null && result > max) result = max;
  return result;
}
