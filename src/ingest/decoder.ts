/**
 * The interface of all payload decoders. A decoder passes readings and rejects to a sink, so that the common case
 * allocates only the samples. A decoder never throws, whatever the payload contains.
 */
import type { StreamSpec } from '../series/spec.ts';
import type { Message } from './message.ts';
import type { RejectReason } from './rejects.ts';
import type { DecoderSession } from './session.ts';

export interface DecodeSink {
  /**
   * @param field name of the reading within its topic; '' if the whole payload is the value
   * @param value finite
   * @param timeMs as sent, ms since 1970 UTC; null: use the arrival time
   * @param unit as sent; null without one
   */
  reading(field: string, value: number, timeMs: number | null, unit: string | null): void;
  /** @param whole true if the whole message is unreadable: reported only if no other rule reads the message */
  reject(reason: RejectReason, detail: string, whole?: boolean): void;
  /** Whether the limit of readings or rejects per message is reached; the decoder then stops. */
  readonly full?: boolean;
  /** Sets the payload values used in the stream name of the following readings; null: none. */
  identify?(values: readonly string[] | null): void;
  /** Asks to publish a message that the protocol requires, such as a Sparkplug rebirth command. */
  request(topic: string, payload: Uint8Array): void;
}

export type FieldSettings = Partial<Pick<StreamSpec, 'aggregate' | 'min' | 'max' | 'maxRatePerMs'>>;

export interface FieldSelector {
  /** Key, dotted key or JSON Pointer; metric name in Sparkplug; record name in SenML; field key in line protocol. */
  readonly path: string;
  /** Name of the reading; part of the default stream name. */
  readonly name: string;
  readonly unit: string | null;
  /** Settings of the stream that override those of the rule. */
  readonly stream?: FieldSettings;
}

export interface DecoderSettings {
  /** null: every number. */
  readonly fields: readonly FieldSelector[] | null;
  /** Key or JSON Pointer of the time stamp; null: arrival time, or the format's own. */
  readonly time: string | null;
  /** Accept JSON strings such as "21.5" and "21.5 °C" as numbers. */
  readonly numericStrings: boolean;
  /** `21,5` is 21.5. */
  readonly decimalComma?: boolean;
  /** Unit of the rule, accepted in texts in addition to the known units. */
  readonly unit?: string | null;
  /** Zone of time stamps without an offset; default UTC. */
  readonly zone?: string;
  /** Key or JSON Pointer of the list of readings in a JSON payload. */
  readonly records?: string;
  /** JSON Pointers of the payload members used in stream names. */
  readonly identity?: readonly string[];
  /** Reads batches of several devices although the names do not separate them; for surveys. */
  readonly mixed?: boolean;
}

export interface Decoder {
  decode(message: Message, sink: DecodeSink): void;
  /** Whether this decoder can produce a reading named `field`; used to restore streams after a restart. */
  selects(field: string): boolean;
}

/** Settings that accept every number, for tests and `gatecast check`. */
export const TAKE_ALL: DecoderSettings = { fields: null, time: null, numericStrings: false };

/** View of a payload for `sniff`. */
export interface PayloadPreview {
  readonly topic: string;
  /** Trimmed; empty if the payload is binary or too large. */
  readonly text: string;
  /** The parsed object or array; undefined if the text is not one. */
  readonly json: unknown;
}

/**
 * A payload format. To add one, write its file in `decoders/` and add it to the list in `decoders/index.ts`.
 */
export interface PayloadFormat {
  /** Value of `payload` in the config. */
  readonly kind: string;
  create(settings: DecoderSettings, session: DecoderSession): Decoder;
  /** A message with one reading, without time and unit, for the contract test and the fuzz test of all formats. */
  readonly example: {
    readonly topic: string;
    readonly payload: string | Uint8Array;
    readonly field: string;
    readonly value: number;
  };
  /** How well a message fits: 0 no, 1 possible, 2 likely, 3 certain. Absent: never suggested. */
  sniff?(glimpse: PayloadPreview): 0 | 1 | 2 | 3;
  /** The payload is one value: `fields` and `time` do not apply. */
  readonly single?: boolean;
  /** Levels of the default stream name, instead of the text matched by wildcards. */
  nameParts?(topic: string): readonly string[];
  /** Problem with the `match` of a rule; null if none. */
  checkMatch?(levels: readonly string[]): string | null;
  /** For suggested rules: the fixed pattern, if any, and the `fields` entries that select readings with these names. */
  readonly suggestion?: {
    readonly match?: string;
    fields?(names: readonly string[]): readonly string[];
  };
}
