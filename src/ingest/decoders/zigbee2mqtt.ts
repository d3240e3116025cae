/**
 * Zigbee2MQTT device topics: JSON, with `last_seen` if enabled. Bridge messages, availability and commands to devices are
 * ignored.
 */
import type { Decoder, DecoderSettings, DecodeSink, PayloadFormat } from '../decoder.ts';
import type { RejectReason } from '../rejects.ts';
import { jsonDecoder } from './json.ts';

/** Members of a device's state that are not measurements. */
const NOT_READINGS = new Set(['update', 'update_available', 'device', 'last_seen', 'elapsed']);
const COMMAND = /\/(?:set|get|availability)(?:\/|$)/;

export function zigbee2mqttDecoder(settings: DecoderSettings): Decoder {
  const json = jsonDecoder(settings, { skip: NOT_READINGS, defaultTime: 'last_seen' });
  return {
    selects: json.selects,
    decode(message, sink) {
      const { topic } = message;
      const second = topic.indexOf('/') + 1;
      if (topic.startsWith('bridge/', second) || COMMAND.test(topic)) return;
      json.decode(message, new WithoutMissing(sink));
    },
  };
}

/** Suppresses 'missing-field': bulbs and sensors share topics, and devices send only changes. */
class WithoutMissing implements DecodeSink {
  constructor(private readonly sink: DecodeSink) {}

  get full(): boolean {
    return this.sink.full === true;
  }

  reading(field: string, value: number, timeMs: number | null, unit: string | null): void {
    this.sink.reading(field, value, timeMs, unit);
  }

  reject(reason: RejectReason, detail: string, whole?: boolean): void {
    if (reason !== 'missing-field') this.sink.reject(reason, detail, whole);
  }

  identify(values: readonly string[] | null): void {
    this.sink.identify?.(values);
  }

  request(topic: string, payload: Uint8Array): void {
    this.sink.request(topic, payload);
  }
}

export const ZIGBEE2MQTT = {
  kind: 'zigbee2mqtt',
  create: zigbee2mqttDecoder,
  example: { topic: 'zigbee2mqtt/a', payload: '{"t":20}', field: 't', value: 20 },
  sniff: ({ topic, json }) => {
    if (typeof json !== 'object' || json === null || Array.isArray(json)) return 0;
    const known = typeof (json as { linkquality?: unknown }).linkquality === 'number';
    return known || topic.startsWith('zigbee2mqtt/') ? 3 : 0;
  },
  suggestion: { fields: (names) => names },
} as const satisfies PayloadFormat;
