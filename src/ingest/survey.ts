/**
 * What is heard on a broker, topic by topic: how it reads, how often it comes, between which values it moves. Bounded:
 * further topics and fields are only counted. The base of `gatecast check --listen`.
 */
import { type Decoder, TAKE_ALL } from './decoder.ts';
import { createDecoder, type PayloadKind } from './decoders/index.ts';
import { Message } from './message.ts';
import { isTopic } from './pattern.ts';
import { newSession } from './session.ts';
import { sniff } from './sniff.ts';

const MAX_TOPICS = 5000;
const MAX_FIELDS = 64;
const MAX_GAPS = 64;
const MAX_DEPTH = 32;

export interface HeardField {
  readonly name: string;
  count: number;
  min: number;
  max: number;
  last: number;
  unit: string | null;
  /** Never went down. */
  rising: boolean;
}

export interface HeardTopic {
  readonly topic: string;
  readonly kind: PayloadKind;
  numericStrings: boolean;
  decimalComma: boolean;
  /** Messages, retained ones included. */
  messages: number;
  /** ms between messages that came while listening, at most 64. */
  readonly gapsMs: number[];
  lastMs: number | null;
  readonly fields: Map<string, HeardField>;
}

export class Survey {
  readonly #topics = new Map<string, HeardTopic>();
  readonly #silent = new Set<string>();
  readonly #decoders = new Map<string, Decoder>();
  readonly #session = newSession();
  #overlooked = 0;

  /** Topics with at least one number, in the order of their names. */
  topics(): HeardTopic[] {
    return [...this.#topics.values()]
      .filter(({ fields }) => fields.size > 0)
      .sort((a, b) => (a.topic < b.topic ? -1 : 1));
  }

  /** Topics without a number, and messages of topics beyond the limit. */
  rest(): { silent: number; overlooked: number } {
    const empty = [...this.#topics.values()].filter(({ fields }) => fields.size === 0).length;
    return { silent: this.#silent.size + empty, overlooked: this.#overlooked };
  }

  /** @param retained the broker had kept the message; it says nothing of when it was sent */
  hear(topic: string, payload: Uint8Array, arrivalMs: number, retained: boolean): void {
    if (!isTopic(topic) || topic.startsWith('$')) return;
    const heard = this.#topic(topic, payload);
    if (heard === null) return;
    heard.messages += 1;
    if (!retained) {
      if (heard.lastMs !== null && heard.gapsMs.length < MAX_GAPS)
        heard.gapsMs.push(arrivalMs - heard.lastMs);
      heard.lastMs = arrivalMs;
    }
    this.#decoder(heard).decode(new Message(topic, payload, arrivalMs, MAX_DEPTH), {
      reading: (field, value, _timeMs, unit) => hearField(heard, field, value, unit),
      reject: () => {},
      request: () => {},
    });
  }

  #topic(topic: string, payload: Uint8Array): HeardTopic | null {
    const known = this.#topics.get(topic);
    if (known !== undefined) {
      // Numbers in quotes may come later, or beside real ones.
      const more = known.numericStrings && known.decimalComma ? null : sniff(topic, payload);
      if (more?.kind === known.kind) {
        known.numericStrings ||= more.numericStrings;
        known.decimalComma ||= more.decimalComma;
      }
      return known;
    }
    if (this.#topics.size + this.#silent.size >= MAX_TOPICS) {
      if (!this.#silent.has(topic)) this.#overlooked += 1;
      return null;
    }
    const guess = sniff(topic, payload);
    if (guess === null) {
      this.#silent.add(topic);
      return null;
    }
    this.#silent.delete(topic);
    const heard: HeardTopic = { topic, ...guess, messages: 0, gapsMs: [], lastMs: null, fields: new Map() };
    this.#topics.set(topic, heard);
    return heard;
  }

  #decoder({ kind, numericStrings, decimalComma }: HeardTopic): Decoder {
    const key = `${kind} ${numericStrings} ${decimalComma}`;
    let decoder = this.#decoders.get(key);
    if (decoder === undefined) {
      decoder = createDecoder(kind, { ...TAKE_ALL, numericStrings, decimalComma }, this.#session);
      this.#decoders.set(key, decoder);
    }
    return decoder;
  }
}

function hearField(heard: HeardTopic, name: string, value: number, unit: string | null): void {
  const field = heard.fields.get(name);
  if (field !== undefined) {
    field.count += 1;
    field.rising &&= value >= field.last;
    field.min = Math.min(field.min, value);
    field.max = Math.max(field.max, value);
    field.last = value;
    field.unit ??= unit;
  } else if (heard.fields.size < MAX_FIELDS)
    heard.fields.set(name, { name, count: 1, min: value, max: value, last: value, unit, rising: true });
}
