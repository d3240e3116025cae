/**
 * Decides whether the wall clock may close buckets and forecasts may go out.
 * A clock before 2024 was never set: then neither. And after a start the broker first hands over what it kept; were the
 * clock to close buckets meanwhile, those readings would come too late, and the forecasts would differ from those of
 * an agent that never stopped.
 */
import type { Sample } from '../series/sample.ts';

/** Before this a clock was never set, ms. */
const SANE_FROM_MS = Date.UTC(2024, 0, 1);
/** How old a reading that has just arrived must be to count as one that the broker had kept, ms. */
const BACKLOG_AGE_MS = 1500;
/** The backlog is over when none of it has come for this long, ms. */
const QUIET_MS = 500;
/**
 * A broker hands over what it kept right after it has accepted the connection. By the time it has answered the
 * subscriptions, which are asked for after that, the first of it is here, whatever the way to the broker takes; and this
 * much later at a broker that does several things at once, ms.
 */
const SETTLE_MS = 250;
/** A broker that does not answer the subscriptions, ms after the connection. */
const UNANSWERED_MS = 3000;
/** A stream whose readings always come late must not hold the clock for ever, ms after the connection. */
const MAX_BACKLOG_MS = 15_000;
/** Without a broker the forecasts go on from what is stored, ms after the start. */
const MAX_WAIT_MS = 5000;

export class ClockHold {
  private connectedMs: number | null = null;
  private answeredMs: number | null = null;
  private backlogMs = Number.NEGATIVE_INFINITY;
  private released = false;

  /** All times of this class but `nowMs` are of the monotonic clock. */
  constructor(private readonly startedMs: number) {}

  connected(monotonicMs: number): void {
    this.connectedMs ??= monotonicMs;
  }

  /** The broker has answered what was subscribed to. */
  answered(monotonicMs: number): void {
    this.answeredMs ??= monotonicMs;
  }

  /** @param ageMs of a reading on its arrival */
  arrived(ageMs: number, monotonicMs: number): void {
    if (ageMs > BACKLOG_AGE_MS) this.backlogMs = monotonicMs;
  }

  /** Whether the wall clock has ever been set. */
  static sane(nowMs: number): boolean {
    return nowMs >= SANE_FROM_MS;
  }

  /** While the clock is not set, a reading with a time stamp of its own is judged by that alone. */
  static timed(sample: Sample): Sample {
    const { timeMs, arrivalMs } = sample;
    return ClockHold.sane(arrivalMs) || timeMs === arrivalMs ? sample : { ...sample, arrivalMs: timeMs };
  }

  /** Whether the wall clock may close buckets. Once it may, it stays so. */
  mayClose(monotonicMs: number): boolean {
    if (this.released) return true;
    const { connectedMs, answeredMs } = this;
    if (connectedMs === null) {
      this.released = monotonicMs - this.startedMs >= MAX_WAIT_MS;
    } else {
      const settled = answeredMs === null ? connectedMs + UNANSWERED_MS : answeredMs + SETTLE_MS;
      this.released =
        monotonicMs - connectedMs >= MAX_BACKLOG_MS ||
        (monotonicMs >= settled && monotonicMs - this.backlogMs >= QUIET_MS);
    }
    return this.released;
  }
}
