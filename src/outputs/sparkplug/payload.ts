/** Encodes the values that gatecast sends as Sparkplug B payloads (Eclipse Sparkplug 3.0, chapter 6.4). */
import { payloadType } from '../../ingest/sparkplug-payload.ts';

/** Data types, chapter 6.4.16. */
const TYPE = { int32: 3, int64: 4, double: 10, boolean: 11, string: 12, dateTime: 13 } as const;

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

interface EncodedPayload {
  readonly timeMs: number;
  /** 0 to 255; absent in a death. */
  readonly seq?: number;
  readonly metrics: readonly EncodedMetric[];
}

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
