/**
 * Outgoing messages, in order. Of retained messages only the newest of each topic is kept, because it replaces older
 * ones at the broker. A message leaves the outbox when the broker has received it; messages in flight when the
 * connection broke are sent first after the reconnect. The bound applies to outages: while the broker is connected,
 * one retained message waits for each topic, and only other messages are bounded.
 */
export interface Outgoing {
  readonly topic: string;
  readonly payload: string | Uint8Array;
  readonly qos: 0 | 1;
  readonly retain: boolean;
  /** The newest message of the topic replaces a waiting one, although the message is not retained. */
  readonly newestOnly?: boolean;
}

/** A topic, or a number for a message that is never replaced. */
type OutboxKey = string | number;

export interface OutboxEntry {
  readonly message: Outgoing;
  readonly key: OutboxKey;
}

export class Outbox {
  private readonly limit: number;
  /** In order of sending. */
  private waiting = new Map<OutboxKey, Outgoing>();
  /** The only waiting message. Most messages are taken at once; using the map for them would create garbage. */
  private only: OutboxEntry | null = null;
  /** Messages in flight, in order of sending; a few tens at most. */
  private readonly sent: OutboxEntry[] = [];
  /** Number of waiting messages that are never replaced. */
  private numbered = 0;
  /** The first messages of this connection. */
  private first: ReadonlySet<Outgoing> = new Set();
  private counter = 0;
  /** Number of messages dropped because of the limit; a message replaced by a newer one of its topic is not counted. */
  dropped = 0;

  /** @param limit most messages waiting during an outage */
  constructor(limit: number) {
    this.limit = Math.max(1, limit);
  }

  get size(): number {
    return this.waiting.size + (this.only === null ? 0 : 1) + this.sent.length;
  }

  get underWay(): number {
    return this.sent.length;
  }

  /** @param connected a replaced message keeps its place in the queue, so that every topic has its turn */
  put(message: Outgoing, connected = false): void {
    const replaces = message.retain || message.newestOnly === true;
    const key = replaces ? message.topic : this.counter++;
    if (!replaces) this.numbered++;
    if (connected && this.waiting.size === 0 && this.only === null) {
      this.only = { message, key };
      return;
    }
    this.spread();
    // In an outage the oldest are dropped first, so a replaced message moves to the end with its new content.
    if (replaces && !connected) this.waiting.delete(key);
    this.waiting.set(key, message);
    if (connected) {
      if (this.numbered > this.limit) this.dropFirst((first) => typeof first === 'number');
    } else if (this.waiting.size > this.limit) this.dropFirst(() => true);
  }

  /**
   * Puts the first messages of a connection before the waiting ones, whatever the limit. Each replaces a waiting one of its
   * topic. They are valid only for this connection: `rewind` drops them.
   */
  putFirst(messages: readonly Outgoing[]): void {
    this.spread();
    this.first = new Set(messages);
    const first = new Map<OutboxKey, Outgoing>(messages.map((message) => [message.topic, message]));
    for (const [key, message] of this.waiting) if (!first.has(key)) first.set(key, message);
    this.waiting = first;
  }

  /** The next message to send; call `done` for it. A topic's newer message waits until the older one is acknowledged. */
  take(): OutboxEntry | null {
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

  /** The message that is in flight for the longest time. */
  get oldestUnderWay(): OutboxEntry | null {
    return this.sent[0] ?? null;
  }

  allUnderWay(): readonly OutboxEntry[] {
    return [...this.sent];
  }

  /** Call when the broker has the message or has refused it. */
  done(key: OutboxKey): void {
    const at = this.sent.findIndex((entry) => entry.key === key);
    if (at >= 0) this.sent.splice(at, 1);
  }

  /** Call when the connection is lost: messages in flight go to the front of the queue. */
  rewind(): void {
    this.spread();
    const again = new Map(this.sent.map(({ key, message }) => [key, message]));
    this.sent.length = 0;
    for (const [key, message] of this.waiting) {
      again.delete(key);
      again.set(key, message);
    }
    for (const [key, message] of again) if (this.first.has(message)) again.delete(key);
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
      this.dropped++;
      return;
    }
  }

  private remove(key: OutboxKey): void {
    if (this.waiting.delete(key) && typeof key === 'number') this.numbered--;
  }
}
