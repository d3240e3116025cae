/** Reads JSON if the payload starts like JSON, otherwise one number. */
import type { Decoder, DecoderSettings, PayloadFormat } from '../decoder.ts';
import { jsonDecoder } from './json.ts';
import { decodeNumber } from './number.ts';

const OPEN_BRACKET = 91;
const OPEN_BRACE = 123;
const BYTE_ORDER_MARK = 0xef;
const QUOTE = 34;
/** JSON that was encoded twice. */
const ENCODED_TWICE = /^\s*"\s*\[?\s*\{/;

export function autoDecoder(settings: DecoderSettings): Decoder {
  const json = jsonDecoder(settings);
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
      else decodeNumber(message, settings, sink);
    },
  };
}

/** The first byte that is no blank and no NUL; -1 without one. */
function firstByte(payload: Uint8Array): number {
  for (const byte of payload) if (byte !== 32 && byte !== 0 && (byte < 9 || byte > 13)) return byte;
  return -1;
}

export const AUTO = {
  kind: 'auto',
  create: autoDecoder,
  example: { topic: 's/a', payload: '{"t":20}', field: 't', value: 20 },
} as const satisfies PayloadFormat;
