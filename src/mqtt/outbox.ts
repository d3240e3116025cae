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

interface Entry {
  readonly message: Outgoing;
  readonly key: OutboxKey;
}

export class Outbox {
  private readonly limit: number;
  /** In order of sending. */
  private waiting = new Map<OutboxKey, Outgoing>();
  /** The message that waits while no other one does: most messages are taken at once, and a map would make garbage for each. */
  private only: Entry | null = null;
  /** Under way, in order of sending; a few tens at most. */
  private readonly sent: Entry[] = [];
  /** Messages that wait and that no other one replaces. */
  private numbered = 0;
  private counter = 0;
  private drops = 0;

  /** @param limit most messages that wait during an outage */
  constructor(limit: number) {
    this.limit = Math.max(1, limit);
  }

  get size(): number {
    return this.waiting.size + (this.only === null ? 0 : 1) + this.sent.length;
  }

  get underWay(): number {
    return this.sent.length;
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
    if (connected && this.waiting.size === 0 && this.only === null) {
      this.only = { message, key };
      return;
    }
    this.spread();
    // During an outage the oldest go first: a replaced message is as new as its newest content.
    if (replaces && !connected) this.waiting.delete(key);
    this.waiting.set(key, message);
    if (connected) {
      if (this.numbered > this.limit) this.dropFirst((first) => typeof first === 'number');
    } else if (this.waiting.size > this.limit) this.dropFirst(() => true);
  }

  /** The next message to send; call `done` for it. A topic's newer message waits until the older one is through. */
  take(): Entry | null {
    const { only } = this;
    if (only !== null) {
      if (this.isUnderWay(only.key)) return null;
      this.only = null;
      if (typeof only.key === 'number') this.numbered--;
      this.sent.push(only);
      return only;
    }
    for (const [key, message] of this.waiting) {
      if (this.isUnderWay(key)) continue;
      this.remove(key);
      const entry = { message, key };
      this.sent.push(entry);
      return entry;
    }
    return null;
  }

  allUnderWay(): readonly Entry[] {
    return [...this.sent];
  }

  /** The broker has it, or will never take it. */
  done(key: OutboxKey): void {
    const at = this.sent.findIndex((entry) => entry.key === key);
    if (at >= 0) this.sent.splice(at, 1);
  }

  /** The connection is gone: what was under way goes before what waits. */
  rewind(): void {
    this.spread();
    const again = new Map(this.sent.map(({ key, message }) => [key, message]));
    this.sent.length = 0;
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
    this.sent.length = 0;
    this.waiting.clear();
    this.only = null;
    this.numbered = 0;
  }

  private isUnderWay(key: OutboxKey): boolean {
    for (const entry of this.sent) if (entry.key === key) return true;
    return false;
  }

  private spread(): void {
    if (this.only !== null) this.waiting.set(this.only.key, this.only.message);
    this.only = null;
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
