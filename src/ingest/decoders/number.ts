/** A payload that is one number: `21.5`, `on`, `true`; `21.5 °C` where units are asked for. */
import type { Decoder, DecoderSettings, DecodeSink } from '../decoder.ts';
import type { Message } from '../message.ts';
import { parseNumber, parseNumberWithUnit, parseSwitch } from '../number-text.ts';
import { excerpt } from '../rejects.ts';

/** Longer payloads are no numbers, and need not be turned into text to know it. */
const MAX_BYTES = 256;

export function numberDecoder(settings: DecoderSettings): Decoder {
  return {
    selects: (field) => field === '',
    decode(message, sink) {
      decodeNumber(message, settings.numericStrings, sink);
    },
  };
}

export function decodeNumber(message: Message, withUnit: boolean, sink: DecodeSink): void {
  const { length } = message.payload;
  if (length > MAX_BYTES) {
    sink.reject('bad-number', `${length} bytes, which is no number`, true);
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
  const united = parsed === 'bad-number' && withUnit ? parseNumberWithUnit(text) : parsed;
  if (typeof united === 'object') sink.reading('', united.value, null, united.unit);
  else sink.reject(united as 'bad-number' | 'not-finite', excerpt(text), true);
}
