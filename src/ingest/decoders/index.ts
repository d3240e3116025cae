/** The decoder of each payload kind. */
import type { Decoder, DecoderSettings, PayloadKind } from '../decoder.ts';
import { SparkplugSession } from '../sparkplug-session.ts';
import { autoDecoder } from './auto.ts';
import { homeAssistantDecoder } from './homeassistant.ts';
import { influxDecoder } from './influx.ts';
import { jsonDecoder } from './json.ts';
import { numberDecoder } from './number.ts';
import { senmlDecoder } from './senml.ts';
import { sparkplugDecoder } from './sparkplug.ts';
import { zigbee2mqttDecoder } from './zigbee2mqtt.ts';

/** What decoders of one router share. */
export interface DecoderSession {
  readonly sparkplug: SparkplugSession;
}

export const newSession = (): DecoderSession => ({ sparkplug: new SparkplugSession() });

type Make = (settings: DecoderSettings, session: DecoderSession) => Decoder;

const DECODERS: Readonly<Record<PayloadKind, Make>> = {
  auto: autoDecoder,
  json: (settings) => jsonDecoder(settings),
  number: numberDecoder,
  zigbee2mqtt: zigbee2mqttDecoder,
  homeassistant: homeAssistantDecoder,
  senml: senmlDecoder,
  influx: influxDecoder,
  sparkplug: (settings, { sparkplug }) => sparkplugDecoder(settings, sparkplug),
};

export function createDecoder(
  kind: PayloadKind,
  settings: DecoderSettings,
  session: DecoderSession = newSession(),
): Decoder {
  return DECODERS[kind](settings, session);
}
