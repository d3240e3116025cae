/**
 * Decides when a message is acknowledged: as soon as its samples are stored as safely as `store.durability` demands.
 * Flushes the store only as often as this requires, and holds acknowledgements back while the disk fails.
 */
import type { Durability } from '../store/sqlite-store.ts';
import type { Store } from '../store/store-contract.ts';
import type { Clock } from '../system/clock.ts';

/** A store that failed is tried again after this: every try writes all that waits, ms. */
const RETRY_MS = 1000;
/**
 * One sync of the disk serves all messages that came within this time, ms, or so many: brokers send no further message while
 * 20 wait for their acknowledgement (Mosquitto's default).
 */
const GATHER_MS = 250;
const GATHER_MOST = 16;

export interface AcknowledgementsParts {
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly store: Pick<Store, 'flush'>;
  readonly flushMs: number;
  /** Left out: `crash`. */
  readonly durability?: Durability;
  readonly storeFails?: (failing: boolean) => void;
}

export class Acknowledgements {
  private waiting: (() => void)[] = [];
  /** Acknowledged when the flush that runs is done; null when none runs. */
  private flushing: (() => void)[] | null = null;
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

  /** The connection is gone: nothing that came on it can be acknowledged any more. The broker sends it again. */
  lost(): void {
    this.waiting = [];
    if (this.flushing !== null) this.flushing = [];
  }

  /** How long until messages that wait should be flushed, ms; infinity where none waits. */
  dueInMs(): number {
    if (this.waiting.length === 0 || this.flushing !== null) return Number.POSITIVE_INFINITY;
    return Math.max(0, this.gatherMs() - this.sinceMs());
  }

  /** Flushes where messages wait for it, or the last flush was long ago. */
  flushIfDue(): void {
    if (this.flushing !== null) return;
    const { flushMs } = this.parts;
    const sinceMs = this.sinceMs();
    const gathered = this.waiting.length > 0 && sinceMs >= this.gatherMs();
    if (this.failing ? sinceMs >= RETRY_MS : gathered || sinceMs >= flushMs) this.begin();
  }

  /** At the end: waits for the disk. */
  flush(): void {
    const waiting = [...(this.flushing ?? []), ...this.waiting];
    if (this.flushing !== null) this.flushing = [];
    this.waiting = [];
    this.flushedMs = this.parts.clock.monotonic();
    this.done(this.parts.store.flush(), waiting);
  }

  private begin(): void {
    this.flushedMs = this.parts.clock.monotonic();
    this.flushing = this.waiting;
    this.waiting = [];
    this.parts.store.flush((safe) => {
      const waiting = this.flushing ?? [];
      this.flushing = null;
      this.done(safe, waiting);
      // What came meanwhile may be all that the broker sends before it is acknowledged.
      if (safe && this.waiting.length >= GATHER_MOST) this.begin();
    });
  }

  private done(safe: boolean, waiting: (() => void)[]): void {
    if (safe) for (const acknowledge of waiting) acknowledge();
    else this.waiting = [...waiting, ...this.waiting];
    if (this.failing === !safe) return;
    this.failing = !safe;
    this.parts.storeFails?.(this.failing);
  }

  private sinceMs(): number {
    return this.parts.clock.monotonic() - this.flushedMs;
  }

  private gatherMs(): number {
    return this.parts.durability === 'power' && this.waiting.length < GATHER_MOST ? GATHER_MS : 0;
  }
}
