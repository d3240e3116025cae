/**
 * Sorts the samples of one stream into buckets on its grid. A bucket is labelled by its start, stays open for late
 * samples, and closes when a newer sample shows that its time is over or, for a live stream, when the clock does.
 * The result depends only on the readings and their times, not on their order of arrival or on when the buckets are
 * read.
 */
import { GatecastError } from '../errors.ts';
import { FUTURE_MS, refusal, type SampleOutcome } from './admission.ts';
import { aggregate, inOrder, without } from './aggregate.ts';
import { Counter } from './counter.ts';
import { IntervalWatch, learnFromFirst } from './interval.ts';
import { OpenBuckets } from './open-buckets.ts';
import { RateLimit } from './rate-limit.ts';
import type { Sample } from './sample.ts';
import { isCounter, type StreamSpec } from './spec.ts';
import type { StateIo } from './state-io.ts';

/** A stream whose readings are older than this on arrival is history being replayed: the clock does not close its buckets. */
const LIVE_SKEW_MS = 600_000;
/**
 * After this many empty buckets in a row a stream is suspended: no bucket closes until its next reading, and then the rest of
 * the gap is shortened by whole weeks (or days, hours), so that phases still fit.
 */
const MAX_EMPTY_RUN = 2048;
const UNITS_MS = [7 * 86_400_000, 86_400_000, 3_600_000, 60_000];
/** Most readings stored while the interval is being learnt; more occur only if buckets stay open very long. */
const MAX_LEARNING = 4096;
/** Most open buckets with counts of out-of-range readings; more occur only if no bucket closes. */
const MAX_REFUSING = 64;

export type { SampleOutcome } from './admission.ts';

export interface ClosedBucket {
  /** Label, ms. */
  readonly startMs: number;
  /** Bucket length, ms; if it differs from the previous bucket's, the device has changed its rate. */
  readonly intervalMs: number;
  /** NaN if the bucket is empty. */
  readonly value: number;
  /** Time of its newest reading, ms; NaN if empty. */
  readonly observedMs: number;
  /** Times of all its readings, including those that changed too fast, ascending, ms. */
  readonly timesMs: readonly number[];
  /** Times of the readings omitted because they changed too fast, ms. */
  readonly tooFast: readonly number[];
  /** Number of readings refused because they were outside the limits. */
  readonly outOfRange: number;
  /** Whether a counter fell in this bucket, or rose by an impossible amount. */
  readonly jump: boolean;
  /** Quality marks (bits of `quality.ts`) if already determined; omitted: they must be determined. */
  readonly marks?: number;
}

/** Whether a reading of this age on its arrival, ms, comes from a live stream, whose buckets the clock closes. */
export const isLive = (ageMs: number, intervalMs: number | null): boolean =>
  Math.abs(ageMs) <= LIVE_SKEW_MS + 3 * (intervalMs ?? 0);

const NOTHING: readonly ClosedBucket[] = [];

/** A bucket without accepted readings. */
const emptyBucket = (startMs: number, intervalMs: number, outOfRange: number): ClosedBucket => ({
  startMs,
  intervalMs,
  value: Number.NaN,
  observedMs: Number.NaN,
  timesMs: [],
  tooFast: [],
  outOfRange,
  jump: false,
});

export class Buckets {
  /** Whether the last `close` left buckets open whose time is over. */
  behind = false;
  /** Length of the newest closed bucket; null while the interval is being learnt. */
  intervalMs: number | null;
  private readonly open = new OpenBuckets();
  /** Number of out-of-range readings by bucket; null for most streams, which have none. */
  private refused: Map<number, number> | null = null;
  /** Readings stored until the interval is known; null if there are none. */
  private learning: { timeMs: number; value: number }[] | null = null;
  /** Index of the oldest open bucket; NaN before the first sample. */
  private next = Number.NaN;
  /** Everything before this time is closed, ms; NaN before the first closed bucket. */
  private closedToMs = Number.NaN;
  private newestMs = Number.NaN;
  /** Time of the newest reading in closed buckets, ms. */
  private closedNewestMs = Number.NaN;
  /** Arrival minus measurement of the last sample, ms; NaN while unknown. */
  private skewMs = Number.NaN;
  /** Empty buckets in a row, up to MAX_EMPTY_RUN. */
  private emptyRun = 0;
  /** The next interval of the grid, ms; 0 if it does not change. */
  private comingMs = 0;
  private readonly counter: Counter | null;
  private readonly limit: RateLimit;
  /** Null if the interval is configured. */
  private readonly watch: IntervalWatch | null;

  constructor(private readonly spec: StreamSpec) {
    this.intervalMs = spec.intervalMs;
    this.counter = isCounter(spec.aggregate) ? new Counter(spec.aggregate) : null;
    this.limit = new RateLimit(spec.maxRatePerMs);
    this.watch = spec.intervalMs === null ? new IntervalWatch() : null;
  }

  /** Time of the newest accepted reading, ms; NaN before the first. */
  get lastObservedMs(): number {
    return this.newestMs;
  }

  /** `sample.arrivalMs` NaN marks a sample that is replayed from the store. */
  push(sample: Sample): SampleOutcome {
    const { timeMs, value, arrivalMs } = sample;
    const refused = refusal(sample, this.spec, this.intervalMs);
    if (refused === 'out-of-range') this.refuse(timeMs);
    if (refused !== null) return refused;
    // A current reading is far older than the closed buckets: the clock was ahead and has been corrected.
    if (this.closedToMs - arrivalMs > FUTURE_MS + (this.intervalMs ?? 0)) this.restart();
    if (this.isLate(timeMs)) return 'late';
    if (!(this.intervalMs === null ? this.keep(timeMs, value) : this.place(timeMs, value)))
      return 'duplicate';
    if (!Number.isNaN(arrivalMs)) this.skewMs = arrivalMs - timeMs;
    if (!(timeMs <= this.newestMs)) this.newestMs = timeMs;
    return 'accepted';
  }

  private refuse(timeMs: number): void {
    if (this.intervalMs === null) return;
    const index = Math.floor(timeMs / this.intervalMs);
    if (index < this.next) return;
    this.refused ??= new Map();
    this.refused.set(index, (this.refused.get(index) ?? 0) + 1);
    const [first] = this.refused.keys();
    if (this.refused.size > MAX_REFUSING && first !== undefined) this.refused.delete(first);
  }

  /** Resets the position of the grid, but not the learnt state. */
  private restart(): void {
    this.open.clear();
    this.refused = null;
    this.next = Number.NaN;
    this.closedToMs = Number.NaN;
    this.newestMs = Number.NaN;
    this.closedNewestMs = Number.NaN;
    this.emptyRun = 0;
    this.counter?.restart();
  }

  private isLate(timeMs: number): boolean {
    if (timeMs < this.closedToMs) return true;
    // Also refuse readings for a bucket whose time is over, so that the result does not depend on when `close` is called.
    const interval = this.intervalMs ?? 1;
    return Math.floor(timeMs / interval) < Math.floor((this.newestMs - this.spec.latenessMs) / interval);
  }

  /** @returns false if a reading with this time exists */
  private place(timeMs: number, value: number): boolean {
    const index = Math.floor(timeMs / (this.intervalMs ?? 1));
    if (timeMs <= this.newestMs && this.open.includes(index, timeMs)) return false;
    this.open.add(index, timeMs, value);
    if (!(this.next <= index)) this.next = index;
    return true;
  }

  /** @returns false if a reading with this time exists */
  private keep(timeMs: number, value: number): boolean {
    this.learning ??= [];
    if (this.learning.some((known) => known.timeMs === timeMs)) return false;
    this.learning.push({ timeMs, value });
    return true;
  }

  /** Learns the interval from the first readings before `settledMs`, because no older reading can arrive any more. */
  private learn(settledMs: number): void {
    const waiting = (this.learning ?? []).sort((a, b) => a.timeMs - b.timeMs);
    const settled = waiting.filter(({ timeMs }) => timeMs <= settledMs || waiting.length > MAX_LEARNING);
    this.intervalMs = learnFromFirst(settled);
    if (this.intervalMs === null) return;
    this.learning = null;
    for (const { timeMs, value } of waiting) this.place(timeMs, value);
  }

  private get live(): boolean {
    return isLive(this.skewMs, this.intervalMs);
  }

  /** Stream time before which buckets are over, ms. */
  private watermark(nowMs: number | null): number {
    const byEvent = this.newestMs - this.spec.latenessMs;
    if (nowMs === null || !this.live) return byEvent;
    return Math.max(byEvent, nowMs - Math.max(0, this.skewMs) - this.spec.latenessMs);
  }

  /** Wall-clock time at which the next bucket closes by the clock, ms; null for a stream that is not live. */
  dueMs(): number | null {
    if (this.intervalMs === null || Number.isNaN(this.next) || !this.live) return null;
    const suspended = this.emptyRun >= MAX_EMPTY_RUN;
    if (suspended && this.open.size === 0) return null;
    const coming = this.comingMs > 0;
    const interval = coming ? this.comingMs : this.intervalMs;
    const index = coming ? this.firstComing() : suspended ? this.open.first : this.next;
    return (index + 1) * interval + this.spec.latenessMs + Math.max(0, this.skewMs);
  }

  /**
   * Closes and returns the buckets whose time is over, oldest first.
   * @param nowMs wall clock, ms; null: only newer samples close buckets
   * @param most largest number of buckets to close; `behind` then tells whether more remain
   */
  close(nowMs: number | null, most = Number.POSITIVE_INFINITY): readonly ClosedBucket[] {
    // Called for every stream in every round, mostly with nothing to close: allocate only when needed.
    let closed: ClosedBucket[] | null = null;
    this.behind = false;
    const watermark = this.watermark(nowMs);
    if (this.intervalMs === null) this.learn(watermark);
    while (this.intervalMs !== null && !Number.isNaN(this.next)) {
      if (this.comingMs > 0) {
        if ((this.firstComing() + 1) * this.comingMs > watermark) break;
        // Otherwise a state saved now would contain the old grid, but be labelled with the new one.
        if (closed !== null && closed.length >= most) {
          this.behind = true;
          break;
        }
        this.regrid(this.comingMs);
      }
      const end = Math.floor(watermark / this.intervalMs);
      if (this.next >= end) break;
      if (closed !== null && closed.length >= most) {
        this.behind = true;
        break;
      }
      // Open buckets are never before `next`.
      if (this.open.first === this.next) {
        this.emptyRun = 0;
      } else if (this.emptyRun < MAX_EMPTY_RUN) {
        this.emptyRun++;
      } else {
        const rest = Math.min(end, this.open.first) - this.next;
        // Still no reading: the end of the gap is unknown.
        if (this.next + rest === end) break;
        const unit = this.skipUnit();
        if (rest >= unit) {
          this.next += Math.floor(rest / unit) * unit;
          continue;
        }
      }
      const bucket = this.take(this.next++, this.intervalMs);
      closed ??= [];
      closed.push(bucket);
      this.closedToMs = this.next * bucket.intervalMs;
    }
    return closed ?? NOTHING;
  }

  /** Number of buckets in the longest calendar unit not longer than the run of empty buckets so far. */
  private skipUnit(): number {
    for (const ms of UNITS_MS) {
      const buckets = Math.round(ms / (this.intervalMs ?? 1));
      if (buckets >= 1 && buckets <= MAX_EMPTY_RUN) return buckets;
    }
    return 1;
  }

  private take(index: number, intervalMs: number): ClosedBucket {
    const startMs = index * intervalMs;
    const open = this.open.take(index);
    const outOfRange = this.refused?.get(index) ?? 0;
    this.refused?.delete(index);
    if (open === undefined) return emptyBucket(startMs, intervalMs, outOfRange);
    const all = inOrder(open);
    this.closedNewestMs = all.times[all.times.length - 1];
    const tooFast: number[] = [];
    all.times.forEach((timeMs, i) => {
      if (this.watch !== null)
        this.comingMs = this.watch.add(timeMs, all.values[i], intervalMs) ?? this.comingMs;
      if (!this.limit.accepts(timeMs, all.values[i])) tooFast.push(timeMs);
    });
    const kept = tooFast.length === 0 ? all : without(all, tooFast);
    return {
      startMs,
      intervalMs,
      ...aggregate(this.spec.aggregate, kept, this.counter, { startMs, intervalMs }),
      observedMs: kept.times.length > 0 ? kept.times[kept.times.length - 1] : Number.NaN,
      timesMs: all.times,
      tooFast,
      outOfRange,
    };
  }

  /** First bucket of the next grid. It may start before the end of the closed buckets only if a reading has arrived since. */
  private firstComing(): number {
    const index = Math.floor(this.closedToMs / this.comingMs);
    if (index * this.comingMs === this.closedToMs) return index;
    const endMs = (index + 1) * this.comingMs;
    for (const { times } of this.open.all()) if (times.some((time) => time < endMs)) return index;
    return index + 1;
  }

  /** Changes to the next bucket length. */
  private regrid(intervalMs: number): void {
    this.next = this.firstComing();
    this.intervalMs = intervalMs;
    this.comingMs = 0;
    this.emptyRun = 0;
    this.refused = null;
    const waiting = this.open.all();
    this.open.clear();
    for (const { times, values } of waiting) {
      for (let i = 0; i < times.length; i++) this.place(times[i], values[i]);
    }
  }

  /** Start time of a replay, ms: samples from this time on are still in open buckets. */
  replayFromMs(): number {
    if (!Number.isNaN(this.closedToMs)) return this.closedToMs;
    if (this.intervalMs === null || Number.isNaN(this.next)) return 0;
    const oldest = Math.floor((this.newestMs - this.spec.latenessMs) / this.intervalMs);
    return Math.min(this.next, oldest) * this.intervalMs;
  }

  /** Open buckets are not part of the state: their samples are replayed from the store. */
  persist(io: StateIo): void {
    const interval = io.number(this.intervalMs ?? Number.NaN);
    const { intervalMs } = this.spec;
    if (intervalMs !== null && interval !== intervalMs) {
      throw new GatecastError(
        'STATE_MISMATCH',
        `The state has buckets of ${interval} ms, but ${intervalMs} ms are configured.`,
        { hint: 'It is rebuilt from stored samples.' },
      );
    }
    this.intervalMs = Number.isNaN(interval) ? null : interval;
    this.next = io.number(this.next);
    this.closedToMs = io.number(this.closedToMs);
    this.skewMs = io.number(this.skewMs);
    this.emptyRun = io.number(this.emptyRun);
    this.comingMs = io.number(this.comingMs);
    this.counter?.persist(io);
    this.limit.persist(io);
    this.watch?.persist(io);
    // The newest reading may be in an open bucket; a replay continues from the closed ones.
    this.closedNewestMs = io.number(this.closedNewestMs);
    if (!io.reading) return;
    this.newestMs = this.closedNewestMs;
    if (Number.isNaN(this.closedToMs)) this.next = Number.NaN;
  }
}
