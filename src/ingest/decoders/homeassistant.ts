/**
 * Home Assistant state topics of MQTT Statestream: `<base>/<domain>/<entity>/state` contains the plain state; sibling
 * topics contain attributes as JSON. Only states are readings.
 */
import type { Decoder, DecoderSettings, PayloadFormat } from '../decoder.ts';
import { decodeNumber } from './number.ts';

const ABSENT = new Set(['unavailable', 'unknown', 'none', 'null']);
const AWAY = new Map([
  ['home', 1],
  ['not_home', 0],
  ['detected', 1],
  ['clear', 0],
]);

export function homeAssistantDecoder(settings: DecoderSettings): Decoder {
  return {
    selects: (field) => field === '',
    decode(message, sink) {
      if (!message.topic.endsWith('/state')) return;
      if (message.payload.length <= 32) {
        const text = message.text().trim().toLowerCase();
        if (ABSENT.has(text)) {
          sink.reject('unavailable', text);
          return;
        }
        const presence = AWAY.get(text);
        if (presence !== undefined) {
          sink.reading('', presence, null, null);
          return;
        }
      }
      decodeNumber(message, settings, sink);
    },
  };
}

const STATE_TOPIC = /^homeassistant\/[^/]+\/[^/]+\/state$/;

export const HOME_ASSISTANT = {
  kind: 'homeassistant',
  create: homeAssistantDecoder,
  example: { topic: 'homeassistant/sensor/a/state', payload: '20', field: '', value: 20 },
  sniff: ({ topic, json }) => (json === undefined && STATE_TOPIC.test(topic) ? 3 : 0),
  single: true,
} as const satisfies PayloadFormat;
