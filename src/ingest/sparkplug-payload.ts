/**
 * The Sparkplug B protobuf payload, reduced to the fields with numbers. Field numbers and types follow the Eclipse
 * Sparkplug 3.0 specification, chapter 6.4. Unknown fields are skipped.
 */
import protobuf from 'protobufjs/light.js';

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

/** A message in proto2, which distinguishes a sent zero from an absent field. A type that ends in `[]` is repeated. */
const message = (fields: Readonly<Record<string, readonly [id: number, type: string]>>) => ({
  edition: 'proto2',
  fields: Object.fromEntries(
    Object.entries(fields).map(([name, [id, type]]) => [
      name,
      { id, type: type.replace('[]', ''), ...(type.endsWith('[]') && { rule: 'repeated' }) },
    ]),
  ),
});

/** Reads and writes payloads; the output of forecasts uses it too. */
export const payloadType = protobuf.Root.fromJSON({
  nested: {
    Payload: message({ timestamp: [1, 'uint64'], metrics: [2, 'Metric[]'], seq: [3, 'uint64'] }),
    Metric: message({
      name: [1, 'string'],
      alias: [2, 'uint64'],
      timestamp: [3, 'uint64'],
      datatype: [4, 'uint32'],
      isHistorical: [5, 'bool'],
      isNull: [7, 'bool'],
      properties: [9, 'PropertySet'],
      intValue: [10, 'uint32'],
      longValue: [11, 'uint64'],
      floatValue: [12, 'float'],
      doubleValue: [13, 'double'],
      booleanValue: [14, 'bool'],
      stringValue: [15, 'string'],
    }),
    PropertySet: message({ keys: [1, 'string[]'], values: [2, 'PropertyValue[]'] }),
    PropertyValue: message({
      type: [1, 'uint32'],
      intValue: [3, 'uint32'],
      longValue: [4, 'uint64'],
      stringValue: [8, 'string'],
    }),
  },
}).lookupType('Payload');

const INT8 = 1;
const INT16 = 2;
const INT32 = 3;
const INT64 = 4;
const BOOLEAN = 11;
/** From here on: String, DateTime, Text, UUID, DataSet, Bytes, File, Template, and arrays. */
const FIRST_NOT_NUMERIC = 12;

/** null if the bytes are not a Sparkplug payload. */
export function decodeSparkplug(bytes: Uint8Array): SparkplugPayload | null {
  let raw: { timestamp?: Long; seq?: Long; metrics?: readonly RawMetric[] };
  try {
    raw = payloadType.decode(bytes) as typeof raw;
  } catch {
    return null;
  }
  return {
    timeMs: unsigned(own(raw, 'timestamp')),
    seq: unsigned(own(raw, 'seq')),
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

const METRICS_TAG = (2 << 3) | 2;

/**
 * Whether a payload contains more than `most` metrics. Scans only the top level, without creating objects. Returns false
 * for invalid protobuf, which the decoder rejects.
 */
export function hasMoreMetrics(payload: Uint8Array, most: number): boolean {
  let at = 0;
  let count = 0;
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
    const tag = varint();
    if (tag === METRICS_TAG && ++count > most) return true;
    const wire = tag & 7;
    if (wire === 0) varint();
    else if (wire === 1) at += 8;
    else if (wire === 2) {
      // read first, because reading the length changes `at`
      const length = varint();
      at += length;
    } else if (wire === 5) at += 4;
    else return false;
  }
  return false;
}
