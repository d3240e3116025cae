/**
 * One MQTT message on its way through the decoders. Text and JSON are made once, on first use, however many rules
 * look at the message.
 */
import type { DecodeSink } from './decoder.ts';
import { jsonDepthExceeds } from './json-depth.ts';
import { excerpt } from './rejects.ts';

export class Message {
  readonly topic: string;
  readonly payload: Uint8Array;
  /** ms since 1970 UTC. */
  readonly arrivalMs: number;
  readonly #maxDepth: number;
  #text: string | null = null;
  #json: unknown;
  #jsonState: 'new' | 'parsed' | 'failed' = 'new';

  constructor(topic: string, payload: Uint8Array, arrivalMs: number, maxDepth: number) {
    this.topic = topic;
    this.payload = payload;
    this.arrivalMs = arrivalMs;
    this.#maxDepth = maxDepth;
  }

  /** UTF-8, without a byte order mark; invalid bytes become U+FFFD. */
  text(): string {
    if (this.#text === null) {
      const { payload } = this;
      const buffer = Buffer.isBuffer(payload)
        ? payload
        : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
      const text = buffer.toString('utf8');
      this.#text = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
    }
    return this.#text;
  }

  /** The parsed payload, or undefined after a reject; a message that two rules read is rejected once. */
  json(sink: DecodeSink): unknown {
    if (this.#jsonState === 'new') {
      this.#jsonState = 'failed';
      const text = this.text();
      if (text.trim() === '') sink.reject('empty', 'no JSON in the payload', true);
      else if (jsonDepthExceeds(text, this.#maxDepth))
        sink.reject('too-deep', `nested deeper than ${this.#maxDepth}`, true);
      else {
        try {
          this.#json = JSON.parse(text);
          this.#jsonState = 'parsed';
        } catch {
          sink.reject('bad-json', excerpt(text), true);
        }
      }
    }
    return this.#json;
  }
}
