/** The payload formats, in the order of the reference. */
import type { Decoder, DecoderSettings, PayloadFormat, PayloadPreview } from '../decoder.ts';
import { type DecoderSession, newSession } from '../session.ts';
import { AUTO } from './auto.ts';
import { HOME_ASSISTANT } from './homeassistant.ts';
import { INFLUX } from './influx.ts';
import { JSON_FORMAT } from './json.ts';
import { NUMBER } from './number.ts';
import { SENML } from './senml.ts';
import { SPARKPLUG } from './sparkplug.ts';
import { TEXT } from './text.ts';
import { ZIGBEE2MQTT } from './zigbee2mqtt.ts';

const FORMATS = [
  AUTO,
  JSON_FORMAT,
  NUMBER,
  TEXT,
  ZIGBEE2MQTT,
  HOME_ASSISTANT,
  SENML,
  INFLUX,
  SPARKPLUG,
] as const;

export type PayloadKind = (typeof FORMATS)[number]['kind'];

export const PAYLOAD_KINDS = FORMATS.map(({ kind }) => kind) as [PayloadKind, ...PayloadKind[]];

const BY_KIND = new Map<string, PayloadFormat>(FORMATS.map((format) => [format.kind, format]));

/** Throws for an unknown kind, which the config schema does not allow. */
export function formatOf(kind: PayloadKind): PayloadFormat {
  const format = BY_KIND.get(kind);
  if (format === undefined) throw new Error(`no payload format ${kind}`);
  return format;
}

export const createDecoder = (
  kind: PayloadKind,
  settings: DecoderSettings,
  session: DecoderSession = newSession(),
): Decoder => formatOf(kind).create(settings, session);

/** The best-fitting format, the first of equals; null if none fits. */
export function bestFormat(glimpse: PayloadPreview): PayloadKind | null {
  let best: PayloadKind | null = null;
  let most = 0;
  for (const format of FORMATS as readonly (PayloadFormat & { kind: PayloadKind })[]) {
    const fit = format.sniff?.(glimpse) ?? 0;
    if (fit <= most) continue;
    best = format.kind;
    most = fit;
  }
  return best;
}
