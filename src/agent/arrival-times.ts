/**
 * Assigns times to readings without a time stamp. A live reading gets its time of arrival. Readings of a backlog all
 * arrive at once: each gets the time of its predecessor plus the usual spacing of the stream, and is marked.
 */
import type { StreamView } from '../forecast/engine-contract.ts';
import type { Sample } from '../series/sample.ts';
import type { Store } from '../store/store-contract.ts';
import type { KnownStream } from './known-streams.ts';

interface Stream {
  /** Time given to the last reading, ms. */
  lastMs: number;
  lastValue: number;
  /** Usual time between two readings, ms; NaN while unknown. */
  spacingMs: number;
}

/** Data about a stream from an earlier run. */
export interface FormerReadings {
  readonly lastMs: number;
  readonly spacingMs: number;
}

/** Weight of the newest spacing in the mean. */
const RATE = 0.1;
/** A spacing longer than this many usual ones is a gap in the sensor's data. */
const GAP = 3;
/** A reading is on time if it arrives within this many spacings after the previous one. */
const ON_TIME = 1.5;
/** Most streams stored; reached only if streams are added and removed constantly. */
const MAX_STREAMS = 100_000;

export class ArrivalTimes {
  private readonly streams = new Map<string, Stream>();

  /** @param former called once for each stream that starts with a backlog */
  constructor(private readonly former: (stream: string) => FormerReadings | null = () => null) {}

  /**
   * @param sample with its time of arrival as its time
   * @param backlogFromMs wall time from which on readings may have waited, ms; null: this one is live
   */
  timed(sample: Sample, backlogFromMs: number | null): Sample {
    const { arrivalMs, value } = sample;
    const known =
      this.streams.get(sample.stream) ?? (backlogFromMs === null ? null : this.adopt(sample.stream));
    if (known === null) {
      if (this.streams.size >= MAX_STREAMS) this.streams.clear();
      this.streams.set(sample.stream, { lastMs: arrivalMs, lastValue: value, spacingMs: Number.NaN });
      return sample;
    }
    const gapMs = arrivalMs - known.lastMs;
    let timeMs = arrivalMs;
    if (backlogFromMs !== null && gapMs > ON_TIME * known.spacingMs)
      timeMs = Math.round(Math.min(arrivalMs, Math.max(known.lastMs + known.spacingMs, backlogFromMs)));
    // Different values in one millisecond are two readings; equal ones stay, so that they are detected as duplicates.
    else if (gapMs <= 0 && gapMs > -1000 && value !== known.lastValue) timeMs = known.lastMs + 1;
    else if (backlogFromMs === null && gapMs > 0) {
      if (Number.isNaN(known.spacingMs)) known.spacingMs = gapMs;
      else known.spacingMs += RATE * (Math.min(gapMs, GAP * known.spacingMs) - known.spacingMs);
    }
    known.lastMs = timeMs;
    known.lastValue = value;
    return timeMs === arrivalMs ? sample : { ...sample, timeMs, assigned: arrivalMs - timeMs > 1 };
  }

  private adopt(stream: string): Stream | null {
    const former = this.former(stream);
    if (former === null) return null;
    const known = { ...former, lastValue: Number.NaN };
    this.streams.set(stream, known);
    return known;
  }
}

/** Data of a stream that is restored after the start, from its stored readings. */
export function lateFormerReadings(
  known: KnownStream | undefined,
  store: Pick<Store, 'samples' | 'loadSnapshot'>,
): FormerReadings | null {
  if (known === undefined) return null;
  const { name, intervalMs } = known.spec;
  const savedMs = store.loadSnapshot(name)?.replayFromMs ?? known.firstMs;
  const fromMs = Math.max(known.firstMs, savedMs - FORMER_READINGS * (intervalMs ?? UNKNOWN_INTERVAL_MS));
  const times = [...store.samples(name, fromMs)].slice(-FORMER_READINGS - 1).map(({ timeMs }) => timeMs);
  const lastMs = times.at(-1);
  const spacingMs = usualSpacing(times) ?? intervalMs;
  return lastMs === undefined || spacingMs === null ? null : { lastMs, spacingMs };
}

/** Median distance between ascending times; null with fewer than two. */
function usualSpacing(times: readonly number[]): number | null {
  const gaps = times
    .slice(1)
    .map((timeMs, i) => timeMs - (times[i] ?? timeMs))
    .sort((a, b) => a - b);
  return gaps[gaps.length >> 1] ?? null;
}

/** Number of stored readings from which the usual spacing is computed after a start. */
const FORMER_READINGS = 32;
/** Interval to assume while it is being learnt, ms. */
const UNKNOWN_INTERVAL_MS = 60_000;

/** Data of streams in the store, as of the start. */
export function formerReadings(
  streams: Iterable<Pick<StreamView, 'spec' | 'lastObservedMs' | 'intervalMs'>>,
  store: Pick<Store, 'samples'>,
): (stream: string) => FormerReadings | null {
  const views = new Map([...streams].map((view) => [view.spec.name, view]));
  return (stream) => {
    const view = views.get(stream);
    views.delete(stream);
    if (view === undefined || view.lastObservedMs === null || view.intervalMs === null) return null;
    const { lastObservedMs: lastMs, intervalMs } = view;
    const times = [...store.samples(stream, lastMs - FORMER_READINGS * intervalMs, lastMs + 1)].map(
      (row) => row.timeMs,
    );
    return { lastMs, spacingMs: usualSpacing(times) ?? intervalMs };
  };
}
