/**
 * Assigns times to readings without a time stamp. A live reading gets its time of arrival. Readings of a backlog all
 * arrive at once: each gets the time of its predecessor plus the usual spacing of the stream, and is marked.
 */
import type { Sample, UnstampedReading } from '../series/sample.ts';
import type { FormerReadings } from './former-readings.ts';

interface Stream {
  /** Time given to the last reading, ms. */
  lastMs: number;
  lastValue: number;
  /** Usual time between two readings, ms; NaN while unknown. */
  spacingMs: number;
  /** Number of spacings in it, at most `FEW`. */
  spacings: number;
}

/**
 * Window of the moving mean of the spacings; until it is full, all spacings count equally. If the agent takes two readings at once, the
 * spacing between them is almost 0 and the one before is too long; the mean of both is right.
 */
const FEW = 32;
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

  /** Whether a stream has had a reading without a time stamp. */
  knows(stream: string): boolean {
    return this.streams.has(stream);
  }

  /**
   * @param backlogFromMs wall time from which on readings may have waited, ms; null: this one is live
   */
  timed({ stream, arrivalMs, value }: UnstampedReading, backlogFromMs: number | null): Sample {
    const known = this.streams.get(stream) ?? (backlogFromMs === null ? null : this.adopt(stream));
    if (known === null) {
      if (this.streams.size >= MAX_STREAMS) this.streams.clear();
      this.streams.set(stream, { lastMs: arrivalMs, lastValue: value, spacingMs: Number.NaN, spacings: 0 });
      return { stream, timeMs: arrivalMs, value, arrivalMs };
    }
    const gapMs = arrivalMs - known.lastMs;
    let timeMs = arrivalMs;
    if (backlogFromMs !== null && gapMs > ON_TIME * known.spacingMs)
      timeMs = Math.round(Math.min(arrivalMs, Math.max(known.lastMs + known.spacingMs, backlogFromMs)));
    // Different values in one millisecond are two readings; equal ones stay, so that they are detected as duplicates.
    else if (gapMs <= 0 && gapMs > -1000 && value !== known.lastValue) timeMs = known.lastMs + 1;
    else if (backlogFromMs === null && gapMs > 0) {
      const isFew = known.spacings < FEW;
      if (isFew) known.spacings++;
      if (known.spacings === 1) known.spacingMs = gapMs;
      else {
        const spacingMs = isFew ? gapMs : Math.min(gapMs, GAP * known.spacingMs);
        known.spacingMs += (spacingMs - known.spacingMs) / known.spacings;
      }
    }
    known.lastMs = timeMs;
    known.lastValue = value;
    return arrivalMs - timeMs > 1
      ? { stream, timeMs, value, arrivalMs, assigned: true }
      : { stream, timeMs, value, arrivalMs };
  }

  private adopt(stream: string): Stream | null {
    const former = this.former(stream);
    if (former === null) return null;
    const known = { ...former, lastValue: Number.NaN, spacings: FEW };
    this.streams.set(stream, known);
    return known;
  }
}
