/** Rules with the same `match` never take readings from each other, and together they read the payload. */
import { describe, expect, it } from 'vitest';
import { createRouter } from '../../../src/config/index.ts';
import { CASES } from './families.ts';
import { bytes, type Heard, START_MS, type Suggested, suggested } from './heard.ts';

const EVERY_MS = 60_000;

type Messages = (at: number, nowMs: number) => readonly Heard[];

/** The readings of a config, as `stream time value`. */
function readings(config: Suggested['config'], messages: Messages): string[] {
  const router = createRouter(config);
  const found: string[] = [];
  for (let at = 0; at < 3; at += 1) {
    const nowMs = START_MS + at * EVERY_MS;
    for (const [topic, payload] of messages(at, nowMs))
      for (const { stream, value, timeMs } of router.message(topic, bytes(payload), nowMs).samples)
        found.push(`${stream} ${timeMs ?? 'now'} ${value}`);
  }
  return found;
}

/** The number of readings of all rules together, and of each rule alone. */
function counts({ config }: Suggested, messages: Messages): { together: number; alone: number } {
  let [together, alone] = [0, 0];
  for (const match of new Set(config.streams.map((rule) => rule.match))) {
    const rules = config.streams.filter((rule) => rule.match === match);
    together += readings({ ...config, streams: rules }, messages).length;
    for (const rule of rules) alone += readings({ ...config, streams: [rule] }, messages).length;
  }
  return { together, alone };
}

describe('suggested rules with the same match', () => {
  it.each(Object.entries(CASES))('lose no reading of %s', (_, { messages, everyMs }) => {
    const { together, alone } = counts(suggested(messages, everyMs), messages);
    expect(together).toBe(alone);
    expect(together).toBeGreaterThan(0);
  });

  const list = (nowMs: number, wrap: (value: number) => object | number, first: number): object[] =>
    [2, 1].map((ago) => ({ ts: nowMs - ago * 10_000, ...(wrap(first + ago) as object) }));
  const climate = (t: number): object => ({ temperature: t, humidity: 2 * t });
  const values = (t: number): object => ({ values: climate(t) });
  const text = (v: number): object => ({ value: String(v) });
  const SHAPES: readonly [
    name: string,
    payload: (at: number, nowMs: number) => object,
    perMessage: number,
    streams: readonly string[],
  ][] = [
    [
      'telemetry of a ThingsBoard gateway',
      (at, now) => ({ 'Device A': list(now, values, 20 + at), 'Sensor 1.5': list(now, values, 10 + at) }),
      8,
      ['Device A/temperature', 'Device A/humidity', 'Sensor 1.5/temperature', 'Sensor 1.5/humidity'],
    ],
    [
      'devices of which one has fewer fields',
      (at, now) => ({
        a: list(now, climate, 20 + at),
        b: list(now, (temperature) => ({ temperature }), 10 + at),
      }),
      6,
      ['a/temperature', 'a/humidity', 'b/temperature'],
    ],
    [
      'devices below a member, beside other readings',
      (at, now) => ({ flow: 3 + at, data: { a: list(now, climate, 20), b: list(now, climate, 10) } }),
      9,
      ['gw/x/flow', 'a/temperature', 'a/humidity', 'b/temperature', 'b/humidity'],
    ],
    [
      'devices whose names are quantities',
      (_, now) => ({
        'temperature north': list(now, climate, 20),
        'temperature south': list(now, climate, 10),
      }),
      8,
      [
        'temperature north/temperature',
        'temperature north/humidity',
        'temperature south/temperature',
        'temperature south/humidity',
      ],
    ],
    [
      'quantities with a list each, in quotes',
      (at, now) => ({ temperature: list(now, text, 20 + at), humidity: list(now, text, 40 + at) }),
      4,
      ['gw/x/temperature.value', 'gw/x/humidity.value'],
    ],
    [
      'lists below different members',
      (_, now) => ({ one: { log: list(now, climate, 20) }, two: { log: list(now, climate, 10) } }),
      8,
      [],
    ],
    [
      'devices below different members',
      (_, now) => ({
        one: { a: list(now, climate, 20), b: list(now, climate, 10) },
        two: { a: list(now, climate, 15) },
      }),
      12,
      [],
    ],
    [
      'columns of several devices',
      (_, now) => ({
        a: { ts: [now - 2000, now - 1000], temperature: [20, 21] },
        b: { ts: [now - 2000, now - 1000], temperature: [10, 11] },
      }),
      4,
      ['a/temperature', 'b/temperature'],
    ],
    [
      'lists without a common field',
      (_, now) => ({
        fast: list(now, (current) => ({ current }), 3),
        slow: list(now, (pressure) => ({ pressure }), 900),
      }),
      4,
      [],
    ],
  ];
  it.each(SHAPES)('lose no reading of %s', (_, payload, perMessage, streams) => {
    const messages: Messages = (at, nowMs) => [['gw/x', payload(at, nowMs)]];
    const found = suggested(messages, EVERY_MS);
    const all = readings(found.config, messages);
    expect(found.rejects).toEqual([]);
    expect(new Set(all).size).toBe(3 * perMessage);
    expect(all.length).toBe(3 * perMessage);
    const { together, alone } = counts(found, messages);
    expect(together).toBe(alone);
    if (streams.length > 0) expect(Object.keys(found.streams).sort()).toEqual([...streams].sort());
  });

  it('read a device that was not heard before, and report a time that is none', () => {
    const payload = (key: string, ts: unknown) => ({ [key]: [{ ts, values: { temperature: 20 } }] });
    const { config } = suggested((_, now) => [
      ['v1/gateway/telemetry', { ...payload('a', now), ...payload('b', now) }],
    ]);
    expect(config.streams).toHaveLength(1);
    const router = createRouter(config);
    const sent = { ...payload('new', START_MS), ...payload('broken', 'yesterday') };
    const { samples, rejects, discovered } = router.message('v1/gateway/telemetry', bytes(sent), START_MS);
    expect(samples.map(({ stream, timeMs }) => [stream, timeMs])).toEqual([['new/temperature', START_MS]]);
    expect(discovered.map(({ spec }) => [spec.device, spec.unit])).toEqual([['new', '°C']]);
    expect(rejects).toEqual([{ reason: 'bad-time', detail: 'broken.0 has no time' }]);
  });
});
