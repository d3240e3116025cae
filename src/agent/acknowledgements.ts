/**
 * Decides when a message is acknowledged: as soon as its samples are stored as safely as `store.durability` demands.
 * Flushes the store only as often as this requires, and holds acknowledgements back while the disk fails.
 */
import type { Durability } from '../store/sqlite-store.ts';
import type { Store } from '../store/store-contract.ts';
import type { Clock } from '../system/clock.ts';

/** Delay before retrying a failed store, because every attempt writes all waiting rows, ms. */
const RETRY_MS = 1000;
/**
 * One disk sync serves all messages that arrived within this time, ms, or this many messages: brokers send no further message while
 * 20 wait for their acknowledgement (Mosquitto's default).
 */
const GATHER_MS = 250;
const GATHER_MOST = 16;

interface AcknowledgementsParts {
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly store: Pick<Store, 'flush'>;
  readonly flushMs: number;
  /** Default: `crash`. */
  readonly durability?: Durability;
  readonly storeFails?: (failing: boolean) => void;
}

export class Acknowledgements {
  private waiting: (() => void)[] = [];
  /** Messages to acknowledge when the running flush is done; null if none runs. */
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

  /** Call when the connection is lost: its messages can no longer be acknowledged, and the broker sends them again. */
  lost(): void {
    this.waiting = [];
    if (this.flushing !== null) this.flushing = [];
  }

  /** Time until waiting messages should be flushed, ms; infinity if none waits. */
  dueInMs(): number {
    if (this.waiting.length === 0 || this.flushing !== null) return Number.POSITIVE_INFINITY;
    return Math.max(0, this.gatherMs() - this.sinceMs());
  }

  /** Flushes if messages wait for it, or if the last flush was long ago. */
  flushIfDue(): void {
    if (this.flushing !== null) return;
    const { flushMs } = this.parts;
    const sinceMs = this.sinceMs();
    const gathered = this.waiting.length > 0 && sinceMs >= this.gatherMs();
    if (this.failing ? sinceMs >= RETRY_MS : gathered || sinceMs >= flushMs) this.begin();
  }

  /** Flushes and waits for the disk, when the agent stops. */
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
    let isDone = false;
    const done = (safe: boolean): void => {
      isDone = true;
      const waiting = this.flushing ?? [];
      this.flushing = null;
      this.done(safe, waiting);
      // The broker may send nothing more until the messages that arrived meanwhile are acknowledged.
      if (safe && this.waiting.length >= GATHER_MOST) this.begin();
    };
    try {
      this.parts.store.flush(done);
    } catch (error) {
      // Otherwise it would wait for this flush for ever.
      if (!isDone) done(false);
      throw error;
    }
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
