/**
 * Refuses readings that changed faster than `max_rate`. Readings are checked when their bucket closes, in order of
 * time, so that the order of arrival does not matter.
 */
import type { StateIo } from './state-io.ts';

/** This many consistent refused readings in a row are accepted: the previous accepted one was wrong. */
const AGREEING = 3;

export class RateLimit {
  private acceptedMs = Number.NaN;
  private accepted = Number.NaN;
  private refusedMs = Number.NaN;
  private refused = Number.NaN;
  private run = 0;

  /** @param maxPerMs largest possible change, unit per ms; null: unlimited */
  constructor(private readonly maxPerMs: number | null) {}

  /** Call in order of time. */
  accepts(timeMs: number, value: number): boolean {
    let believable = this.reaches(this.acceptedMs, this.accepted, timeMs, value);
    if (!believable) {
      this.run = this.reaches(this.refusedMs, this.refused, timeMs, value) ? this.run + 1 : 1;
      this.refusedMs = timeMs;
      this.refused = value;
      believable = this.run >= AGREEING;
    }
    if (believable) {
      this.acceptedMs = timeMs;
      this.accepted = value;
      this.run = 0;
    }
    return believable;
  }

  /** Whether the change between two readings is within the limit; always true without a first reading. */
  private reaches(fromMs: number, from: number, timeMs: number, value: number): boolean {
    if (this.maxPerMs === null) return true;
    return Number.isNaN(fromMs) || Math.abs(value - from) <= this.maxPerMs * (timeMs - fromMs);
  }

  persist(io: StateIo): void {
    this.acceptedMs = io.number(this.acceptedMs);
    this.accepted = io.number(this.accepted);
    this.refusedMs = io.number(this.refusedMs);
    this.refused = io.number(this.refused);
    this.run = io.number(this.run);
  }
}
