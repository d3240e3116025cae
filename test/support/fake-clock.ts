/** A clock that a test moves by hand. */
import type { Clock } from '../../src/system/clock.ts';

export class FakeClock implements Clock {
  #wall: number;
  #monotonic = 0;
  #timers: { at: number; callback: () => void }[] = [];

  constructor(wallMs = Date.UTC(2025, 0, 1)) {
    this.#wall = wallMs;
  }

  now(): number {
    return this.#wall;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { at: this.#monotonic + Math.max(0, delayMs), callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((t) => t !== timer);
    };
  }

  /** Delay of the next timer from now, ms; null when there is none. */
  get nextDelayMs(): number | null {
    return this.#timers.length === 0 ? null : Math.min(...this.#timers.map((t) => t.at)) - this.#monotonic;
  }

  /** Lets time pass and runs what falls due, in order. */
  advance(ms: number): void {
    const end = this.#monotonic + ms;
    for (;;) {
      const due = this.#timers.filter((t) => t.at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((t) => t !== due);
      this.#wall += due.at - this.#monotonic;
      this.#monotonic = due.at;
      due.callback();
    }
    this.#wall += end - this.#monotonic;
    this.#monotonic = end;
  }

  /** The wall clock jumps; no time passes. */
  jump(ms: number): void {
    this.#wall += ms;
  }
}
