/**
 * Two readers of Sparkplug B payloads that share no code with the product: one of a few lines that knows the field numbers of the
 * specification, and the payload library of Eclipse Tahu. The library is EPL-2.0, so it is a tool of the tests (`.ci/run`
 * installs it into .cache/tahu) and no dependency.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

export interface DecodedMetric {
  readonly name?: string | null;
  readonly alias?: number | null;
  readonly timestamp?: number | null;
  readonly type?: string | null;
  readonly isNull?: boolean | null;
  readonly isHistorical?: boolean | null;
  readonly value?: unknown;
  readonly properties?:
    | Readonly<Record<string, { readonly type: string; readonly value: unknown }>>
    | undefined;
}

export interface DecodedPayload {
  readonly timestamp?: number | null;
  readonly seq?: number | null;
  readonly metrics: readonly DecodedMetric[];
}

export type Reader = (bytes: Uint8Array) => DecodedPayload;

const TAHU = resolve('.cache/tahu/node_modules/sparkplug-payload');
export const hasTahu = existsSync(TAHU);
if (!hasTahu)
  console.warn(
    'SKIPPED: the tests with the decoder of Eclipse Tahu (npm install --prefix .cache/tahu --ignore-scripts sparkplug-payload@1.0.3)',
  );

interface Tahu {
  decodePayload(bytes: Uint8Array): unknown;
}

export function tahuReader(): Reader {
  const { decodePayload } = createRequire(import.meta.url)(`${TAHU}/lib/sparkplugbpayload.js`) as Tahu;
  return (bytes) => numbers(decodePayload(bytes)) as DecodedPayload;
}

/** 64-bit integers as numbers. */
function numbers(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  if ('toNumber' in value) return (value as { toNumber(): number }).toNumber();
  if (Array.isArray(value)) return value.map(numbers);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, numbers(inner)]));
}

type Fields = ReadonlyMap<number, readonly (number | Buffer)[]>;

/** Fields of a message by number: varints as numbers, all else as bytes. */
function fieldsOf(bytes: Buffer): Fields {
  const fields = new Map<number, (number | Buffer)[]>();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  const take = (length: number): Buffer => {
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = varint();
    const wire = tag % 8;
    const value = wire === 0 ? varint() : take(wire === 1 ? 8 : wire === 5 ? 4 : varint());
    const number = Math.floor(tag / 8);
    fields.set(number, [...(fields.get(number) ?? []), value]);
  }
  return fields;
}

const TYPES: Readonly<Record<number, string>> = {
  3: 'Int32',
  4: 'Int64',
  10: 'Double',
  11: 'Boolean',
  12: 'String',
  13: 'DateTime',
};
const one = (fields: Fields, number: number): number | null => {
  const value = fields.get(number)?.[0];
  return typeof value === 'number' ? value : null;
};
const text = (fields: Fields, number: number): string | null => fields.get(number)?.[0]?.toString() ?? null;
const messages = (fields: Fields, number: number): Fields[] =>
  (fields.get(number) ?? []).map((value) => fieldsOf(value as Buffer));

/** @param first field number of `int_value`; the others follow it */
function contentOf(fields: Fields, first: number): unknown {
  const double = fields.get(first + 3)?.[0];
  if (double !== undefined) return (double as Buffer).readDoubleLE();
  const flag = one(fields, first + 4);
  if (flag !== null) return flag === 1;
  return text(fields, first + 5) ?? one(fields, first) ?? one(fields, first + 1);
}

export const ownReader: Reader = (bytes) => {
  const payload = fieldsOf(Buffer.from(bytes));
  return {
    timestamp: one(payload, 1),
    seq: one(payload, 3),
    metrics: messages(payload, 2).map((metric) => {
      const type = one(metric, 4);
      const [set] = messages(metric, 9);
      const keys = (set?.get(1) ?? []).map(String);
      const values = set === undefined ? [] : messages(set, 2);
      return {
        name: text(metric, 1),
        alias: one(metric, 2),
        timestamp: one(metric, 3),
        type: type === null ? null : (TYPES[type] ?? `type ${type}`),
        isHistorical: one(metric, 5) === 1,
        isNull: one(metric, 7) === 1,
        value: contentOf(metric, 10),
        properties:
          set === undefined
            ? undefined
            : Object.fromEntries(
                keys.map((key, at) => {
                  const property = values[at] ?? new Map();
                  return [key, { type: TYPES[one(property, 1) ?? 0] ?? '', value: contentOf(property, 3) }];
                }),
              ),
      };
    }),
  };
};
