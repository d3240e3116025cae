/** Reads JSON if the payload starts like JSON, otherwise one number, or a text with several readings. */
import type { Decoder, DecoderSettings, DecodeSink, PayloadFormat } from '../decoder.ts';
import type { Message } from '../message.ts';
import { unmistakableReadings } from '../text-readings.ts';
import { jsonDecoder } from './json.ts';
import { decodeNumber } from './number.ts';
import { textDecoder } from './text.ts';

const OPEN_BRACKET = 91;
const OPEN_BRACE = 123;
const BYTE_ORDER_MARK = 0xef;
const QUOTE = 34;
/** JSON that was encoded twice. */
const ENCODED_TWICE = /^\s*"\s*(?:\{|\[\s*\{)/;

export function autoDecoder(settings: DecoderSettings): Decoder {
  const json = jsonDecoder(settings);
  const text = textDecoder(settings);
  const other = (message: Message, sink: DecodeSink): boolean => {
    if (unmistakableReadings(message.text(), settings.decimalComma) === null) return false;
    text.decode(message, sink);
    return true;
  };
  return {
    selects: (field) => field === '' || json.selects(field),
    decode(message, sink) {
      const first = firstByte(message.payload);
      const isJson =
        first === OPEN_BRACE ||
        first === OPEN_BRACKET ||
        first === BYTE_ORDER_MARK ||
        (first === QUOTE && ENCODED_TWICE.test(message.text()));
      if (isJson) json.decode(message, sink);
      else decodeNumber(message, settings, sink, other);
    },
  };
}

/** The first byte that is no blank and no control character; -1 without one. */
function firstByte(payload: Uint8Array): number {
  for (const byte of payload) if (byte > 32) return byte;
  return -1;
}

export const AUTO = {
  kind: 'auto',
  create: autoDecoder,
  example: { topic: 's/a', payload: '{"t":20}', field: 't', value: 20 },
} as const satisfies PayloadFormat;
