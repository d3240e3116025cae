/** Clips forecasts to the possible range of a stream. */
import type { Features } from '../series/features.ts';
import type { StreamSpec } from '../series/spec.ts';

/** Share of readings at the lowest value from which that value counts as a floor (rain, counts, light). */
const FLOOR_SHARE = 0.02;
const ENOUGH = 32;

/** The nearest value within the physical limits, and at least 0 for a stream with a floor at 0. */
export function limited(
  value: number,
  { min, max, aggregate }: Pick<StreamSpec, 'min' | 'max'> & Partial<Pick<StreamSpec, 'aggregate'>>,
  features: Pick<Features, 'floorShare' | 'observations' | 'observedRange' | 'line'>,
): number {
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
