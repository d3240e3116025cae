/** The Sparkplug B payload (Eclipse Sparkplug 3.0, chapter 6.4) as protobuf, complete, and the values that gatecast sends in it. */
import protobuf from 'protobufjs/light.js';

/** Data types, chapter 6.4.16. */
export const TYPE = { int32: 3, int64: 4, double: 10, boolean: 11, string: 12, dateTime: 13 } as const;

/** A value with its type; null: the metric has no value now. */
export type MetricValue =
  | { readonly type: 'double' | 'int64' | 'dateTime'; readonly value: number | null }
  | { readonly type: 'boolean'; readonly value: boolean | null }
  | { readonly type: 'string'; readonly value: string | null };

export interface EncodedMetric {
  /** Set in births, and for metrics without an alias. */
  readonly name?: string;
  readonly alias?: number;
  readonly timeMs: number;
  readonly content: MetricValue;
  readonly historical?: boolean;
  /** OPC quality: 192 good, 500 stale. */
  readonly quality?: number;
  readonly unit?: string | null;
}

export interface EncodedPayload {
  readonly timeMs: number;
  /** 0 to 255; absent in a death. */
  readonly seq?: number;
  readonly metrics: readonly EncodedMetric[];
}

type Field = readonly [type: string, id: number, rule?: 'repeated'];

/** A message type in proto2 syntax, as Sparkplug uses. */
const message = (fields: Readonly<Record<string, Field>>, oneof: readonly string[] = []) => ({
  edition: 'proto2',
  ...(oneof.length === 0 ? {} : { oneofs: { value: { oneof: [...oneof] } } }),
  fields: Object.fromEntries(
    Object.entries(fields).map(([name, [type, id, rule]]) => [name, { type, id, ...(rule ? { rule } : {}) }]),
  ),
});

const NUMBERS = ['intValue', 'longValue', 'floatValue', 'doubleValue', 'booleanValue', 'stringValue'];
/** The plain values of a message, from field number `first` on. */
const values = (first: number): Record<string, Field> => ({
  intValue: ['uint32', first],
  longValue: ['uint64', first + 1],
  floatValue: ['float', first + 2],
  doubleValue: ['double', first + 3],
  booleanValue: ['bool', first + 4],
  stringValue: ['string', first + 5],
});

const root = protobuf.Root.fromJSON({
  nested: {
    Payload: message({
      timestamp: ['uint64', 1],
      metrics: ['Metric', 2, 'repeated'],
      seq: ['uint64', 3],
      uuid: ['string', 4],
      body: ['bytes', 5],
    }),
    Metric: message(
      {
        name: ['string', 1],
        alias: ['uint64', 2],
        timestamp: ['uint64', 3],
        datatype: ['uint32', 4],
        isHistorical: ['bool', 5],
        isTransient: ['bool', 6],
        isNull: ['bool', 7],
        metadata: ['MetaData', 8],
        properties: ['PropertySet', 9],
        ...values(10),
        bytesValue: ['bytes', 16],
        datasetValue: ['DataSet', 17],
        templateValue: ['Template', 18],
      },
      [...NUMBERS, 'bytesValue', 'datasetValue', 'templateValue'],
    ),
    MetaData: message({
      isMultiPart: ['bool', 1],
      contentType: ['string', 2],
      size: ['uint64', 3],
      seq: ['uint64', 4],
      fileName: ['string', 5],
      fileType: ['string', 6],
      md5: ['string', 7],
      description: ['string', 8],
    }),
    PropertySet: message({ keys: ['string', 1, 'repeated'], values: ['PropertyValue', 2, 'repeated'] }),
    PropertySetList: message({ propertyset: ['PropertySet', 1, 'repeated'] }),
    PropertyValue: message(
      {
        type: ['uint32', 1],
        isNull: ['bool', 2],
        ...values(3),
        propertysetValue: ['PropertySet', 9],
        propertysetsValue: ['PropertySetList', 10],
      },
      [...NUMBERS, 'propertysetValue', 'propertysetsValue'],
    ),
    DataSet: message({
      numOfColumns: ['uint64', 1],
      columns: ['string', 2, 'repeated'],
      types: ['uint32', 3, 'repeated'],
      rows: ['Row', 4, 'repeated'],
    }),
    Row: message({ elements: ['DataSetValue', 1, 'repeated'] }),
    DataSetValue: message(values(1), NUMBERS),
    Template: message({
      version: ['string', 1],
      metrics: ['Metric', 2, 'repeated'],
      parameters: ['Parameter', 3, 'repeated'],
      templateRef: ['string', 4],
      isDefinition: ['bool', 5],
    }),
    Parameter: message({ name: ['string', 1], type: ['uint32', 2], ...values(3) }, NUMBERS),
  },
});
const payloadType = root.lookupType('Payload');

export function encodePayload({ timeMs, seq, metrics }: EncodedPayload): Uint8Array {
  const raw = {
    timestamp: timeMs,
    ...(seq === undefined ? {} : { seq }),
    metrics: metrics.map(metricOf),
  };
  return payloadType.encode(payloadType.create(raw)).finish();
}

function metricOf({ name, alias, timeMs, content, historical, quality, unit }: EncodedMetric): object {
  const properties = [
    ...(quality === undefined ? [] : [['Quality', { type: TYPE.int32, intValue: quality }] as const]),
    ...(unit == null ? [] : [['engUnit', { type: TYPE.string, stringValue: unit }] as const]),
  ];
  return {
    ...(name === undefined ? {} : { name }),
    ...(alias === undefined ? {} : { alias }),
    timestamp: timeMs,
    datatype: TYPE[content.type],
    ...(historical === true ? { isHistorical: true } : {}),
    ...(properties.length === 0
      ? {}
      : {
          properties: { keys: properties.map(([key]) => key), values: properties.map(([, value]) => value) },
        }),
    ...contentOf(content),
  };
}

function contentOf({ type, value }: MetricValue): object {
  if (value === null) return { isNull: true };
  if (type === 'double') return { doubleValue: value };
  if (type === 'boolean') return { booleanValue: value };
  if (type === 'string') return { stringValue: value };
  return { longValue: value };
}

/** Names of the metrics of a command whose boolean value is true. @throws Error if the bytes are not a payload */
export function trueMetrics(bytes: Uint8Array): string[] {
  const { metrics = [] } = payloadType.decode(bytes) as {
    metrics?: readonly { readonly name?: string; readonly booleanValue?: boolean }[];
  };
  return metrics.flatMap(({ name, booleanValue }) => (name && booleanValue === true ? [name] : []));
}
