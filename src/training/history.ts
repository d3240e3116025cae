/** Puts stored samples back on their streams' grids, through the same buckets as live. Pure. */
import { FUTURE_MS } from '../series/admission.ts';
import { Buckets } from '../series/buckets.ts';
import { MASKED, OUT_OF_RANGE, TOO_FAST } from '../series/quality.ts';
import type { StreamSpec } from '../series/spec.ts';
import type { JobSeries } from './job.ts';
import type { SeriesSettings } from './replay.ts';

export interface HistorySample {
  readonly timeMs: number;
  readonly value: number;
  /** Bits of `series/quality.ts`; samples masked or refused live are not used for training. */
  readonly mark: number;
}

export interface HistoryStream {
  readonly spec: StreamSpec;
  /** From the spec, or learnt live, ms. */
  readonly intervalMs: number;
  readonly leads: number;
  /** Samples before this are not read, ms. */
  readonly fromMs: number;
}

/** Buckets of all streams together that a run reads: a month of fifty streams at five minutes; bounds its memory. */
const MOST_BUCKETS = 432_000;
/** Minimum share of these per stream, buckets. */
const LEAST_SHARE = 1024;
/** Streams that a run reads at most. */
export const MOST_STREAMS = Math.floor(MOST_BUCKETS / LEAST_SHARE);
/** Minimum number of buckets of a stream before a run; the screen is stricter. */
const ENOUGH_BUCKETS = 300;

/** Why a run cannot start; null if some stream has enough history. */
export function shortageOf(
  streams: readonly { readonly buckets: number; readonly leads: number | null }[],
): string | null {
  const ready = streams.some(
    ({ buckets, leads }) => leads !== null && buckets >= Math.max(ENOUGH_BUCKETS, 9 * leads),
  );
  return ready ? null : 'no stream has enough history';
}

/** How many of the newest buckets of each of `streams` streams a run reads. @param windowMs maximum age of the history */
export function historyBuckets(
  intervalMs: number,
  streams: number,
  windowMs: number,
  budget = MOST_BUCKETS,
): number {
  const share = Math.max(LEAST_SHARE, Math.floor(budget / Math.max(1, streams)));
  return Math.min(share, windowMs / intervalMs);
}

/**
 * Shares `budget` buckets among the streams, for the newest history of each. If the share would be too small, uses only
 * some of the streams, evenly spaced over the list.
 * @param windowMs maximum age of the history
 */
export function shareHistory(
  streams: readonly Omit<HistoryStream, 'fromMs'>[],
  nowMs: number,
  windowMs: number,
  budget = MOST_BUCKETS,
): HistoryStream[] {
  const most = Math.max(1, Math.floor(budget / LEAST_SHARE));
  const every = Math.max(1, streams.length / most);
  const taken = streams.filter((_, i) => Math.floor(i / every) !== Math.floor((i - 1) / every));
  return taken.map((one) => {
    const buckets = historyBuckets(one.intervalMs, taken.length, windowMs, budget);
    return { ...one, fromMs: nowMs - buckets * one.intervalMs };
  });
}

/**
 * Reads the samples of all streams once; skips streams that are not in the list.
 * @param samples ascending by time
 * @param nowMs samples too far after it were stored while the clock was ahead; they are skipped, because they would leave
 *   a gap of possibly a year
 * @param brake awaited every BRAKE_EVERY samples
 */
export async function collectHistory(
  streams: readonly HistoryStream[],
  samples: Iterable<HistorySample & { readonly stream: string }>,
  group: string,
  nowMs: number,
  brake: () => Promise<void> = async () => {},
): Promise<JobSeries[]> {
  const history = new History(streams, group, nowMs);
  let walked = 0;
  for (const sample of samples) {
    if (sample.timeMs > history.latestMs) break;
    history.push(sample);
    if (++walked % BRAKE_EVERY === 0) await brake();
  }
  return history.series();
}

/** Series that are made from samples, one after the other. Those of a stream come about in order of time. */
export class History {
  /** Samples after it are skipped, ms. */
  readonly latestMs: number;
  private readonly grids: ReadonlyMap<string, RecordedStream>;

  constructor(streams: readonly HistoryStream[], group: string, nowMs: number) {
    this.grids = new Map(streams.map((one) => [one.spec.name, new RecordedStream(one, group)]));
    this.latestMs = nowMs + FUTURE_MS + Math.max(0, ...streams.map(({ intervalMs }) => intervalMs));
  }

  /** Skips samples of other streams. */
  push(sample: HistorySample & { readonly stream: string }): void {
    if (sample.timeMs <= this.latestMs) this.grids.get(sample.stream)?.push(sample);
  }

  series(): JobSeries[] {
    return [...this.grids.values()].map((grid) => grid.series()).filter((series) => series !== null);
  }
}

/** Settings for replaying a stream's history. Quality checks are off, because the marks are already stored. */
export function recordedSettings(spec: StreamSpec): SeriesSettings {
  const { fill, min, max, timeZone, coverageTarget, maxGapMs, covariates, aggregate } = spec;
  return {
    fill,
    min,
    max,
    timeZone,
    coverageTarget,
    maxGapMs,
    aggregate,
    quality: false,
    ...(covariates && { covariates }),
  };
}

const BRAKE_EVERY = 65_536;

class RecordedStream {
  private readonly buckets: Buckets;
  private readonly values: number[] = [];
  private startMs = Number.NaN;
  private readonly jumps: { at: number; startMs: number }[] = [];
  /** Start of the next bucket if there is no jump, ms. */
  private nextMs = Number.NaN;
  /** Values of closed buckets with a masked reading, by index. */
  private readonly maskedValues = new Map<number, number>();
  /** Grid numbers of open buckets with a masked reading. */
  private readonly masked = new Set<number>();

  constructor(
    private readonly stream: HistoryStream,
    private readonly group: string,
  ) {
    const { spec, intervalMs } = stream;
    this.buckets = new Buckets({ ...spec, intervalMs });
  }

  push({ timeMs, value, mark }: HistorySample): void {
    const { spec, intervalMs, fromMs } = this.stream;
    if (timeMs < fromMs || (mark & OUT_OF_RANGE) !== 0) return;
    // The rate limit refuses samples marked too fast again, in order; without a limit they are dropped here.
    if ((mark & TOO_FAST) !== 0 && spec.maxRatePerMs === null) return;
    // A masked bucket closes like any other, so that a counter continues from it as it did live.
    if (spec.quality !== false && (mark & MASKED) !== 0) this.masked.add(Math.floor(timeMs / intervalMs));
    this.buckets.push({ stream: spec.name, timeMs, value, arrivalMs: Number.NaN });
    const { values } = this;
    for (const bucket of this.buckets.close(null)) {
      if (Number.isNaN(this.startMs)) this.startMs = bucket.startMs;
      // A jump: a long gap that was shortened live.
      else if (bucket.startMs !== this.nextMs)
        this.jumps.push({ at: values.length, startMs: bucket.startMs });
      this.nextMs = bucket.startMs + intervalMs;
      if (this.masked.delete(Math.round(bucket.startMs / intervalMs))) {
        this.maskedValues.set(values.length, bucket.value);
        values.push(Number.NaN);
      } else values.push(bucket.value);
    }
  }

  series(): JobSeries | null {
    const { values, group, jumps, maskedValues } = this;
    const { spec, intervalMs, leads } = this.stream;
    if (values.length === 0) return null;
    return {
      name: spec.name,
      group,
      intervalMs,
      startMs: this.startMs,
      values: Float64Array.from(values),
      ...(jumps.length > 0 && { jumps }),
      ...(maskedValues.size > 0 && { masked: maskedValues }),
      leads,
      settings: recordedSettings(spec),
    };
  }
}
