/** Guesses how a payload is to be read from what it looks like; for `gatecast check`, not for the hot path. */
import type { PayloadKind } from './decoder.ts';
import { parseNumberWithUnit, parseSwitch } from './number-text.ts';

const LOOK_AT_BYTES = 64 * 1024;
const SENML_KEYS = ['v', 'vs', 'vb', 'vd', 's', 'bv', 'bs'];
/** measurement[,tags] field=value[,...] [time] */
const LINE = /^[^\s,="{[]+(?:,[^\s=]+=[^\s]+)*\s+[^\s=]+=[^\s]+/;

/** The kind, with whether the numbers are in quotes or carry units; null for what is no reading. */
export function sniff(
  topic: string,
  payload: Uint8Array,
): { kind: PayloadKind; numericStrings: boolean } | null {
  if (topic.startsWith('spBv1.0/')) return { kind: 'sparkplug', numericStrings: false };
  if (payload.length === 0 || payload.length > LOOK_AT_BYTES) return null;
  const text = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8').trim();
  if (text.startsWith('{') || text.startsWith('[')) {
    const json = parse(text);
    return json === undefined ? null : sniffJson(topic, json);
  }
  if (/^homeassistant\/[^/]+\/[^/]+\/state$/.test(topic))
    return { kind: 'homeassistant', numericStrings: false };
  if (parseSwitch(text) !== null) return { kind: 'number', numericStrings: false };
  const number = parseNumberWithUnit(text);
  if (typeof number === 'object') return { kind: 'number', numericStrings: number.unit !== null };
  return LINE.test(text) ? { kind: 'influx', numericStrings: false } : null;
}

function sniffJson(topic: string, json: unknown): { kind: PayloadKind; numericStrings: boolean } {
  if (Array.isArray(json) && json.some(isSenmlRecord)) return { kind: 'senml', numericStrings: false };
  const keys = Object.keys(json as object);
  const zigbee =
    topic.startsWith('zigbee2mqtt/') || (keys.includes('linkquality') && keys.includes('last_seen'));
  return { kind: zigbee ? 'zigbee2mqtt' : 'json', numericStrings: !hasNumber(json, 0) };
}

function isSenmlRecord(record: unknown): boolean {
  if (typeof record !== 'object' || record === null) return false;
  const named = Object.hasOwn(record, 'n') || Object.hasOwn(record, 'bn');
  return named && SENML_KEYS.some((key) => Object.hasOwn(record, key));
}

function hasNumber(json: unknown, depth: number): boolean {
  if (typeof json === 'number' || typeof json === 'boolean') return true;
  if (typeof json === 'string') return parseSwitch(json) !== null;
  if (typeof json !== 'object' || json === null || depth > 8) return false;
  return Object.values(json).some((value) => hasNumber(value, depth + 1));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
