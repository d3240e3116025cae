/** A payload of one number: `21.5`, `on`, `true`; `21.5 °C` with `numeric_strings`. */
import type { Decoder, DecoderSettings, DecodeSink, PayloadFormat } from '../decoder.ts';
import type { Message } from '../message.ts';
import { type NumberWithUnit, parseNumber, parseNumberWithUnit, parseSwitch } from '../number-text.ts';
import { excerpt } from '../rejects.ts';
import { unmistakableReadings, unreadForm } from '../text-readings.ts';

/** Longer payloads are rejected without decoding the text. */
const MAX_BYTES = 256;

export function numberDecoder(settings: DecoderSettings): Decoder {
  return {
    selects: (field) => field === '',
    decode(message, sink) {
      decodeNumber(message, settings, sink);
    },
  };
}

/** @param other reads a text that is no number; false: it cannot */
export function decodeNumber(
  message: Message,
  settings: DecoderSettings,
  sink: DecodeSink,
  other: ((message: Message, sink: DecodeSink) => boolean) | null = null,
): void {
  const { length } = message.payload;
  if (length > MAX_BYTES) {
    if (other?.(message, sink) === true) return;
    sink.reject(
      'bad-number',
      `${length} bytes${hintOf(message.text(), settings) ?? ', too long for a number'}`,
      true,
    );
    return;
  }
  const text = message.text();
  const parsed = parseNumber(text);
  if (typeof parsed === 'number') {
    sink.reading('', parsed, null, null);
    return;
  }
  const state = parseSwitch(text);
  if (state !== null) {
    sink.reading('', state, null, null);
    return;
  }
  if (text.trim() === '') {
    sink.reject('empty', 'no number in the payload', true);
    return;
  }
  const found = parsed === 'bad-number' ? otherNumber(text.trim(), settings) : parsed;
  if (typeof found === 'object') sink.reading('', found.value, null, found.unit);
  else if (other?.(message, sink) !== true) {
    const hint = hintOf(text, settings);
    sink.reject(found, hint === null ? excerpt(text) : `${excerpt(text, 60)}${hint}`, true);
  }
}

/** How a text with several readings can be read; null for any other text. */
function hintOf(text: string, { decimalComma = false }: DecoderSettings): string | null {
  const sign = [decimalComma, !decimalComma].find((comma) => unmistakableReadings(text, comma) !== null);
  if (sign === undefined) {
    const form = unreadForm(text);
    return form === null ? null : `: ${form}`;
  }
  const other = sign ? ' with "decimal_comma: true"' : ' without "decimal_comma"';
  return `: several readings in one text; "payload: text"${sign === decimalComma ? '' : other} reads them`;
}

/** A number in quotes, with a decimal comma, with a unit, or followed by a comma or semicolon. */
function otherNumber(
  text: string,
  { numericStrings, decimalComma = false, unit = null }: DecoderSettings,
): NumberWithUnit | 'bad-number' | 'not-finite' {
  const bare = /^(?:"(.*)"|'(.*)'|(.*?)[,;])$/s.exec(text);
  const inner = bare?.[1] ?? bare?.[2] ?? bare?.[3] ?? text;
  const found = parseNumberWithUnit(inner, { decimalComma, ownUnit: unit });
  return typeof found === 'object' && found.unit !== null && !numericStrings ? 'bad-number' : found;
}

export const NUMBER = {
  kind: 'number',
  create: numberDecoder,
  example: { topic: 's/a', payload: '20', field: '', value: 20 },
  sniff: ({ text, json }) => {
    if (json !== undefined) return 0;
    // both ways, because with decimalComma `0.523` is ambiguous (thousands)
    const isNumber = [false, true].some(
      (decimalComma) => typeof parseNumberWithUnit(text, { decimalComma }) === 'object',
    );
    return parseSwitch(text) !== null || isNumber ? 2 : 0;
  },
  single: true,
} as const satisfies PayloadFormat;
