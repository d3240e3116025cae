/**
 * Seeded hostile payloads: good ones of every format, mutated. The same seed gives the same cases, so that a failure
 * can be run again.
 */
import { expect } from 'vitest';
import { createDecoder, formatOf, PAYLOAD_KINDS, type PayloadKind } from '../../src/ingest/decoders/index.ts';
import { Message } from '../../src/ingest/message.ts';
import { REJECTS } from '../../src/ingest/rejects.ts';
import { ARRIVAL } from './decode.ts';
import { settings } from './rules.ts';
import { sparkplug } from './sparkplug-messages.ts';

/** mulberry32: uniform in [0, 1). */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const TEXTS = [
  '21.5',
  'ON',
  '{"temperature":21.5,"humidity":40,"last_seen":"2024-05-17T13:30:00+02:00","nested":{"a":[1,2,{"b":true}]}}',
  '{"t":"21.5 °C","ts":1715940000,"s":"off","u":null}',
  '[{"bn":"urn:dev:1:","bt":1.7e9,"bu":"Cel","n":"t","v":20},{"n":"h","u":"%RH","v":40,"t":-5},{"n":"on","vb":true}]',
  '{"model":"A","id":5,"batch":[{"time":1715940000,"t":1},{"time":1715940060,"t":nan}],\'q\':\'21,5\',}',
  '{"t":[1715940000,1715940060],"v":[1,"2"],"meters":[{"meter":"A","E":1},{"meter":"B","E":2}]}',
  'weather,location=a\\ b,season=summer temp=82,hum=71i,note="x, y=\\"z\\"",ok=t 1465839830100400200\ncpu value=1',
];
const SEEDS: Buffer[] = [
  ...TEXTS.map((text) => Buffer.from(text)),
  sparkplug(
    [
      { name: 'bdSeq', type: 8, long: 1 },
      { name: 'a/b', alias: 1, type: 9, float: 1.5, unit: 'A', quality: 192 },
    ],
    0,
    1.7e12,
  ),
  sparkplug(
    [
      { alias: 1, float: 2 },
      { alias: 0, int: 4294967295n, type: 1 },
      { name: 'n', isNull: true, historical: true },
    ],
    1,
  ),
  // objects that cannot be converted to a number or a text
  Buffer.from('{"time":{"seconds":{"toString":1,"valueOf":1}},"v":3}'),
  Buffer.from('[{"n":"t","v":20,"t":{"toString":1,"valueOf":1}}]'),
];
const TOKENS = [
  '1e400',
  '-1e-400',
  'NaN',
  'Infinity',
  'null',
  '""',
  '{}',
  '[]',
  '[',
  '{',
  '}',
  ']',
  '"',
  '\\',
  '\\u0000',
  '\0',
  '+',
  '#',
  '__proto__',
  '"__proto__":{"polluted":1}',
  '"constructor":{"prototype":{"polluted":1}}',
  'prototype',
  '9'.repeat(400),
  '[['.repeat(200),
  '{"a":'.repeat(100),
  '/',
  '//',
  '$SYS',
  ' ',
  '\n',
  '\r\n',
  '=',
  ',',
  '\ufeff',
  '\ud800',
  '\u202e',
  '1969-12-31T23:59:59Z',
  '2038-01-19T03:14:08Z',
  '275760-09-13',
  '99999999999999999999',
  '-0',
  '0x10',
  'true',
  ',"bn":',
  '"v":',
  '"t":',
  '"bver":99',
  'x_',
  'nan,',
  "'",
  '[a=b]',
  '{"id":1,"time":1715940000},',
  '\u001f',
].map((token) => Buffer.from(token));
interface Home {
  readonly seeds: readonly number[];
  readonly topics: readonly string[];
}

/** Which seeds and topics a decoder is made for; other decoders' come to it too, less often. Of the rest: its example. */
const AT_HOME: Partial<Record<PayloadKind, Home>> = {
  auto: { seeds: [0, 1, 2, 3, 10], topics: ['s/a'] },
  json: { seeds: [2, 3, 5, 6, 10], topics: ['s/a'] },
  number: { seeds: [0, 1], topics: ['s/a'] },
  zigbee2mqtt: { seeds: [2], topics: ['zigbee2mqtt/x', 'zigbee2mqtt/bridge/state', 'zigbee2mqtt/x/set'] },
  homeassistant: { seeds: [0, 1], topics: ['homeassistant/sensor/x/state'] },
  senml: { seeds: [4, 11], topics: ['s/a'] },
  influx: { seeds: [7], topics: ['s/a'] },
  sparkplug: {
    seeds: [8, 9],
    topics: ['NBIRTH/n', 'NDATA/n', 'DBIRTH/n/d', 'DDATA/n/d', 'NDEATH/n', 'DDEATH/n/d', ''].map(
      (end) => `spBv1.0/g/${end}`,
    ),
  },
};
for (const kind of PAYLOAD_KINDS) {
  if (AT_HOME[kind] !== undefined) continue;
  const { topic, payload } = formatOf(kind).example;
  AT_HOME[kind] = { seeds: [SEEDS.push(Buffer.from(payload)) - 1], topics: [topic] };
}
const TOPICS = Object.values(AT_HOME).flatMap(({ topics }) => topics);

function mutate(seed: Buffer, random: () => number): Buffer {
  const pick = (below: number): number => Math.floor(random() * below);
  let bytes: Buffer = Buffer.from(seed);
  for (let left = pick(4); left >= 0; left -= 1) {
    const at = pick(bytes.length + 1);
    switch (pick(7)) {
      case 0:
        bytes = bytes.subarray(0, at);
        break;
      case 1:
        if (at < bytes.length) bytes[at] = pick(256);
        break;
      case 2:
        if (at < bytes.length) bytes[at] = (bytes[at] as number) ^ (1 << pick(8));
        break;
      case 3:
        bytes = Buffer.concat([
          bytes.subarray(0, at),
          TOKENS[pick(TOKENS.length)] as Buffer,
          bytes.subarray(at),
        ]);
        break;
      case 4: {
        const other = SEEDS[pick(SEEDS.length)] as Buffer;
        bytes = Buffer.concat([bytes.subarray(0, at), other.subarray(pick(other.length))]);
        break;
      }
      case 5:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(pick(at + 1), at), bytes.subarray(at)]);
        break;
      default:
        bytes = Buffer.concat([
          bytes.subarray(0, at),
          bytes.subarray(Math.min(bytes.length, at + 1 + pick(8))),
        ]);
    }
  }
  return bytes;
}

/** Kinds whose payload is JSON: identity and records are settings of theirs alone. */
const JSON_KINDS: ReadonlySet<PayloadKind> = new Set(['auto', 'json', 'zigbee2mqtt']);
const KINDS: readonly {
  kind: PayloadKind;
  fields: readonly string[] | null;
  time: string | null;
  numericStrings: boolean;
  decimalComma?: boolean;
  zone?: string;
  identity?: readonly string[];
  records?: string;
}[] = PAYLOAD_KINDS.flatMap((kind) => [
  { kind, fields: null, time: null, numericStrings: true },
  {
    kind,
    fields: ['temperature', 't', '/nested/a/2/b', 'a/b', 'value', 'weather/temp'],
    time: 'ts',
    numericStrings: false,
  },
  ...(JSON_KINDS.has(kind)
    ? [
        {
          kind,
          fields: [
            'temperature',
            't',
            'meters[meter].E',
            'meters[meter=B].E',
            '*.t',
            'batch.0.t',
            'v',
            'nested.a.0',
          ],
          time: null,
          numericStrings: true,
          decimalComma: true,
          zone: '+02:00',
          identity: ['/model', '/id'],
        },
        { kind, fields: null, time: null, numericStrings: true, records: '/batch' },
      ]
    : []),
]);

export interface FuzzReport {
  readonly cases: number;
  /** Number of readings by format. */
  readonly readings: Readonly<Record<PayloadKind, number>>;
  /** How often each reason came up. */
  readonly rejects: Readonly<Record<string, number>>;
}

/** @param each cases of each decoder. Every case goes through one decoder; fails the test on a throw, or on a reading or reject that is not as promised. */
export function fuzzDecoders(seed: number, each: number): FuzzReport {
  const cases = each * KINDS.length;
  const random = randomOf(seed);
  const decoders = KINDS.map(({ kind, fields, ...more }) => createDecoder(kind, settings(fields, more)));
  const rejects: Record<string, number> = {};
  const readings = Object.fromEntries(PAYLOAD_KINDS.map((kind) => [kind, 0])) as Record<PayloadKind, number>;
  const prototypeKeys = Object.getOwnPropertyNames(Object.prototype).join();
  const wrong = (what: string, at: number, payload: Buffer): never =>
    expect.fail(
      `case ${at} of seed ${seed}: ${what} from ${KINDS[at % KINDS.length]?.kind} on ${payload.toString('hex')}`,
    );
  for (let at = 0; at < cases; at += 1) {
    const { kind } = KINDS[at % KINDS.length]!;
    const home = AT_HOME[kind] ?? { seeds: [0], topics: ['s/a'] };
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
    const atHome = random() < 0.8;
    const payload = mutate(atHome ? (SEEDS[pick(home.seeds)] as Buffer) : pick(SEEDS), random);
    const topic = atHome ? pick(home.topics) : pick(TOPICS);
    const message = new Message(topic, payload, ARRIVAL + at, 32);
    const sink = {
      reading(field: string, value: number, timeMs: number | null, unit: string | null): void {
        readings[kind] += 1;
        if (!Number.isFinite(value)) wrong(`value ${value}`, at, payload);
        if (timeMs !== null && !(Math.abs(timeMs) <= 8.64e15)) wrong(`time ${timeMs}`, at, payload);
        if (typeof field !== 'string' || (unit !== null && typeof unit !== 'string'))
          wrong('field or unit', at, payload);
      },
      reject(reason: string, detail: string): void {
        if (!Object.hasOwn(REJECTS, reason)) wrong(`reason ${reason}`, at, payload);
        if (detail.length > 400) wrong(`a detail of ${detail.length} characters`, at, payload);
        rejects[reason] = (rejects[reason] ?? 0) + 1;
      },
      request(target: string): void {
        if (/[+#\0]/.test(target)) wrong(`request to ${target}`, at, payload);
      },
    };
    try {
      decoders[at % decoders.length]?.decode(message, sink);
    } catch (error) {
      wrong(`threw ${String(error)}`, at, payload);
    }
  }
  expect(Object.getOwnPropertyNames(Object.prototype).join()).toBe(prototypeKeys);
  expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  return { cases, readings, rejects };
}
