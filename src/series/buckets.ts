/**
 * Samples of one stream onto its grid. A bucket is labelled by its start, stays open for late samples, and closes when
 * a newer sample shows that its time is over or, for a stream that is live, when the clock does.
 */
import { aggregate, type CounterState, type Readings } from './aggregate.ts';
import { learnInterval, READINGS_TO_LEARN } from './interval.ts';
import type { Sample } from './sample.ts';
import type { StreamSpec } from './spec.ts';
import type { StateIo } from './state-io.ts';

const EARLIEST_MS = Date.UTC(2000, 0, 1);
const LATEST_MS = Date.UTC(2038, 0, 1);
/** How far a reading may be ahead of the clock, beside one interval, ms. */
const FUTURE_MS = 300_000;
/** A stream whose readings are older than this on arrival is history being replayed: the clock does not close its buckets. */
const LIVE_SKEW_MS = 600_000;
/**
 * After this many empty buckets in a row a stream is suspended: nothing closes until it speaks again, and then the rest of
 * the gap is shortened by whole weeks (or days, hours), so that phases still fit.
 */
const MAX_EMPTY_RUN = 2048;
const UNITS_MS = [7 * 86_400_000, 86_400_000, 3_600_000, 60_000];
const MAX_LEARNING = 64;

export type Admission =
  | 'accepted'
  | 'late'
  | 'duplicate'
  | 'out-of-range'
  | 'too-fast'
  | 'future'
  | 'absurd-time';

export interface ClosedBucket {
  /** Label, ms. */
  readonly startMs: number;
  /** NaN when nothing was observed. */
  readonly value: number;
  /** Time of its newest reading, ms; NaN when empty. */
  readonly observedMs: number;
}

export class Buckets {
  private readonly spec: StreamSpec;
  /** null while it is being learnt. */
  intervalMs: number | null;
  private readonly open = new Map<number, Readings>();
  private learning: Sample[] = [];
  /** Index of the oldest bucket that is not closed; NaN before the first sample. */
  private next = Number.NaN;
  private newestMs = Number.NaN;
  private newestValue = Number.NaN;
  /** The newest reading of the closed buckets. */
  private readonly closedNewest = { timeMs: Number.NaN, value: Number.NaN };
  /** Arrival minus measurement of the last sample, ms; NaN while unknown. */
  private skewMs = Number.NaN;
  /** Empty buckets in a row, up to MAX_EMPTY_RUN. */
  private emptyRun = 0;
  private readonly counter: CounterState = { last: Number.NaN };

  constructor(spec: StreamSpec) {
    this.spec = spec;
    this.intervalMs = spec.intervalMs;
  }

  /** Time of the newest accepted reading, ms; NaN before the first. */
  get lastObservedMs(): number {
    return this.newestMs;
  }

  /** `sample.arrivalMs` NaN marks a sample that is replayed from the store. */
  push(sample: Sample): Admission {
    const { spec } = this;
    const { timeMs, value, arrivalMs } = sample;
    if (!(timeMs >= EARLIEST_MS && timeMs < LATEST_MS)) return 'absurd-time';
    if (timeMs > arrivalMs + FUTURE_MS + (this.intervalMs ?? 0)) return 'future';
    if ((spec.min !== null && value < spec.min) || (spec.max !== null && value > spec.max))
      return 'out-of-range';
    if (spec.maxRatePerMs !== null && timeMs > this.newestMs) {
      if (Math.abs(value - this.newestValue) > spec.maxRatePerMs * (timeMs - this.newestMs))
        return 'too-fast';
    }
    if (this.intervalMs === null) {
      if (this.learning.some((known) => known.timeMs === timeMs)) return 'duplicate';
      this.learning.push(sample);
      this.note(sample);
      this.learn();
      return 'accepted';
    }
    const index = Math.floor(timeMs / this.intervalMs);
    if (index < this.next) return 'late';
    let readings = this.open.get(index);
    if (readings === undefined) {
      readings = { times: [], values: [] };
      this.open.set(index, readings);
    } else if (timeMs <= this.newestMs && readings.times.includes(timeMs)) {
      return 'duplicate';
    }
    if (Number.isNaN(this.next)) this.next = index;
    readings.times.push(timeMs);
    readings.values.push(value);
    this.note(sample);
    return 'accepted';
  }

  private note(sample: Sample): void {
    if (!Number.isNaN(sample.arrivalMs)) this.skewMs = sample.arrivalMs - sample.timeMs;
    if (!(sample.timeMs <= this.newestMs)) {
      this.newestMs = sample.timeMs;
      this.newestValue = sample.value;
    }
  }

  private learn(): void {
    if (this.learning.length < READINGS_TO_LEARN) return;
    const interval = learnInterval(this.learning.map((sample) => sample.timeMs));
    if (interval === null && this.learning.length < MAX_LEARNING) return;
    this.intervalMs = interval ?? 60_000;
    const waiting = this.learning.sort((a, b) => a.timeMs - b.timeMs);
    this.learning = [];
    for (const sample of waiting) this.push(sample);
  }

  private get live(): boolean {
    return Math.abs(this.skewMs) <= LIVE_SKEW_MS + 3 * (this.intervalMs ?? 0);
  }

  /** Stream time up to which buckets are over, ms. */
  private watermark(nowMs: number | null): number {
    const byEvent = this.newestMs - this.spec.latenessMs;
    if (nowMs === null || !this.live) return byEvent;
    return Math.max(byEvent, nowMs - Math.max(0, this.skewMs) - this.spec.latenessMs);
  }

  /** Wall-clock time at which the next bucket closes by the clock, ms; null for a stream that is not live. */
  dueMs(): number | null {
    if (this.intervalMs === null || Number.isNaN(this.next) || !this.live) return null;
    if (this.emptyRun >= MAX_EMPTY_RUN && this.open.size === 0) return null;
    return (this.next + 1) * this.intervalMs + this.spec.latenessMs + Math.max(0, this.skewMs);
  }

  /**
   * Closes and returns the buckets that are over, oldest first.
   * @param nowMs wall clock, ms; null: only newer samples close buckets
   */
  close(nowMs: number | null): ClosedBucket[] {
    const closed: ClosedBucket[] = [];
    if (this.intervalMs === null || Number.isNaN(this.next)) return closed;
    const end = Math.floor(this.watermark(nowMs) / this.intervalMs);
    while (this.next < end) {
      if (this.open.has(this.next)) {
        this.emptyRun = 0;
      } else if (this.emptyRun < MAX_EMPTY_RUN) {
        this.emptyRun++;
      } else {
        const rest = this.restOfGap(end);
        if (rest === 0) return closed;
        const unit = this.skipUnit();
        if (rest >= unit) {
          this.next += Math.floor(rest / unit) * unit;
          continue;
        }
      }
      closed.push(this.take(this.next));
      this.next++;
    }
    return closed;
  }

  /** Buckets in the longest unit of the calendar that is not longer than the run already stepped through. */
  private skipUnit(): number {
    for (const ms of UNITS_MS) {
      const buckets = Math.round(ms / (this.intervalMs ?? 1));
      if (buckets >= 1 && buckets <= MAX_EMPTY_RUN) return buckets;
    }
    return 1;
  }

  /** Empty buckets before the next filled one, where that is over too; 0 while the stream is silent. */
  private restOfGap(end: number): number {
    let filled = end;
    for (const index of this.open.keys()) if (index < filled) filled = index;
    return filled < end ? filled - this.next : 0;
  }

  private take(index: number): ClosedBucket {
    const interval = this.intervalMs ?? 1;
    const readings = this.open.get(index);
    if (readings === undefined)
      return { startMs: index * interval, value: Number.NaN, observedMs: Number.NaN };
    this.open.delete(index);
    let newest = 0;
    for (let i = 1; i < readings.times.length; i++)
      if (readings.times[i] > readings.times[newest]) newest = i;
    const observedMs = readings.times[newest];
    if (!(observedMs <= this.closedNewest.timeMs)) {
      this.closedNewest.timeMs = observedMs;
      this.closedNewest.value = readings.values[newest];
    }
    return {
      startMs: index * interval,
      value: aggregate(this.spec.aggregate, readings, this.counter),
      observedMs,
    };
  }

  /** Samples at or after this time are still in open buckets, ms: where a replay must start. */
  replayFromMs(): number {
    if (this.intervalMs === null || Number.isNaN(this.next)) return 0;
    return this.next * this.intervalMs;
  }

  /** Open buckets are not part of the state: their samples are replayed from the store. */
  persist(io: StateIo): void {
    const interval = io.number(this.intervalMs ?? Number.NaN);
    this.intervalMs = Number.isNaN(interval) ? null : interval;
    this.next = io.number(this.next);
    this.skewMs = io.number(this.skewMs);
    this.emptyRun = io.number(this.emptyRun);
    this.counter.last = io.number(this.counter.last);
    // The newest reading may stand in an open bucket; a replay continues from what the closed ones knew.
    this.closedNewest.timeMs = io.number(this.closedNewest.timeMs);
    this.closedNewest.value = io.number(this.closedNewest.value);
    if (io.reading) {
      this.newestMs = this.closedNewest.timeMs;
      this.newestValue = this.closedNewest.value;
    }
  }
}
