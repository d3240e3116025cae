/** Several readings in one text, such as `temp=21.5,hum=40` or `21.5;40`; read like the JSON that they stand for. */
import type { Decoder, DecoderSettings, PayloadFormat } from '../decoder.ts';
import { excerpt } from '../rejects.ts';
import { hasReadings, textReadings, unreadForm } from '../text-readings.ts';
import { jsonDecoder } from './json.ts';

export function textDecoder(settings: DecoderSettings): Decoder {
  const { selects, decodeDocument } = jsonDecoder({ ...settings, numericStrings: true });
  return {
    selects,
    decode(message, sink) {
      const text = message.text();
      const readings = textReadings(text, settings.decimalComma);
      if (readings !== null) decodeDocument(readings, message, sink);
      else if (text.trim() === '') sink.reject('empty', 'no text in the payload', true);
      else
        sink.reject(
          'bad-payload',
          `${unreadForm(text) ?? 'no key=value pairs or row of numbers'}: ${excerpt(text, 60)}`,
          true,
        );
    },
  };
}

export const TEXT = {
  kind: 'text',
  create: textDecoder,
  example: { topic: 's/a', payload: 't=20', field: 't', value: 20 },
  sniff: ({ text, json }) => (json === undefined && hasReadings(text) ? 1 : 0),
  suggestion: { fields: (names) => names },
} as const satisfies PayloadFormat;
