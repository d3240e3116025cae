/**
 * The configs that are suggested for each family, met by what its devices send on a bad day: a damaged member, single quotes,
 * a NUL, repeats, retained messages, a list that lacks its first device. What is whole is read, with the same value, name and time.
 */
import { describe, expect, it } from 'vitest';
import { createRouter } from '../../../src/config/index.ts';
import { CASES } from './families.ts';
import { bytes, type Heard, START_MS, suggested } from './heard.ts';

type Reading = readonly [stream: string, value: number];

function read(
  router: ReturnType<typeof createRouter>,
  topic: string,
  payload: Buffer,
  atMs = START_MS,
): Reading[] {
  return router
    .message(topic, payload, atMs)
    .samples.map(({ stream, value }): Reading => [stream, value])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

const isJson = (payload: Heard[1]): payload is object =>
  typeof payload === 'object' && !Buffer.isBuffer(payload);
/** Replaces the first number of a JSON text that is a reading of the config by a word. */
function damaged(text: string, key: string, word: string): string {
  return text.replace(
    new RegExp(`("${key.replaceAll(/[.*+?^$(){}|[\]\\]/g, '\\$&')}":)-?\\d+(?:\\.\\d+)?`),
    `$1${word}`,
  );
}

describe.each(Object.entries(CASES))('%s on a bad day', (_family, { messages, everyMs }) => {
  const found = suggested(messages, everyMs);
  const fresh = () => createRouter(found.config);
  /** Messages that give readings, with those. */
  const good = messages(1, START_MS).flatMap(([topic, payload]) => {
    const readings = read(fresh(), topic, bytes(payload));
    return readings.length > 0 ? [{ topic, payload, readings }] : [];
  });

  it('has readings to damage', () => {
    expect(good.length).toBeGreaterThan(0);
  });

  it('reads the same behind a byte order mark, with a NUL, blanks or a newline at the end', () => {
    for (const { topic, payload, readings } of good) {
      if (Buffer.isBuffer(payload)) continue;
      for (const tail of ['\0', '\n', '\r\n', '  ', '\0\0\0'])
        expect([topic, read(fresh(), topic, Buffer.concat([bytes(payload), Buffer.from(tail)]))]).toEqual([
          topic,
          readings,
        ]);
      expect(read(fresh(), topic, Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), bytes(payload)]))).toEqual(
        readings,
      );
    }
  });

  it('reads the same in single quotes, and with a comma too many', () => {
    for (const { topic, payload, readings } of good) {
      if (!isJson(payload)) continue;
      const text = JSON.stringify(payload);
      for (const other of [text.replaceAll('"', "'"), text.replaceAll(/\}/g, ',}')])
        expect([topic, read(fresh(), topic, Buffer.from(other))]).toEqual([topic, readings]);
    }
  });

  it('drops only the member that is no number', () => {
    for (const { topic, payload, readings } of good) {
      if (!isJson(payload) || readings.length < 2) continue;
      const text = JSON.stringify(payload);
      for (const [stream] of readings) {
        const key = stream.split(/[/.]/).at(-1) ?? '';
        for (const word of ['nan', 'NaN', 'inf', '-Infinity', 'null', '1e400']) {
          const broken = damaged(text, key, word);
          if (broken === text || text.split(`"${key}":`).length !== 2) continue;
          const left = read(fresh(), topic, Buffer.from(broken));
          expect([topic, word, left]).toEqual([topic, word, readings.filter(([other]) => other !== stream)]);
        }
      }
    }
  });

  it('does not misread plain numbers', () => {
    for (const { topic, payload } of good) {
      if (typeof payload !== 'string') continue;
      for (const word of [
        'nan',
        'inf',
        'unavailable',
        'unknown',
        '--',
        '0C0FFA6D3C254F2D',
        '00158d0001a2b3c4',
        '2nd stage',
        '',
      ])
        expect([topic, word, read(fresh(), topic, Buffer.from(word))]).toEqual([topic, word, []]);
    }
  });

  it('gives retained messages no stream before a live one comes', () => {
    const router = fresh();
    for (const { topic, payload } of good) {
      const routed = router.message(topic, bytes(payload), START_MS, true);
      expect([routed.samples, routed.discovered]).toEqual([[], []]);
    }
    expect(router.stats().streams).toBe(0);
    for (const { topic, payload, readings } of good) {
      const live = router.message(topic, bytes(payload), START_MS).samples;
      expect(live.length).toBeGreaterThanOrEqual(readings.length);
    }
  });

  it('keeps the streams apart in any order, and the same after a restart', () => {
    const [forward, backward, after] = [fresh(), fresh(), fresh()];
    for (const { topic, payload } of good) forward.message(topic, bytes(payload), START_MS);
    const adopted = [...good]
      .reverse()
      .flatMap(({ topic, payload }) => backward.message(topic, bytes(payload), START_MS).discovered);
    for (const { source, spec } of adopted) expect(after.adopt(source)?.spec).toEqual(spec);
    expect(backward.stats().streams).toBe(forward.stats().streams);
    for (const { topic, payload, readings } of good)
      expect(read(after, topic, bytes(payload))).toEqual(readings);
  });
});

describe('one topic with several devices', () => {
  it('gives a device its own stream also when others are missing from the list', () => {
    const list = (names: readonly string[]) => ({
      meters: names.map((meter, n) => ({ meter, energy_total: 100 * n + 7, voltage: 230 + n })),
    });
    const { config } = suggested(() => [['plant/meters', list(['A', 'B', 'C'])]]);
    const router = createRouter(config);
    const streams = (names: readonly string[]) =>
      read(router, 'plant/meters', bytes(list(names))).map(([stream]) => stream);
    expect(streams(['A', 'B', 'C'])).toHaveLength(6);
    expect(streams(['B', 'C'])).toEqual(streams(['C', 'B']));
    expect(streams(['C']).every((stream) => stream.includes('.C.'))).toBe(true);
  });

  it('takes a unit whose bytes are no UTF-8', () => {
    const { config } = suggested(() => [['hall/probe', { temperature: '21.5 °C' }]]);
    const latin = Buffer.from('{"temperature":"22.5 \xb0C"}', 'latin1');
    expect(read(createRouter(config), 'hall/probe', latin)).toEqual([['hall/probe/temperature', 22.5]]);
  });
});
