/** Each device family: payloads as its devices send them -> suggested rules -> the right streams, and nothing refused. */
import { describe, expect, it } from 'vitest';
import { createRouter } from '../../../src/config/resolve.ts';
import { CASES } from './families.ts';
import { bytes, suggested } from './heard.ts';

describe('a device family', () => {
  for (const [name, { messages, everyMs, matches, streams }] of Object.entries(CASES))
    it(name, () => {
      const found = suggested(messages, everyMs);
      expect(found.streams).toEqual(streams);
      expect(found.config.streams.map(({ match }) => match).sort()).toEqual([...matches].sort());
      expect(found.rejects).toEqual([]);
    });

  it('has the streams of one physical device together', () => {
    const devices = (name: string) => {
      const { messages, everyMs } = CASES[name] ?? { messages: () => [] };
      const { config } = suggested(messages, everyMs);
      const router = createRouter(config);
      const found = messages(0, Date.UTC(2025, 0, 1)).flatMap(
        ([topic, payload]) => router.message(topic, bytes(payload), Date.UTC(2025, 0, 1)).discovered,
      );
      return [...new Set(found.map(({ spec }) => spec.device))].sort();
    };
    expect(devices('Victron')).toEqual([
      'c0619ab1/battery/512',
      'c0619ab1/solarcharger/289',
      'c0619ab1/system/0',
      'c0619ab1/tank/20',
    ]);
    expect(devices('Tasmota')).toEqual(['double', 'plug1', 'weather']);
    expect(devices('Shelly, second generation')).toEqual([
      'ht',
      'only-rpc',
      'shellyplus1pm-a',
      'shellypro3em-b',
    ]);
  });

  it('is distinguished from the others on one broker', () => {
    const together = suggested((at, nowMs) =>
      Object.values(CASES).flatMap(({ messages }) => messages(at, nowMs)),
    );
    const wanted = Object.entries(CASES).flatMap(([family, { streams }]) =>
      // The radio gateway hears one of these sensors as well.
      Object.keys(streams).map((stream) => (family === 'rtl_433' ? `rtl_433/${stream}` : stream)),
    );
    expect(Object.keys(together.streams).sort()).toEqual(wanted.sort());
    expect(together.rejects).toEqual([]);
  });
});
