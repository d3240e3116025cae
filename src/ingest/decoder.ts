/**
 * The one interface of all payload decoders. A decoder turns a message into readings and rejects, through a sink, so
 * that the common case allocates nothing but the samples. A decoder never throws, whatever the payload holds.
 */
import type { StreamSpec } from '../series/spec.ts';
import type { Message } from './message.ts';
import type { RejectReason } from './rejects.ts';
import type { DecoderSession } from './session.ts';

export interface DecodeSink {
  /**
   * @param field names the reading within its topic; '' when the whole payload is the value
   * @param value finite
   * @param timeMs as sent, ms since 1970 UTC; null: the arrival time counts
   * @param unit as sent; null when the format carries none
   */
  reading(field: string, value: number, timeMs: number | null, unit: string | null): void;
  /** @param whole nothing in the message can be read this way; reported only if no other rule reads the message */
  reject(reason: RejectReason, detail: string, whole?: boolean): void;
  /** Whether the message has used up its budget of readings and rejects; a decoder then stops. */
  readonly full?: boolean;
  /** What the `name` of the rule takes from the payload, for the readings that follow; null: nothing. */
  identify?(values: readonly string[] | null): void;
  /** A message that the protocol wants sent back, such as a Sparkplug rebirth command. */
  request(topic: string, payload: Uint8Array): void;
}

export type FieldSettings = Partial<Pick<StreamSpec, 'aggregate' | 'min' | 'max' | 'maxRatePerMs'>>;

export interface FieldSelector {
  /** Key, dotted key or JSON Pointer; metric name in Sparkplug; record name in SenML; field key in line protocol. */
  readonly path: string;
  /** What the reading is called; part of the default stream name. */
  readonly name: string;
  readonly unit: string | null;
  /** Settings of the stream that go before those of the rule. */
  readonly stream?: FieldSettings;
}

export interface DecoderSettings {
  /** null: every number. */
  readonly fields: readonly FieldSelector[] | null;
  /** Key or JSON Pointer of the time stamp; null: arrival time, or the format's own. */
  readonly time: string | null;
  /** Take "21.5" and "21.5 °C" as numbers where JSON has a string. */
  readonly numericStrings: boolean;
  /** `21,5` is 21.5. */
  readonly decimalComma?: boolean;
  /** Unit of the rule: known in texts, whatever it is. */
  readonly unit?: string | null;
  /** Zone of time stamps that carry none; UTC by default. */
  readonly zone?: string;
  /** Key or JSON Pointer of the list of readings in a JSON payload. */
  readonly records?: string;
  /** JSON Pointers of the members that the name of a stream takes from the payload. */
  readonly identity?: readonly string[];
}

export interface Decoder {
  decode(message: Message, sink: DecodeSink): void;
  /** Whether a reading called `field` can come from this decoder; used to take up streams known from an earlier run. */
  selects(field: string): boolean;
}

/** Settings that take everything, for tests and for `gatecast check`. */
export const TAKE_ALL: DecoderSettings = { fields: null, time: null, numericStrings: false };

/** What a payload looks like to `sniff`. */
export interface Glimpse {
  readonly topic: string;
  /** Trimmed; empty where the payload is binary or too large to look at. */
  readonly text: string;
  /** Parsed, where the text opens like JSON and is JSON; undefined otherwise. */
  readonly json: unknown;
}

/**
 * A payload format: all that is particular to it. To add one, write its file in `decoders/` and add it to the list there.
 */
export interface PayloadFormat {
  /** Value of `payload` in the config. */
  readonly kind: string;
  create(settings: DecoderSettings, session: DecoderSession): Decoder;
  /** A message of one reading without a time stamp or a unit, for the contract test and the fuzz test of all formats. */
  readonly example: {
    readonly topic: string;
    readonly payload: string | Uint8Array;
    readonly field: string;
    readonly value: number;
  };
  /** How well a message fits: 0 not at all, 1 could be, 2 a usual case, 3 nothing else. Absent: never suggested. */
  sniff?(glimpse: Glimpse): 0 | 1 | 2 | 3;
  /** The payload is one value: `fields` and `time` have no meaning. */
  readonly single?: boolean;
  /** Default name of a stream, in place of what the wildcards took. */
  nameParts?(topic: string): readonly string[];
  /** What is wrong with the `match` of a rule; null when nothing is. */
  checkMatch?(levels: readonly string[]): string | null;
  /** For a suggested rule: the pattern where it is always the same, and the `fields` that select readings of these names. */
  readonly suggestion?: {
    readonly match?: string;
    fields?(names: readonly string[]): readonly string[];
  };
}
