/**
 * Sparkplug B: births and data of edge nodes and their devices. Metrics are readings under their names; the group, the
 * node and the device come from the topic. Values marked as bad or stale are rejected.
 */
import type { Decoder, DecoderSettings, DecodeSink, FieldSelector, PayloadFormat } from '../decoder.ts';
import { excerpt } from '../rejects.ts';
import { SPARKPLUG_PREFIX } from '../sparkplug-payload.ts';
import type { ResolvedMetric, SparkplugSession } from '../sparkplug-session.ts';
import { isPoisonKey } from '../stream-name.ts';

/** OPC quality codes in Sparkplug: 192 good, 0 bad, 500 stale. */
const GOOD = 192;
const LARGEST_MS = 8.64e15;
/** Metrics of a gatecast agent, which may be this one. */
const FORECAST = /^Forecast\/.+\/(?:[^/]+\/(?:p\d+|probability|time)|anomaly)$/;

function sparkplugDecoder({ fields }: DecoderSettings, session: SparkplugSession): Decoder {
  return {
    selects: (field) => fields === null || fields.some(({ path, name }) => path === field || name === field),
    decode(message, sink) {
      const metrics = session.read(message, sink);
      for (const metric of metrics) {
        if (sink.full === true) return;
        const { name } = metric;
        if (name === 'bdSeq' || name.startsWith('Node Control/') || name.startsWith('Device Control/'))
          continue;
        const selector = fields?.find(({ path }) => path === name);
        if (selector === undefined && FORECAST.test(name)) {
          sink.reject('other-agent', excerpt(name, 60));
          continue;
        }
        if (fields === null || selector !== undefined) emit(metric, selector, sink);
      }
    },
  };
}

function emit(metric: ResolvedMetric, selector: FieldSelector | undefined, sink: DecodeSink): void {
  const { sent, timeMs } = metric;
  const shown = excerpt(metric.name, 60);
  if (sent.isNull) {
    sink.reject('unavailable', `${shown} is null`);
    return;
  }
  const value = sent.value(metric.datatype);
  if (value === undefined) {
    // texts and tables are not readings; rejected only if a rule names the metric
    if (selector !== undefined) sink.reject('wrong-type', `${shown} is not a number`);
  } else if (sent.quality !== undefined && sent.quality !== GOOD)
    sink.reject('bad-quality', `${shown} has quality ${sent.quality}`);
  else if (!Number.isFinite(value)) sink.reject('not-finite', `${shown} is ${value}`);
  else if (isPoisonKey(metric.name)) sink.reject('forbidden-key', shown);
  // a historical value without a time must not get the arrival time
  else if (timeMs === null && sent.historical)
    sink.reject('bad-time', `${shown} is historical and has no time`);
  else if (timeMs !== null && timeMs > LARGEST_MS) sink.reject('bad-time', `${shown} has the time ${timeMs}`);
  else sink.reading(selector?.name ?? metric.name, value, timeMs, selector?.unit ?? metric.unit);
}

export const SPARKPLUG = {
  kind: 'sparkplug',
  create: (settings, { sparkplug }) => sparkplugDecoder(settings, sparkplug),
  example: {
    topic: 'spBv1.0/g/NBIRTH/n',
    // A payload of one metric: name `t`, datatype 10 (double), value 20; seq 0.
    payload: Uint8Array.from('120e0a0174200a6900000000000034401800'.match(/../g) ?? [], (byte) =>
      Number.parseInt(byte, 16),
    ),
    field: 't',
    value: 20,
  },
  sniff: ({ topic }) => (topic.startsWith(SPARKPLUG_PREFIX) ? 3 : 0),
  // births and data of a device have different topics but belong to one stream: group, node, device
  nameParts: (topic) => {
    const [, group = '', , node = '', device = ''] = topic.split('/');
    return device === '' ? [group, node] : [group, node, device];
  },
  // births define the aliases used in the data
  checkMatch: ([prefix = '+', , type = '+']) =>
    prefix !== '+' && type !== '+' && type !== '#' && prefix !== '#'
      ? 'must leave the message type open, such as spBv1.0/{group}/+/{node}/#; births define the names of the data'
      : null,
  suggestion: { match: 'spBv1.0/{group}/+/{node}/#', fields: (names) => names },
} as const satisfies PayloadFormat;
