/** A clock that tests move by hand: timers fire in order as time is advanced. */
import type { Clock } from '../../src/system/clock.ts';

export class ManualClock implements Clock {
  private elapsedMs = 0;
  private timers: { atMs: number; callback: () => void }[] = [];

  constructor(public wallMs = Date.UTC(2025, 0, 1)) {}

  now(): number {
    return this.wallMs;
  }

  monotonic(): number {
    return this.elapsedMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.elapsedMs + Math.max(0, delayMs), callback };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((other) => other !== timer);
    };
  }

  get waiting(): number {
    return this.timers.length;
  }

  /** Moves wall clock and monotonic clock together; timers see the time they were set for. */
  advance(ms: number): void {
    const end = this.elapsedMs + ms;
    for (;;) {
      const due = this.timers.filter((timer) => timer.atMs <= end).sort((a, b) => a.atMs - b.atMs)[0];
      if (!due) break;
      this.timers = this.timers.filter((other) => other !== due);
      this.wallMs += due.atMs - this.elapsedMs;
      this.elapsedMs = due.atMs;
      due.callback();
    }
    this.wallMs += end - this.elapsedMs;
    this.elapsedMs = end;
  }
}
