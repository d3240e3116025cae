/** Checks of a reading on its arrival, before its bucket is known: its time and its size. */
import type { Sample } from './sample.ts';
import type { StreamSpec } from './spec.ts';

const EARLIEST_MS = Date.UTC(2000, 0, 1);
const LATEST_MS = Date.UTC(2038, 0, 1);
/** How far a reading may be ahead of the clock, in addition to one interval, ms. */
export const FUTURE_MS = 300_000;
/** Larger readings are not measurements, and their sums would exceed the range of single precision. */
const LARGEST = 1e30;

export type SampleOutcome = 'accepted' | 'late' | 'duplicate' | 'out-of-range' | 'future' | 'absurd-time';

/**
 * @param intervalMs length of the stream's buckets; null while it is being learnt
 * @returns why the reading is refused; null if it is accepted
 */
export function refusal(
  sample: Sample,
  spec: Pick<StreamSpec, 'min' | 'max'>,
  intervalMs: number | null,
): SampleOutcome | null {
  const { timeMs, value, arrivalMs } = sample;
  if (!(timeMs >= EARLIEST_MS && timeMs < LATEST_MS)) return 'absurd-time';
  if (timeMs > arrivalMs + FUTURE_MS + (intervalMs ?? 0)) return 'future';
  if (!(Math.abs(value) <= LARGEST)) return 'out-of-range';
  if ((spec.min !== null && value < spec.min) || (spec.max !== null && value > spec.max))
    return 'out-of-range';
  return null;
}
