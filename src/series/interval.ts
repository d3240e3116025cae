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
/** Nearly all values equal: gaps up to this share of a long gap are between copies of one report, such as radio repeats. */
const COPY_SHARE = 1 / 3;
const NEARLY_ALL = 0.9;
/** The same if copies always have equal values, and reports always have different ones. */
const SURE_COPY_SHARE = 0.9;
/** Largest number of readings of one report, and the longest time from the first to the last, ms. */
const MAX_COPIES = 12;
const MAX_REPORT_MS = 120_000;

/** Gaps between readings, ms, in order; negative if both readings have the same value. */
type SignedGaps = Float64Array;

/** The lengths of gaps, ascending, ms. */
export function sortedLengths(gaps: SignedGaps): Float64Array {
  const lengths = new Float64Array(gaps.length);
  for (let i = 0; i < gaps.length; i++) lengths[i] = Math.abs(gaps[i]);
  return lengths.sort();
}

/**
 * Times from report to report if reports arrive as several readings each: copies, or bursts of messages.
 * @param sorted the lengths of the gaps
 * @param first index of the oldest gap of a ring
 * @param fewest reports for a decision by the values alone: with few reports, their gaps may be the longest by chance
 * @returns ms; null if each reading is a report of its own
 */
export function reportGaps(gaps: SignedGaps, sorted: Float64Array, first = 0, fewest = 0): number[] | null {
  const shareAt = (i: number): number => sorted[i] / sorted[i + 1];
  let steps: number[] | null = null;
  let equal = 0;
  for (let i = 0; i < sorted.length; i++) {
    if (gaps[i] < 0) equal++;
    if (shareAt(i) <= COPY_SHARE) {
      steps ??= [];
      steps.push(i);
    }
  }
  // The times between copies may themselves be far apart: the longest of them counts, if all copies have equal values.
  for (const i of steps?.toReversed() ?? []) {
    const found = gapsBetween(gaps, sorted[i], COPY_SHARE, first);
    if (found !== null) return found;
  }
  for (const i of steps?.sort((a, b) => shareAt(a) - shareAt(b)) ?? []) {
    const found = gapsBetween(gaps, sorted[i], shareAt(i), first);
    if (found !== null) return found;
  }
  // The only limit that could divide equal from different values.
  const share = shareAt(equal - 1);
  if (!(share > COPY_SHARE && share <= SURE_COPY_SHARE)) return null;
  const found = gapsBetween(gaps, sorted[equal - 1], share, first);
  return found !== null && found.length >= fewest ? found : null;
}

/** @returns null if gaps up to `withinMs` are not within reports */
function gapsBetween(gaps: SignedGaps, withinMs: number, share: number, first: number): number[] | null {
  const found: number[] = [];
  let sinceStartMs = 0;
  let copies = 1;
  let within = 0;
  let equal = 0;
  let equalReports = 0;
  for (let i = 0; i < gaps.length; i++) {
    const gap = gaps[(first + i) % gaps.length];
    const ms = Math.abs(gap);
    sinceStartMs += ms;
    if (ms > withinMs) {
      found.push(sinceStartMs);
      if (gap < 0) equalReports++;
      sinceStartMs = 0;
      copies = 1;
      continue;
    }
    copies++;
    within++;
    if (gap < 0) equal++;
    if (copies > MAX_COPIES || sinceStartMs > MAX_REPORT_MS) return null;
  }
  const isCopies =
    share <= BURST_SHARE ||
    (share <= COPY_SHARE ? equal >= NEARLY_ALL * within : equal === within && equalReports === 0);
  return isCopies ? found : null;
}

/** Whether all readings so far may be copies of one report. */
export function mayBeOneReport(gaps: SignedGaps): boolean {
  let spanMs = 0;
  for (let i = 0; i < gaps.length; i++) {
    if (gaps[i] >= 0) return false;
    spanMs -= gaps[i];
  }
  return gaps.length < MAX_COPIES && spanMs <= MAX_REPORT_MS;
}

/**
 * Learns the interval from the first readings. The interval is that of the reports, however many copies of each arrive.
 * @param readings ascending by time
 * @returns the interval, ms; null while there are too few
 */
export function learnFromFirst(
  readings: readonly { readonly timeMs: number; readonly value: number }[],
): number | null {
  const gaps = Float64Array.from(readings.slice(1), ({ timeMs, value }, i) => {
    const before = readings[i];
    return value === before.value ? before.timeMs - timeMs : timeMs - before.timeMs;
  });
  for (let count = READINGS_TO_LEARN; count <= readings.length; count++) {
    const first = gaps.slice(0, count - 1);
    const sorted = sortedLengths(first);
    const reports = reportGaps(first, sorted);
    if (reports === null) {
      if (!mayBeOneReport(first)) return intervalOf(sorted);
    } else if (reports.length >= READINGS_TO_LEARN - 1) return intervalOf(Float64Array.from(reports).sort());
  }
  return null;
}

/** The nearest common interval, by ratio. */
export function niceInterval(ms: number): number {
  let best = NICE_MS[0];
  for (const nice of NICE_MS) if (Math.abs(Math.log(nice / ms)) < Math.abs(Math.log(best / ms))) best = nice;
  return best;
}

/** @param gaps between readings, ascending, ms, not empty */
function intervalOf(gaps: Float64Array): number {
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
  return intervalOf(Float64Array.from(distinct.slice(1), (time, i) => time - distinct[i]).sort());
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
  /** ms; negative if both readings have the same value. */
  private readonly gaps = new Float64Array(WINDOW);
  private count = 0;
  private newestMs = Number.NaN;
  private newestValue = Number.NaN;
  private candidateMs = 0;
  private agreeing = 0;
  private changes = 0;

  /**
   * @param timeMs time of a reading; not before that of the last call
   * @param intervalMs current interval of the grid
   * @returns the new interval of the grid, ms; null if the current one fits
   */
  add(timeMs: number, value: number, intervalMs: number): number | null {
    const gap = timeMs - this.newestMs;
    const isEqual = value === this.newestValue;
    this.newestMs = timeMs;
    this.newestValue = value;
    if (!(gap > 0)) return null;
    this.gaps[this.count++ % WINDOW] = isEqual ? -gap : gap;
    if (this.count < WINDOW) return null;
    const seen = this.intervalSeen();
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

  private intervalSeen(): number {
    const sorted = sortedLengths(this.gaps);
    const reports = reportGaps(this.gaps, sorted, this.count % WINDOW, READINGS_TO_LEARN);
    if (reports === null || reports.length < 2) return intervalOf(sorted);
    // The window may begin within a report.
    return intervalOf(Float64Array.from(reports.slice(1)).sort());
  }

  persist(io: StateIo): void {
    io.array(this.gaps);
    this.count = io.number(this.count);
    this.newestMs = io.number(this.newestMs);
    this.newestValue = io.number(this.newestValue);
    this.candidateMs = io.number(this.candidateMs);
    this.agreeing = io.number(this.agreeing);
    this.changes = io.number(this.changes);
  }
}
