/**
 * Learns a sensor's interval from the times of its readings, rounds it to a common interval, and detects when the
 * device has changed its rate.
 */
import type { StateIo } from './state-io.ts';

const NICE_MS = [
  100, 200, 250, 500, 1000, 2000, 3000, 5000, 10_000, 15_000, 20_000, 30_000, 60_000, 120_000, 180_000,
  300_000, 600_000, 900_000, 1_200_000, 1_800_000, 3_600_000, 7_200_000, 10_800_000, 14_400_000, 21_600_000,
  43_200_000, 86_400_000, 604_800_000,
];

/** Readings needed before an interval is accepted. */
export const READINGS_TO_LEARN = 6;
/** Gaps shorter than this share of a long gap are within a burst (several messages of one report). */
const BURST_SHARE = 0.1;

/** The same value again within this time is a radio repeat, not a new reading, ms. */
const REPEAT_MS = 800;
/** A run of repeats longer than this comes from a fast sensor with a constant value, ms. */
const REPEATS_MS = 2000;

/** Whether a reading is a radio repeat of the previous one. */
export const isRepeat = (timeMs: number, value: number, beforeMs: number, before: number): boolean =>
  value === before && timeMs - beforeMs <= REPEAT_MS;

/**
 * Learns the interval from the first readings, without repeats.
 * @param readings ascending by time
 * @returns the interval, ms; null while there are too few
 */
export function learnFromFirst(
  readings: readonly { readonly timeMs: number; readonly value: number }[],
): number | null {
  const apart: number[] = [];
  let standsStill = false;
  for (const [at, { timeMs, value }] of readings.entries()) {
    const before = readings[at - 1];
    if (before === undefined || !isRepeat(timeMs, value, before.timeMs, before.value)) apart.push(timeMs);
    standsStill ||= timeMs - apart[apart.length - 1] > REPEATS_MS;
    const times = standsStill ? readings.slice(0, at + 1).map((one) => one.timeMs) : apart;
    if (times.length >= READINGS_TO_LEARN) return learnInterval(times.slice(0, READINGS_TO_LEARN));
  }
  return null;
}

/** The nearest common interval, by ratio. */
export function niceInterval(ms: number): number {
  let best = NICE_MS[0];
  for (const nice of NICE_MS) if (Math.abs(Math.log(nice / ms)) < Math.abs(Math.log(best / ms))) best = nice;
  return best;
}

/** @param gaps between readings, ms, not empty; sorted in place */
function intervalOf(gaps: Float64Array): number {
  gaps.sort();
  const long = gaps[Math.floor((gaps.length - 1) * 0.75)];
  let first = 0;
  while (gaps[first] < BURST_SHARE * long) first++;
  // Slightly below the median, because lost readings only lengthen gaps.
  const typical = gaps[first + Math.floor((gaps.length - 1 - first) * 0.4)];
  return niceInterval(Math.max(100, typical));
}

/**
 * @param times ms, any order; equal times count once
 * @returns the interval, ms; null while there are fewer than READINGS_TO_LEARN distinct times
 */
export function learnInterval(times: readonly number[]): number | null {
  const distinct = [...new Set(times)].sort((a, b) => a - b);
  if (distinct.length < READINGS_TO_LEARN) return null;
  return intervalOf(Float64Array.from(distinct.slice(1), (time, i) => time - distinct[i]));
}

/** Number of gaps in the window. */
const WINDOW = 32;
/** A rate must differ by this factor to count as changed. */
const OTHER_RATE = 1.8;
/** Number of readings for which the window must show the same new rate; it is quadrupled after every change. */
const PATIENCE = 16;
const MAX_CHANGES = 5;

/**
 * Detects changes of the rate. Uses the readings of closed buckets, so that the result does not depend on when they
 * arrived. Irregular devices (motion, send on delta) change their rate repeatedly: every change makes the detection
 * slower, so that the grid becomes stable.
 */
export class IntervalWatch {
  private readonly gaps = new Float64Array(WINDOW);
  private count = 0;
  private newestMs = Number.NaN;
  private candidateMs = 0;
  private agreeing = 0;
  private changes = 0;

  /**
   * @param timeMs time of a reading; not before that of the last call
   * @param intervalMs current interval of the grid
   * @returns the new interval of the grid, ms; null if the current one fits
   */
  add(timeMs: number, intervalMs: number): number | null {
    const gap = timeMs - this.newestMs;
    this.newestMs = timeMs;
    if (!(gap > 0)) return null;
    this.gaps[this.count++ % WINDOW] = gap;
    if (this.count < WINDOW) return null;
    const seen = intervalOf(this.gaps.slice());
    const ratio = seen / intervalMs;
    if (ratio < OTHER_RATE && ratio > 1 / OTHER_RATE) {
      this.agreeing = 0;
      return null;
    }
    this.agreeing = seen === this.candidateMs ? this.agreeing + 1 : 1;
    this.candidateMs = seen;
    if (this.agreeing < PATIENCE * 4 ** this.changes) return null;
    this.changes = Math.min(MAX_CHANGES, this.changes + 1);
    this.agreeing = 0;
    return seen;
  }

  persist(io: StateIo): void {
    io.array(this.gaps);
    this.count = io.number(this.count);
    this.newestMs = io.number(this.newestMs);
    this.candidateMs = io.number(this.candidateMs);
    this.agreeing = io.number(this.agreeing);
    this.changes = io.number(this.changes);
  }
}
