/** Checks of a reading on its arrival, before its bucket is known: its time and its size. */
import type { Sample } from './sample.ts';
import type { StreamSpec } from './spec.ts';

const EARLIEST_MS = Date.UTC(2000, 0, 1);
/** 32-bit clocks end in January 2038: a later stamp is believed only if the clock of the receiver has come as far. */
const OVERFLOW_MS = Date.UTC(2038, 0, 1);
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
  if (!(timeMs >= EARLIEST_MS)) return 'absurd-time';
  if (timeMs > arrivalMs + FUTURE_MS + (intervalMs ?? 0))
    return timeMs < OVERFLOW_MS ? 'future' : 'absurd-time';
  if (!(Math.abs(value) <= LARGEST)) return 'out-of-range';
  if ((spec.min !== null && value < spec.min) || (spec.max !== null && value > spec.max))
    return 'out-of-range';
  return null;
}

/**
 * Assumed arrival time of a reading whose arrival was not recorded: its own time, unless that is of a 32-bit clock that overflowed.
 *
 * @param nowMs time of a clock, if one is known
 */
export const assumedArrivalMs = (timeMs: number, nowMs = 0): number =>
  Math.min(timeMs, Math.max(nowMs, OVERFLOW_MS - 1));
