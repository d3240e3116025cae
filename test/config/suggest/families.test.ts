/** Each device family: payloads as its devices send them -> suggested rules -> the right streams, and nothing refused. */
import { describe, expect, it } from 'vitest';
import { CASES } from './families.ts';
import { suggested } from './heard.ts';

describe('a device family', () => {
  for (const [name, { messages, everyMs, matches, streams }] of Object.entries(CASES))
    it(name, () => {
      const found = suggested(messages, everyMs);
      expect(found.streams).toEqual(streams);
      expect(found.config.streams.map(({ match }) => match).sort()).toEqual([...matches].sort());
      expect(found.rejects).toEqual([]);
    });

  it('is told apart from the others on one broker', () => {
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
