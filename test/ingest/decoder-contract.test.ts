/** What every decoder promises, whatever its format. */
import { describe, expect, it } from 'vitest';
import { createDecoder, formatOf, PAYLOAD_KINDS } from '../../src/ingest/decoders/index.ts';
import { REJECTS } from '../../src/ingest/rejects.ts';
import { decode } from './decode.ts';
import { settings } from './rules.ts';

const HOSTILE = [
  '',
  ' ',
  '\0',
  '{',
  '[',
  '"',
  'null',
  '1e400',
  'NaN',
  '[]',
  '{}',
  '[[[[',
  '{"a":{}}',
  '\ufffd',
  '[null]',
  ',',
  '=',
];

describe.each(PAYLOAD_KINDS)('the %s decoder', (kind) => {
  const { topic, payload, field, value } = formatOf(kind).example;
  const good = Buffer.from(payload);
  const decoder = createDecoder(kind, settings(null));

  it('reads its format', () => {
    const found = decode(decoder, good, topic);
    expect(found.rejects).toEqual([]);
    expect(found.readings).toEqual([{ field, value, timeMs: null, unit: null }]);
  });

  it('selects what it reads', () => {
    expect(decoder.selects(field)).toBe(true);
    const named = createDecoder(kind, settings([field.split('/').at(-1) as string]));
    expect(decode(named, good, topic).readings.map((reading) => named.selects(reading.field))).toEqual([
      true,
    ]);
  });

  it('reads the same again: no message changes how the next is read', () => {
    decode(decoder, '{"broken', topic);
    expect(decode(decoder, good, topic).readings).toEqual([{ field, value, timeMs: null, unit: null }]);
  });

  it('reads a plain Uint8Array, also one that is a window on a larger buffer', () => {
    const bytes = Buffer.from(good);
    const larger = new Uint8Array(bytes.length + 8);
    larger.set(bytes, 3);
    expect(decode(decoder, larger.subarray(3, 3 + bytes.length), topic).readings).toHaveLength(1);
  });

  it.each(HOSTILE)('answers %j with typed rejects, and not with a throw', (payload) => {
    const { readings, rejects } = decode(decoder, payload, topic);
    for (const reading of readings) expect(Number.isFinite(reading.value)).toBe(true);
    for (const { reason, detail } of rejects) {
      expect(REJECTS).toHaveProperty([reason]);
      expect(detail.length).toBeLessThan(400);
    }
    // Nothing is lost without a word.
    if (kind !== 'sparkplug') expect(readings.length + rejects.length).toBeGreaterThan(0);
  });
});
