/**
 * When a message is acknowledged: when its samples are on disk. Flushes for that as seldom as may be, and where the disk fails
 * keeps the acknowledgements until it does not.
 */
import type { Store } from '../store/store-contract.ts';
import type { Clock } from '../system/clock.ts';

/** A store that failed is asked again after this: every try writes all that waits, ms. */
const RETRY_MS = 1000;

export interface AcknowledgementsParts {
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly store: Pick<Store, 'flush'>;
  readonly flushMs: number;
  readonly storeFails?: (failing: boolean) => void;
}

export class Acknowledgements {
  private waiting: (() => void)[] = [];
  private flushedMs = 0;
  /** Whether the last flush failed. */
  failing = false;

  constructor(private readonly parts: AcknowledgementsParts) {}

  start(): void {
    this.flushedMs = this.parts.clock.monotonic();
  }

  add(acknowledge: () => void): void {
    this.waiting.push(acknowledge);
  }

  /** The connection is gone: nobody waits for its acknowledgements. What was not acknowledged comes again. */
  lost(): void {
    this.waiting = [];
  }

  /** Flushes where somebody waits for it, or the last time was long ago. */
  flushIfDue(): void {
    const sinceMs = this.parts.clock.monotonic() - this.flushedMs;
    if (this.failing ? sinceMs >= RETRY_MS : this.waiting.length > 0 || sinceMs >= this.parts.flushMs)
      this.flush();
  }

  flush(): void {
    this.flushedMs = this.parts.clock.monotonic();
    const safe = this.parts.store.flush();
    if (safe) {
      const waiting = this.waiting;
      this.waiting = [];
      for (const acknowledge of waiting) acknowledge();
    }
    if (this.failing === !safe) return;
    this.failing = !safe;
    this.parts.storeFails?.(this.failing);
  }
}
