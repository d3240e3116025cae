/** Guesses the format of a payload; for `gatecast check`, not for the hot path. */
import { bestFormat, type PayloadKind } from './decoders/index.ts';
import { isTimeMember } from './json-times.ts';
import { parseSeveral } from './message.ts';
import { parseNumber, parseNumberWithUnit, parseSwitch } from './number-text.ts';
import { parseTolerantJson, Unreadable } from './tolerant-json.ts';

const LOOK_AT_BYTES = 64 * 1024;
const MAX_DEPTH = 16;
/** `21,5` and `1.234,5`, with or without a unit. */
const COMMA = /^[+-]?\d{1,9}(?:\.\d{3})*,\d{1,6}(?!\d|,)/;

/** A decimal comma in a text with several readings: `temp=21,5 hum=40`, `21,5;40`. */
const CELL_COMMA = /(?:^|[=:;|\t])\s{0,8}[+-]?\d{1,9},\d{1,6}\s{0,8}(?:[;|&\t%°a-z]|,\s{0,8}[a-z_]|$)/im;

interface Sniffed {
  readonly kind: PayloadKind;
  /** Numbers are in quotes or have a unit. */
  readonly numericStrings: boolean;
  readonly decimalComma: boolean;
}

/** The format of a message; null if it contains no reading. */
export function sniff(topic: string, payload: Uint8Array): Sniffed | null {
  const tooLarge = payload.length === 0 || payload.length > LOOK_AT_BYTES;
  const text = tooLarge
    ? ''
    : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
        .toString('utf8')
        // biome-ignore lint/suspicious/noControlCharactersInRegex: some devices send them around the text
        .replaceAll(/^[\0-\x08\x0e-\x1f]+|[\0-\x08\x0e-\x1f]+$/g, '')
        .trim();
  const json = /^(?:[{[]|"\s*[{[])/.test(text) ? parse(text) : undefined;
  const kind = bestFormat({ topic, text, json });
  if (kind === null) return null;
  if (json === undefined) {
    if (kind === 'text') return { kind, numericStrings: false, decimalComma: CELL_COMMA.test(text) };
    const decimalComma = COMMA.test(text);
    const number = parseNumberWithUnit(text, { decimalComma });
    return { kind, numericStrings: typeof number === 'object' && number.unit !== null, decimalComma };
  }
  const quoted = { number: false, comma: false };
  if (kind !== 'senml') findQuoted('', json, 0, quoted);
  return { kind, numericStrings: quoted.number, decimalComma: quoted.comma };
}

/** Looks for readings in quotes; ignores identifiers, times and on/off words. */
function findQuoted(
  key: string,
  json: unknown,
  depth: number,
  found: { number: boolean; comma: boolean },
): void {
  if (json instanceof Unreadable) {
    if (COMMA.test(json.text)) found.comma = true;
    else if (typeof parseNumberWithUnit(json.text) === 'object') found.number = true;
  } else if (typeof json === 'string') {
    if (parseSwitch(json) !== null || isTimeMember(key, json) || NO_READING.test(key)) return;
    const comma = COMMA.test(json) && typeof parseNumberWithUnit(json, { decimalComma: true }) === 'object';
    const plain = parseNumber(json);
    if (comma) found.comma = true;
    // an integer with leading zeros is likely an identifier
    if (
      comma ||
      (typeof plain === 'number'
        ? !/^0\d+$/.test(json.trim())
        : typeof parseNumberWithUnit(json) === 'object')
    )
      found.number = true;
  } else if (typeof json === 'object' && json !== null && depth <= MAX_DEPTH && !isTimeMember(key, json))
    for (const [name, value] of Object.entries(json)) findQuoted(name, value, depth + 1, found);
}

/** Keys of texts that look like numbers but are identifiers. */
const NO_READING =
  /(?:^|[_-])(?:id|uid|uuid|eui|mac|addr|address|serial|sn|version|ver|model|name|firmware|fw|sw|hw|code|key|label|ip|dpt|date|time|timestamp)$|(?:Id|Eui|EUI|Addr|Version|Time)$/i;

function parse(text: string): unknown {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === 'string' ? (parse(json) ?? json) : json;
  } catch {
    return parseTolerantJson(text, MAX_DEPTH) ?? parseSeveral(text).documents[0];
  }
}
