/**
 * Computes the delay before the next attempt to connect: doubling, with jitter, so that a fleet does not reconnect
 * all at once.
 */
import type { Clock } from '../system/clock.ts';

const FIRST_MS = 1000;
/** A connection of at least this duration resets the delay; shorter ones count as failures. */
const GOOD_MS = 10_000;

export class Backoff {
  private attempts = 0;
  private connectedAt: number | null = null;

  /** @param random 0 <= r < 1 */
  constructor(
    private readonly clock: Clock,
    private readonly random: () => number,
    private readonly maxMs: number,
  ) {}

  connected(): void {
    this.connectedAt = this.clock.monotonic();
  }

  /** Next delay: between half and all of the current step, ms. */
  next(): number {
    if (this.connectedAt !== null && this.clock.monotonic() - this.connectedAt >= GOOD_MS) this.attempts = 0;
    this.connectedAt = null;
    const step = Math.min(this.maxMs, FIRST_MS * 2 ** Math.min(this.attempts++, 30));
    return step * (0.5 + 0.5 * this.random());
  }
}
