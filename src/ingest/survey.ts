/**
 * Survey of a broker's topics: format, rate and range of values. Bounded: further topics and fields are only counted. Used
 * by `gatecast check --listen` and `gatecast init`.
 */
import { couldBeSentinel } from '../series/sentinels.ts';
import { epochToMs } from '../series/time-stamp.ts';
import { Announcements } from './announcements.ts';
import { type Decoder, TAKE_ALL } from './decoder.ts';
import { createDecoder, type PayloadKind } from './decoders/index.ts';
import { plainPayload } from './encoding.ts';
import { isTree } from './json-tree.ts';
import { Message } from './message.ts';
import { OtherAgents } from './other-agents.ts';
import { isTopic } from './pattern.ts';
import { PayloadShape } from './payload-shape.ts';
import { newSession } from './session.ts';
import { sniff } from './sniff.ts';
import { SPARKPLUG_PREFIX } from './sparkplug-payload.ts';
import { textReadings, unreadForm } from './text-readings.ts';

const MAX_TOPICS = 5000;
const MAX_FIELDS = 64;
const MAX_UNREAD = 20;
const MAX_GAPS = 64;
const MAX_DEPTH = 32;
/** Maximum size of a payload that is decompressed. */
const MAX_PLAIN_BYTES = 256 * 1024;
/** Maximum number of devices per topic. */
const MAX_SENDERS = 64;
/** Characters of a message's readings that are compared with the previous message. */
const MAX_COMPARED = 512;
/** What a sensor sends instead of a number. */
const MISSING = /^\s*(?:nan|null|none|nil|undefined|unavailable|unknown|[+-]?inf(?:inity)?|n\/?a|-*)\s*$/i;
const DAY_MS = 86_400_000;
/** Over a shorter time, another counter may rise by the seconds that passed, s. */
const MIN_TICKED_S = 20;
/** A smaller number is no time of this century, s. */
const OLDEST_S = 946_684_800;
/** Members that identify the devices of one topic, in lower case without separators. Add a word here to extend it. */
const DEVICE_MEMBERS: ReadonlySet<string> = new Set(
  `model brand id uid mac addr address serial serialno serialnumber sn name device deviceid dev sensor sensorid node nodeid topic
slave channel circuit eui deveui probe meter imei imsi sender ga groupaddress destination dest room zone location place geraet gerät raum
ort datenpunkt tagname tagpath path`.split(/\s+/),
);
/** Last words of such members: `sensor_id`, `NodeID`, `Device Name`. */
const DEVICE_ENDINGS: ReadonlySet<string> = new Set('id name eui mac address serial'.split(' '));
/** Members that tell the quantities of one topic apart, if its readings have no name of their own: `{"type":"temp","value":21}`. */
const QUANTITY_MEMBERS: ReadonlySet<string> = new Set(
  `type kind register measurement measurand parameter param quantity property metric variable tag key point datapoint signal
field description label obis code ga`.split(/\s+/),
);
/** A member that says nothing about the quantity. */
export const GENERIC_VALUE = /^(?:v|val|value|payload|data|reading|raw)$/i;

/** Members whose texts are the same on other topics: each floor has a kitchen. */
const LOCAL_MEMBERS: ReadonlySet<string> = new Set(
  `ga groupaddress destination dest room zone location place raum ort`.split(/\s+/),
);
const plainKey = (key: string): string => key.toLowerCase().replaceAll(/[^\p{L}\d]/gu, '');

/** Whether a member identifies only within its topic. */
export const isLocalMember = (key: string): boolean =>
  LOCAL_MEMBERS.has(plainKey(key)) || /type$/i.test(key) || (isQuantityMember(key) && !isDeviceMember(key));

/** Whether a member names what a reading without a name of its own measures. */
export const isQuantityMember = (key: string): boolean => QUANTITY_MEMBERS.has(plainKey(key));

/** Members that differ in each message. */
const MESSAGE_MEMBER =
  /^(?:dedup\w*|correlation|message|msg|event|session|request|packet|transaction|frame|trace)_?(?:id|uid|uuid)$/i;

/** Objects whose members are all part of an identity. */
const TAGS = /^(?:tags|labels|dimensions)\.[^.]+$/;
/** Members that identify a device wherever they are. */
const UNIQUE_MEMBER =
  /^(?:mac|macaddress|deveui|imei|serial|serialno|serialnumber|device(?:id|name)|sensorid)$/;
const NONE: ReadonlySet<string> = new Set();
/** Objects about the device that sent a message. */
const ABOUT_DEVICE = /^(?:\w*dev(?:ice)?\w*|\w*sensor\w*|node|source|meta(?:data)?|header|\w*[pP]roperties)$/;

/**
 * @param path joined by dots
 * @param beside the members of the payload. Beside a `sender`, which may be a gateway, `from` is the device (Meshtastic); alone, it may
 * be the start of a range, or a former state. A `unit` beside a `register` is the number of a device in Modbus.
 */
export function isDeviceMember(path: string, beside: Pick<ReadonlySet<string>, 'has'> = NONE): boolean {
  if (TAGS.test(path) || (path === 'from' && beside.has('sender'))) return true;
  if (path === 'unit') return beside.has('register');
  const keys = path.split('.');
  const key = keys.pop() ?? '';
  const words = key.replaceAll(/([a-z\d])([A-Z])/g, '$1 $2').split(/[^\p{L}\d]+/u);
  const last = words.length > 1 ? (words.at(-1) ?? '').toLowerCase() : '';
  return (
    (DEVICE_MEMBERS.has(plainKey(key)) || DEVICE_ENDINGS.has(last)) &&
    !MESSAGE_MEMBER.test(key) &&
    keys.length < 3 &&
    (keys.every((one) => ABOUT_DEVICE.test(one)) || UNIQUE_MEMBER.test(plainKey(key)))
  );
}

export interface HeardField {
  readonly name: string;
  count: number;
  /** Range without marks of a missing value. */
  min: number;
  max: number;
  unit: string | null;
  /** Whether the value never fell. */
  rising: boolean;
  /** Whether the value fell by less than half, which a counter reset does not do. */
  backwards: boolean;
  /** Whether every value was the time of arrival, within a day: `last_update`. */
  isClock: boolean;
  /** Seconds, or ms, for which the value rose as the clock did; negative once it did not: an uptime. */
  tickedS: number;
  /** First and last value by device, with the time of the first, ms. */
  readonly lasts: Map<string, { readonly first: number; readonly firstMs: number; value: number }>;
  /** Counts of values such as -127 and -999. */
  readonly marks: Map<number, number>;
}

export interface HeardTopic {
  readonly topic: string;
  readonly kind: PayloadKind;
  numericStrings: boolean;
  decimalComma: boolean;
  /** Messages, retained ones included. */
  messages: number;
  /** Messages received live. */
  live: number;
  /** ms between live messages, by device, in all at most 64; negative if both have the same readings. */
  readonly gapsMs: Map<string, number[]>;
  readonly fields: Map<string, HeardField>;
  readonly shape: PayloadShape;
}

interface Sender {
  lastMs: number;
  readings: string;
}

export class Survey {
  /** Announced units and device classes. */
  readonly announcements = new Announcements();
  /** Topics without a number, whose payload is not a word for a missing one. */
  readonly texts = new Set<string>();
  /** Topics with payloads in an encoding that is not read, with its name. */
  readonly unread = new Map<string, string>();
  private readonly heard = new Map<string, HeardTopic>();
  private readonly silent = new Set<string>();
  private readonly noticed = new Set<string>();
  private readonly senders = new Map<string, Map<string, Sender>>();
  private readonly decoders = new Map<string, Decoder>();
  private readonly session = newSession();
  private readonly otherAgents = new OtherAgents();

  /** Topics with at least one number, sorted by name. */
  topics(): HeardTopic[] {
    return [...this.heard.values()]
      .filter(({ fields }) => fields.size > 0)
      .sort((a, b) => (a.topic < b.topic ? -1 : 1));
  }

  /** Number of readable topics so far. */
  get topicCount(): number {
    return this.heard.size;
  }

  /** Records a topic without surveying it: its existence may help to recognise device families. */
  notice(topic: string): void {
    if (this.noticed.size < MAX_TOPICS) this.noticed.add(topic);
  }

  /** Names of all topics, including those without a number, for recognising device families. */
  names(): ReadonlySet<string> {
    return new Set([...this.heard.keys(), ...this.silent, ...this.noticed]);
  }

  /** @param retained a retained message, whose arrival time means nothing */
  hear(topic: string, sent: Uint8Array, arrivalMs: number, retained: boolean): void {
    if (!isTopic(topic) || topic.startsWith('$') || this.announcements.hear(topic, sent)) return;
    // attributes of Homie: `homie/dev/$stats/freeheap`
    if (topic.includes('/$')) return;
    const plain = topic.startsWith(SPARKPLUG_PREFIX) ? sent : plainPayload(sent, MAX_PLAIN_BYTES);
    const payload = 'reason' in plain ? sent : plain;
    if ('reason' in plain && this.unread.size < MAX_UNREAD) this.unread.set(topic, plain.detail);
    const message = new Message(topic, payload, arrivalMs, MAX_DEPTH);
    if (OtherAgents.mayBe(topic) && this.otherAgents.sent(message)) return;
    const heard = this.topic(topic, payload);
    if (heard === null) {
      const text = message.text().slice(0, MAX_COMPARED);
      const form = unreadForm(text);
      if (form !== null && this.unread.size < MAX_UNREAD) this.unread.set(topic, form);
      if (this.silent.has(topic) && !this.unread.has(topic) && !MISSING.test(text)) this.texts.add(topic);
      return;
    }
    heard.messages += 1;
    const isJson = heard.kind === 'json' || heard.kind === 'zigbee2mqtt';
    const isText = heard.kind === 'text';
    const json = isJson
      ? message.peek()
      : isText
        ? (textReadings(message.text(), heard.decimalComma) ?? undefined)
        : undefined;
    const documents = json !== undefined ? [json] : isJson ? message.documents : [];
    for (const document of documents) heard.shape.add(document, arrivalMs, !retained);
    const word = message.text().trim().slice(0, 16);
    if (documents.length === 0 && /^[a-z]+$/i.test(word) && !MISSING.test(word)) heard.shape.switches.add('');
    const sender = isTree(json) ? senderOf(json) : '';
    let readings = '';
    this.decoder(heard).decode(message, {
      reading: (field, value, _timeMs, unit) => {
        if (readings.length < MAX_COMPARED) readings += `${field} ${value} `;
        hearField(heard, field, value, unit, sender, arrivalMs);
      },
      reject: () => {},
      request: () => {},
    });
    if (retained) return;
    heard.live += 1;
    this.time(heard, arrivalMs, sender, readings);
  }

  /** Measures the gap since the last message of the same device. */
  private time(heard: HeardTopic, arrivalMs: number, sender: string, readings: string): void {
    let senders = this.senders.get(heard.topic);
    if (senders === undefined) {
      senders = new Map();
      this.senders.set(heard.topic, senders);
    }
    const last = senders.get(sender);
    if (last === undefined) {
      if (senders.size < MAX_SENDERS) senders.set(sender, { lastMs: arrivalMs, readings });
      return;
    }
    const gapMs = arrivalMs - last.lastMs;
    const gaps = heard.gapsMs.get(sender) ?? [];
    heard.gapsMs.set(sender, gaps);
    if (gapMs > 0 && gaps.length < MAX_GAPS / senders.size)
      gaps.push(readings === last.readings ? -gapMs : gapMs);
    last.lastMs = arrivalMs;
    last.readings = readings;
  }

  private topic(topic: string, payload: Uint8Array): HeardTopic | null {
    const known = this.heard.get(topic);
    if (known !== undefined) {
      // numbers in quotes may appear later, or together with plain ones
      const more = known.numericStrings && known.decimalComma ? null : sniff(topic, payload);
      if (more?.kind === known.kind) {
        known.numericStrings ||= more.numericStrings;
        known.decimalComma ||= more.decimalComma;
      }
      return known;
    }
    if (this.heard.size + this.silent.size >= MAX_TOPICS) return null;
    const guess = sniff(topic, payload);
    if (guess === null) {
      this.silent.add(topic);
      return null;
    }
    this.silent.delete(topic);
    this.texts.delete(topic);
    const heard: HeardTopic = {
      topic,
      ...guess,
      messages: 0,
      live: 0,
      gapsMs: new Map(),
      fields: new Map(),
      shape: new PayloadShape(),
    };
    this.heard.set(topic, heard);
    return heard;
  }

  private decoder({ kind, numericStrings, decimalComma }: HeardTopic): Decoder {
    const key = `${kind} ${numericStrings} ${decimalComma}`;
    let decoder = this.decoders.get(key);
    if (decoder === undefined) {
      decoder = createDecoder(kind, { ...TAKE_ALL, numericStrings, decimalComma, mixed: true }, this.session);
      this.decoders.set(key, decoder);
    }
    return decoder;
  }
}

function senderOf(json: Readonly<Record<string, unknown>>, above = ''): string {
  const parts: string[] = [];
  const beside = { has: (key: string) => Object.hasOwn(json, key) };
  for (const [key, value] of Object.entries(json)) {
    if (above === '' && isTree(value)) parts.push(senderOf(value, `${key}.`));
    else if (
      (typeof value === 'string' || Number.isSafeInteger(value)) &&
      isDeviceMember(`${above}${key}`, beside)
    )
      parts.push(String(value));
  }
  return parts.filter(Boolean).join('\u001f').slice(0, 256);
}

function hearField(
  heard: HeardTopic,
  name: string,
  value: number,
  unit: string | null,
  sender: string,
  arrivalMs: number,
): void {
  let field = heard.fields.get(name);
  if (field === undefined) {
    if (heard.fields.size >= MAX_FIELDS) return;
    field = {
      name,
      count: 0,
      min: Number.POSITIVE_INFINITY,
      max: Number.NEGATIVE_INFINITY,
      unit,
      rising: true,
      backwards: false,
      isClock: true,
      tickedS: 0,
      lasts: new Map(),
      marks: new Map(),
    };
    heard.fields.set(name, field);
  }
  field.count += 1;
  field.unit ??= unit;
  field.isClock &&= value > OLDEST_S && Math.abs((epochToMs(value) ?? 0) - arrivalMs) < DAY_MS;
  if (couldBeSentinel(value)) {
    field.marks.set(value, (field.marks.get(value) ?? 0) + 1);
    return;
  }
  const last = field.lasts.get(sender);
  if (last !== undefined && value < last.value) {
    field.rising = false;
    if (value > last.value / 2) field.backwards = true;
  }
  if (last !== undefined) tick(field, value - last.first, (arrivalMs - last.firstMs) / 1000);
  field.min = Math.min(field.min, value);
  field.max = Math.max(field.max, value);
  if (last !== undefined) last.value = value;
  else if (field.lasts.size < MAX_SENDERS)
    field.lasts.set(sender, { first: value, firstMs: arrivalMs, value });
}

/** Notes whether a value rose by the seconds, or the milliseconds, that passed. */
function tick(field: HeardField, rise: number, passedS: number): void {
  const near = [rise, rise / 1000].some((s) => Math.abs(s - passedS) <= 1.5 + passedS / 100);
  field.tickedS = near && field.tickedS >= 0 ? Math.max(field.tickedS, passedS) : -1;
}

/** Whether a field counts the time since a start. */
export const isUptime = ({ tickedS, count }: HeardField): boolean => count >= 3 && tickedS >= MIN_TICKED_S;
