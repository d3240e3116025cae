/**
 * Outgoing messages, in order. Of retained messages only the newest of each topic is kept, because it replaces older
 * ones at the broker. A message leaves the outbox when the broker has received it; messages in flight when the
 * connection broke are sent first after the reconnect. The bound applies to outages: while the broker is connected,
 * one retained message per topic waits, however many topics there are, and only other messages are bounded.
 */
export interface Outgoing {
  readonly topic: string;
  readonly payload: string | Uint8Array;
  readonly qos: 0 | 1;
  readonly retain: boolean;
  /** The newest message of the topic replaces one that waits, although the broker does not keep it. */
  readonly newestOnly?: boolean;
}

/** A topic, or the number of a message that no other one replaces. */
export type OutboxKey = string | number;

export class Outbox {
  private readonly limit: number;
  /** In order of sending. */
  private waiting = new Map<OutboxKey, Outgoing>();
  private readonly sent = new Map<OutboxKey, Outgoing>();
  /** Messages in `#waiting` that no other one replaces. */
  private numbered = 0;
  private counter = 0;
  private drops = 0;

  /** @param limit most messages that wait during an outage */
  constructor(limit: number) {
    this.limit = Math.max(1, limit);
  }

  get size(): number {
    return this.waiting.size + this.sent.size;
  }

  get underWay(): number {
    return this.sent.size;
  }

  /** Messages lost to the bound; those replaced by a newer one of their topic are not lost. */
  get dropped(): number {
    return this.drops;
  }

  /** @param connected the broker takes messages: a replaced one keeps its place, so that every topic has its turn */
  put(message: Outgoing, connected = false): void {
    const replaces = message.retain || message.newestOnly === true;
    const key = replaces ? message.topic : this.counter++;
    if (!replaces) this.numbered++;
    // During an outage the oldest go first: a replaced message is as new as its newest content.
    else if (!connected) this.waiting.delete(key);
    this.waiting.set(key, message);
    if (connected) {
      if (this.numbered > this.limit) this.dropFirst((first) => typeof first === 'number');
    } else if (this.waiting.size > this.limit) this.dropFirst(() => true);
  }

  /** The next message to send; call `done` for it. A topic's newer message waits until the older one is through. */
  take(): { readonly message: Outgoing; readonly key: OutboxKey } | null {
    for (const [key, message] of this.waiting) {
      if (this.sent.has(key)) continue;
      this.remove(key);
      this.sent.set(key, message);
      return { message, key };
    }
    return null;
  }

  allUnderWay(): { readonly message: Outgoing; readonly key: OutboxKey }[] {
    return [...this.sent].map(([key, message]) => ({ key, message }));
  }

  /** The broker has it, or will never take it. */
  done(key: OutboxKey): void {
    this.sent.delete(key);
  }

  /** The connection is gone: what was under way goes before what waits. */
  rewind(): void {
    const again = new Map(this.sent);
    this.sent.clear();
    for (const [key, message] of this.waiting) {
      again.delete(key);
      again.set(key, message);
    }
    this.waiting = again;
    this.numbered = 0;
    for (const key of again.keys()) if (typeof key === 'number') this.numbered++;
  }

  /** Forgets all messages. */
  clear(): void {
    this.sent.clear();
    this.waiting.clear();
    this.numbered = 0;
  }

  private dropFirst(drops: (key: OutboxKey) => boolean): void {
    for (const key of this.waiting.keys()) {
      if (!drops(key)) continue;
      this.remove(key);
      this.drops++;
      return;
    }
  }

  private remove(key: OutboxKey): void {
    if (this.waiting.delete(key) && typeof key === 'number') this.numbered--;
  }
}
