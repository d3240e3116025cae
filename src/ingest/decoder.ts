/**
 * The one interface of all payload decoders. A decoder turns a message into readings and rejects, through a sink, so
 * that the common case allocates nothing but the samples. A decoder never throws, whatever the payload holds.
 */
import type { Message } from './message.ts';
import type { RejectReason } from './rejects.ts';

export const PAYLOAD_KINDS = [
  'auto',
  'json',
  'number',
  'zigbee2mqtt',
  'homeassistant',
  'senml',
  'influx',
  'sparkplug',
] as const;
export type PayloadKind = (typeof PAYLOAD_KINDS)[number];

export interface DecodeSink {
  /**
   * @param field names the reading within its topic; '' when the whole payload is the value
   * @param value finite
   * @param timeMs as sent, ms since 1970 UTC; null: the arrival time counts
   * @param unit as sent; null when the format carries none
   */
  reading(field: string, value: number, timeMs: number | null, unit: string | null): void;
  /** @param whole nothing in the message can be read this way; of no account where another rule reads it another way */
  reject(reason: RejectReason, detail: string, whole?: boolean): void;
  /** A message that the protocol wants sent back, such as a Sparkplug rebirth command. */
  request(topic: string, payload: Uint8Array): void;
}

export interface FieldSelector {
  /** Key, dotted key or JSON Pointer; metric name in Sparkplug; record name in SenML; field key in line protocol. */
  readonly path: string;
  /** What the reading is called; part of the default stream name. */
  readonly name: string;
  readonly unit: string | null;
}

export interface DecoderSettings {
  /** null: every number. */
  readonly fields: readonly FieldSelector[] | null;
  /** Key or JSON Pointer of the time stamp; null: arrival time, or the format's own. */
  readonly time: string | null;
  /** Take "21.5" and "21.5 °C" as numbers where JSON has a string. */
  readonly numericStrings: boolean;
}

export interface Decoder {
  decode(message: Message, sink: DecodeSink): void;
  /** Whether a reading called `field` can come from this decoder; used to take up streams known from an earlier run. */
  selects(field: string): boolean;
}

/** Settings that take everything, for tests and for `gatecast check`. */
export const TAKE_ALL: DecoderSettings = { fields: null, time: null, numericStrings: false };
