/**
 * The Sparkplug B protobuf payload. Field numbers and types follow the Eclipse Sparkplug 3.0 specification, chapter 6.4.
 */
import protobuf from 'protobufjs/light.js';
import { plainPayload } from './encoding.ts';

/** 64-bit integers of protobufjs. */
type Long = number | { readonly low: number; readonly high: number };

interface RawProperties {
  readonly keys?: readonly string[];
  readonly values?: readonly {
    readonly intValue?: number;
    readonly longValue?: Long;
    readonly stringValue?: string;
  }[];
}

interface RawMetric {
  readonly name?: string;
  readonly alias?: Long;
  readonly timestamp?: Long;
  readonly datatype?: number;
  readonly isHistorical?: boolean;
  readonly isNull?: boolean;
  readonly properties?: RawProperties;
  readonly intValue?: number;
  readonly longValue?: Long;
  readonly floatValue?: number;
  readonly doubleValue?: number;
  readonly booleanValue?: boolean;
}

/** A metric as sent; absent fields are undefined. */
export interface SparkplugMetric {
  readonly name: string | undefined;
  readonly alias: number | undefined;
  readonly timeMs: number | undefined;
  readonly datatype: number | undefined;
  readonly historical: boolean;
  readonly isNull: boolean;
  /** OPC quality code: 192 is good. */
  readonly quality: number | undefined;
  readonly unit: string | undefined;
  /** The value; `datatype` is from the birth, used if the metric has none. undefined: not a number. */
  value(datatype: number | undefined): number | undefined;
}

export interface SparkplugPayload {
  readonly timeMs: number | undefined;
  readonly seq: number | undefined;
  readonly metrics: readonly SparkplugMetric[];
}

const field = (id: number, type: string) => ({ id, type });
const list = (id: number, type: string) => ({ id, type, rule: 'repeated' });

/**
 * The fields that gatecast reads or writes. protobufjs skips every other field by its length: tables, files and templates contain
 * no reading, and templates and property sets may nest deeper than a decoder could follow. proto2 distinguishes a sent zero from
 * an absent field.
 */
const root = protobuf.Root.fromJSON({
  nested: {
    Payload: {
      edition: 'proto2',
      fields: {
        timestamp: field(1, 'uint64'),
        metrics: list(2, 'Metric'),
        seq: field(3, 'uint64'),
        uuid: field(4, 'string'),
        body: field(5, 'bytes'),
      },
    },
    Metric: {
      edition: 'proto2',
      fields: {
        name: field(1, 'string'),
        alias: field(2, 'uint64'),
        timestamp: field(3, 'uint64'),
        datatype: field(4, 'uint32'),
        isHistorical: field(5, 'bool'),
        isNull: field(7, 'bool'),
        properties: field(9, 'PropertySet'),
        intValue: field(10, 'uint32'),
        longValue: field(11, 'uint64'),
        floatValue: field(12, 'float'),
        doubleValue: field(13, 'double'),
        booleanValue: field(14, 'bool'),
        stringValue: field(15, 'string'),
      },
    },
    PropertySet: { edition: 'proto2', fields: { keys: list(1, 'string'), values: list(2, 'PropertyValue') } },
    PropertyValue: {
      edition: 'proto2',
      fields: {
        type: field(1, 'uint32'),
        intValue: field(3, 'uint32'),
        longValue: field(4, 'uint64'),
        stringValue: field(8, 'string'),
      },
    },
  },
});
export const payloadType = root.lookupType('Payload');

const INT8 = 1;
const INT16 = 2;
const INT32 = 3;
const INT64 = 4;
const BOOLEAN = 11;
/** From here on: String, DateTime, Text, UUID, DataSet, Bytes, File, Template, and arrays. */
const FIRST_NOT_NUMERIC = 12;

interface RawPayload {
  readonly timestamp?: Long;
  readonly seq?: Long;
  readonly metrics?: readonly RawMetric[];
  readonly uuid?: string;
  readonly body?: Uint8Array;
}

/** `uuid` of a payload whose body is a compressed payload, as Eclipse Tahu sends it. */
const COMPRESSED = 'SPBV1.0_COMPRESSED';
/** Maximum size of a decompressed payload. */
const MAX_PLAIN_BYTES = 1024 * 1024;

/** null if the bytes are not a Sparkplug payload. */
export function decodeSparkplug(bytes: Uint8Array): SparkplugPayload | null {
  let outer: RawPayload;
  let raw: RawPayload;
  try {
    outer = payloadType.decode(bytes) as RawPayload;
    raw = outer;
    if (own(outer, 'uuid') === COMPRESSED) {
      const plain = plainPayload(own(outer, 'body') ?? new Uint8Array(), MAX_PLAIN_BYTES);
      if ('reason' in plain || hasTooManyMetrics(plain)) return null;
      raw = payloadType.decode(plain) as RawPayload;
    }
  } catch {
    return null;
  }
  return {
    timeMs: unsigned(own(raw, 'timestamp') ?? own(outer, 'timestamp')),
    seq: unsigned(own(raw, 'seq') ?? own(outer, 'seq')),
    metrics: (own(raw, 'metrics') ?? []).map(metricOf),
  };
}

/** The command that makes an edge node repeat its births (chapter 6.4.2, Node Control/Rebirth). */
export function encodeRebirth(timeMs: number): Uint8Array {
  const metrics = [
    { name: 'Node Control/Rebirth', timestamp: timeMs, datatype: BOOLEAN, booleanValue: true },
  ];
  return payloadType.encode(payloadType.create({ timestamp: timeMs, metrics })).finish();
}

function metricOf(raw: RawMetric): SparkplugMetric {
  const properties = propertiesOf(own(raw, 'properties'));
  return {
    name: own(raw, 'name'),
    alias: unsigned(own(raw, 'alias')),
    timeMs: unsigned(own(raw, 'timestamp')),
    datatype: own(raw, 'datatype'),
    historical: own(raw, 'isHistorical') === true,
    isNull: own(raw, 'isNull') === true,
    quality: properties.quality,
    unit: properties.unit,
    value: (datatype) => numericValue(raw, own(raw, 'datatype') ?? datatype),
  };
}

function numericValue(raw: RawMetric, datatype: number | undefined): number | undefined {
  if (datatype !== undefined && datatype >= FIRST_NOT_NUMERIC) return undefined;
  const flag = own(raw, 'booleanValue');
  if (flag !== undefined) return flag ? 1 : 0;
  const int = own(raw, 'intValue');
  // negative integers are sent as two's complement in an unsigned field
  if (int !== undefined)
    return datatype === INT8
      ? (int << 24) >> 24
      : datatype === INT16
        ? (int << 16) >> 16
        : datatype === INT32
          ? int | 0
          : int;
  const long = own(raw, 'longValue');
  if (long !== undefined) return datatype === INT64 ? signed(long) : unsigned(long);
  return own(raw, 'floatValue') ?? own(raw, 'doubleValue');
}

function propertiesOf(raw: RawProperties | undefined): {
  quality: number | undefined;
  unit: string | undefined;
} {
  const keys = raw === undefined ? undefined : own(raw, 'keys');
  const values = raw === undefined ? undefined : own(raw, 'values');
  const at = (names: readonly string[]) => values?.[keys?.findIndex((key) => names.includes(key)) ?? -1];
  const quality = at(['Quality', 'quality']);
  const unit = at(['engUnit', 'Engineering Units', 'unit']);
  return {
    quality:
      quality === undefined ? undefined : (own(quality, 'intValue') ?? signed(own(quality, 'longValue'))),
    unit: unit === undefined ? undefined : own(unit, 'stringValue'),
  };
}

/** Reads only own properties, because protobufjs keeps defaults on the prototype. */
function own<T extends object, K extends keyof T>(value: T, key: K): T[K] | undefined {
  return Object.hasOwn(value, key) ? value[key] : undefined;
}

function unsigned(value: Long | undefined): number | undefined {
  return typeof value === 'object' ? (value.high >>> 0) * 2 ** 32 + (value.low >>> 0) : value;
}

function signed(value: Long | undefined): number | undefined {
  return typeof value === 'object' ? value.high * 2 ** 32 + (value.low >>> 0) : value;
}

export const SPARKPLUG_PREFIX = 'spBv1.0/';

const TIMESTAMP_TAG = 1 << 3;
const METRICS_TAG = (2 << 3) | 2;
const SEQ_TAG = 3 << 3;
/** Most metrics and bytes of one message; the birth of a large plant has some thousands of metrics. */
const MAX_METRICS = 32_768;
const MAX_BYTES = 8 * 1024 * 1024;

/**
 * Splits a payload of many metrics into payloads that contain at most `most` metrics and about `mostBytes` bytes, so that each
 * can be read in its own turn of the event loop. All have the time of the payload, only the first one its sequence number. null
 * for a payload that is small enough, not valid, or larger than that of any plant.
 */
export function splitSparkplug(payload: Uint8Array, most: number, mostBytes: number): Buffer[] | null {
  // a metric takes at least two bytes
  if (payload.length <= Math.min(2 * most, mostBytes) || payload.length > MAX_BYTES) return null;
  if (hasTooManyMetrics(payload)) return null;
  const time: Uint8Array[] = [];
  const seq: Uint8Array[] = [];
  let metrics: Uint8Array[] = [];
  const parts = [metrics];
  let bytes = 0;
  const isValid = eachField(payload, (tag, from, to) => {
    const field = payload.subarray(from, to);
    if (tag !== METRICS_TAG) {
      if (tag === TIMESTAMP_TAG) time.push(field);
      else if (tag === SEQ_TAG) seq.push(field);
      return true;
    }
    bytes += field.length;
    if (metrics.length === most || (bytes > mostBytes && metrics.length > 0)) {
      metrics = [];
      parts.push(metrics);
      bytes = field.length;
    }
    metrics.push(field);
    return true;
  });
  if (!isValid || parts.length < 2) return null;
  return parts.map((part, at) => Buffer.concat([...time, ...(at === 0 ? seq : []), ...part]));
}

/** Whether a payload contains more metrics than that of any plant. Returns false for invalid protobuf, which the decoder rejects. */
export function hasTooManyMetrics(payload: Uint8Array): boolean {
  if (payload.length <= 2 * MAX_METRICS) return false;
  let count = 0;
  eachField(payload, (tag) => tag !== METRICS_TAG || ++count <= MAX_METRICS);
  return count > MAX_METRICS;
}

/** Visits the fields of the top level without decoding them, until `visit` returns false. @returns false if a field is not valid */
function eachField(payload: Uint8Array, visit: (tag: number, from: number, to: number) => boolean): boolean {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; at < payload.length && shift < 64; shift += 7) {
      const byte = payload[at++] ?? 0;
      if (shift < 28) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    return payload.length;
  };
  while (at < payload.length) {
    const from = at;
    const tag = varint();
    const wire = tag & 7;
    if (wire === 0) varint();
    else if (wire === 1) at += 8;
    else if (wire === 2) {
      // read first, because reading the length changes `at`
      const length = varint();
      at += length;
    } else if (wire === 5) at += 4;
    else return false;
    if (at > payload.length) return false;
    if (!visit(tag, from, at)) return true;
  }
  return true;
}
