/** The decoder of each payload kind. */
import type { Decoder, DecoderSettings, PayloadKind } from '../decoder.ts';
import { autoDecoder } from './auto.ts';
import { homeAssistantDecoder } from './homeassistant.ts';
import { jsonDecoder } from './json.ts';
import { numberDecoder } from './number.ts';
import { zigbee2mqttDecoder } from './zigbee2mqtt.ts';

const DECODERS: Readonly<Record<PayloadKind, (settings: DecoderSettings) => Decoder>> = {
  auto: autoDecoder,
  json: jsonDecoder,
  number: numberDecoder,
  zigbee2mqtt: zigbee2mqttDecoder,
  homeassistant: homeAssistantDecoder,
};

export function createDecoder(kind: PayloadKind, settings: DecoderSettings): Decoder {
  return DECODERS[kind](settings);
}
