/**
 * Messages on their way out, in order, bounded. Of retained messages only the newest a topic is kept: it makes the ones
 * before worthless. A message leaves when the broker has it; what was under way when the connection broke comes first
 * again.
 */
export interface Outgoing {
  readonly topic: string;
  readonly payload: string | Uint8Array;
  readonly qos: 0 | 1;
  readonly retain: boolean;
}

export class Outbox {
  readonly #limit: number;
  /** By topic for retained messages, by number for others; in order of sending. */
  #waiting = new Map<string | number, Outgoing>();
  readonly #underWay = new Map<string | number, Outgoing>();
  #counter = 0;
  #dropped = 0;

  /** @param limit most messages that wait */
  constructor(limit: number) {
    this.#limit = Math.max(1, limit);
  }

  get size(): number {
    return this.#waiting.size + this.#underWay.size;
  }

  get underWay(): number {
    return this.#underWay.size;
  }

  /** Messages lost to the bound; those replaced by a newer one of their topic are not lost. */
  get dropped(): number {
    return this.#dropped;
  }

  put(message: Outgoing): void {
    const key = message.retain ? message.topic : this.#counter++;
    // a replaced message goes to the end: it is as new as its newest content
    this.#waiting.delete(key);
    this.#waiting.set(key, message);
    if (this.#waiting.size <= this.#limit) return;
    this.#waiting.delete(this.#waiting.keys().next().value!);
    this.#dropped++;
  }

  /** The next message to send; call `sent` or `failed` for it. A topic's newer message waits until the older one is through. */
  take(): { readonly message: Outgoing; readonly key: string | number } | null {
    for (const [key, message] of this.#waiting) {
      if (this.#underWay.has(key)) continue;
      this.#waiting.delete(key);
      this.#underWay.set(key, message);
      return { message, key };
    }
    return null;
  }

  /** The broker has it, or will never take it. */
  done(key: string | number): void {
    this.#underWay.delete(key);
  }

  /** The connection is gone: what was under way goes before what waits. */
  rewind(): void {
    const again = new Map(this.#underWay);
    this.#underWay.clear();
    for (const [key, message] of this.#waiting) {
      again.delete(key);
      again.set(key, message);
    }
    this.#waiting = again;
  }
}
