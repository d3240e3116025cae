import { expect, test, vi } from 'vitest';
import { validateConfig } from '../../../src/config/index.ts';
import type { Forecast } from '../../../src/forecast/forecast.ts';
import type { Outgoing } from '../../../src/mqtt/outbox.ts';
import { topicsOf } from '../../../src/mqtt/topics.ts';
import type { AnnouncedSpec } from '../../../src/outputs/home-assistant/entities.ts';
import { HomeAssistant } from '../../../src/outputs/home-assistant/home-assistant.ts';
import { Q } from '../../../src/quantiles.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { plainForecast } from '../../support/forecasts.ts';
import { MemoryStore } from '../../support/memory-store.ts';

const stream = (name: string, device = name, thresholds: string[] = []): AnnouncedSpec => ({
  name,
  device,
  unit: null,
  thresholds: thresholds.map((threshold) => ({ name: threshold, side: 'above', value: 1 })),
});

const forecastOf = (name: string, change: Partial<Forecast> = {}): Forecast =>
  plainForecast(name, {
    quantiles: Float64Array.from({ length: 2 * Q }, (_, i) => i + 0.123_456),
    ...change,
  });

function setUp(streams: AnnouncedSpec[], store = new MemoryStore(), mostBytes = Number.POSITIVE_INFINITY) {
  const configOf = (more: Record<string, unknown> = {}) =>
    validateConfig({ node: 'n', mqtt: { url: 'mqtt://b' }, streams: [{ match: 'a' }], ...more });
  const state = { streams, config: configOf(), mostBytes };
  const sent: Outgoing[] = [];
  const clock = new FakeClock();
  const output = new HomeAssistant({
    config: () => state.config,
    version: '1',
    topics: topicsOf('gatecast', 'n'),
    streams: () => state.streams,
    send: (message) => sent.push(message),
    store,
    clock,
    group: 'default',
    maxMessageBytes: () => state.mostBytes,
  });
  const configs = () => sent.filter(({ topic }) => topic.endsWith('/config'));
  const gone = () => configs().flatMap(({ topic, payload }) => (payload === '' ? [topic] : []));
  const summaries = () => sent.filter(({ topic }) => topic.includes('/summary/'));
  const topicOf = (id: string) => `homeassistant/device/gatecast_gatecast_n_${id}/config`;
  const last = (id: string) =>
    JSON.parse(String(configs().findLast(({ topic }) => topic === topicOf(id))?.payload ?? '{}')) as {
      cmps: Record<string, Record<string, unknown>>;
    };
  return { output, sent, clock, state, store, configs, gone, summaries, topicOf, last, configOf };
}

const AGENT = 'homeassistant/device/gatecast_gatecast_n/config';

test('all devices are announced, a few at a time, and again when asked', () => {
  const { output, clock, configs } = setUp(Array.from({ length: 60 }, (_, i) => stream(`s${i}`)));
  output.connected();
  expect(configs().length).toBe(25);
  clock.advance(1000);
  expect(new Set(configs().map(({ topic }) => topic)).size).toBe(61);
  output.connected();
  clock.advance(1000);
  expect(configs().length).toBe(122);
});

test('the streams of a device are one message; of many streams, several of the same device', () => {
  const names = Array.from({ length: 60 }, (_, i) => `plc/v${i}`);
  const { output, clock, configs } = setUp([
    ...names.map((name) => stream(name, 'plc')),
    stream('pump/a', 'pump'),
    stream('pump/b', 'pump'),
  ]);
  output.connected();
  clock.advance(1000);
  const topics = configs().map(({ topic }) => topic);
  expect(topics.length).toBe(new Set(topics).size);
  expect(topics.filter((topic) => topic.includes('_device_plc')).length).toBe(3);
  expect(topics.filter((topic) => topic.includes('_device_pump')).length).toBe(1);
  const plc = configs().filter(({ topic }) => topic.includes('_device_plc'));
  const parsed = plc.map(({ payload }) => JSON.parse(String(payload)));
  expect(new Set(parsed.map(({ dev }) => JSON.stringify(dev))).size).toBe(1);
  const ids = parsed.flatMap(({ cmps }) => Object.keys(cmps)).filter((id) => id.endsWith('_next'));
  expect(new Set(ids).size).toBe(60);
});

test('new streams are gathered; a forgotten one is taken back at once', () => {
  const { output, clock, configs, topicOf, gone, sent, last } = setUp([stream('a')]);
  output.connected();
  output.streams([stream('b')]);
  output.streams([stream('c/x', 'c'), stream('c/y', 'c')]);
  expect(configs().length).toBe(2);
  clock.advance(100);
  expect(configs().length).toBe(4);
  output.forget('b');
  output.forget('never heard of');
  expect(gone()).toEqual([topicOf('device_b')]);
  expect(sent.findLast(({ topic }) => topic === 'gatecast/n/summary/b')?.payload).toBe('');
  // Its device has another stream.
  output.forget('c/x');
  expect(gone()).toEqual([topicOf('device_b')]);
  const { cmps } = last('device_c');
  const bare = Object.entries(cmps).filter(([, component]) => Object.keys(component).length === 1);
  expect(bare.length).toBe(Object.keys(cmps).length / 2);
  expect(bare.every(([id]) => id.startsWith('c_x_'))).toBe(true);
});

test('what a former run announced and is no more is taken back', () => {
  const first = setUp([stream('a', 'a', ['hot']), stream('b'), stream('c/x', 'c'), stream('c/y', 'c')]);
  first.output.connected();
  first.output.stop();
  const second = setUp([stream('a'), stream('c/y', 'c')], first.store);
  second.output.forget('b');
  second.output.connected();
  second.clock.advance(1000);
  expect(second.gone()).toEqual([second.topicOf('device_b')]);
  const bare = (id: string) =>
    Object.entries(second.last(id).cmps).flatMap(([key, one]) =>
      Object.keys(one).length === 1 ? [key] : [],
    );
  expect(bare('device_a')).toEqual(['a_when_hot', 'a_probability_hot']);
  expect(bare('device_c').every((key) => key.startsWith('c_x_'))).toBe(true);
});

test('what versions with a device for each stream announced is taken back before the same entities come again', () => {
  const store = new MemoryStore();
  store.setMeta('agent.home-assistant', '[["c/x",["next"]],["b",["next","when_hot"]]]');
  const { output, clock, gone, configs, topicOf } = setUp([stream('c/x', 'c')], store);
  output.connected();
  expect(gone().length).toBe(2);
  expect(gone()).toContain(topicOf('b'));
  expect(configs().length).toBe(2);
  clock.advance(100);
  expect(configs().map(({ topic }) => topic)).toContain(topicOf('device_c'));
});

test('a stream that goes over to another device leaves the first before it comes to the second', () => {
  const first = setUp([stream('x/a', 'x'), stream('x/b', 'x')]);
  first.output.connected();
  first.output.stop();
  const { output, configs, topicOf, clock } = setUp([stream('x/a', 'y'), stream('x/b', 'x')], first.store);
  output.connected();
  expect(configs().map(({ topic }) => topic)).toEqual([topicOf('device_x')]);
  clock.advance(100);
  expect(configs().map(({ topic }) => topic)).toEqual([topicOf('device_x'), AGENT, topicOf('device_y')]);
});

test('switched off, everything is taken back once, and nothing announced', () => {
  const { output, sent, state, clock, configOf } = setUp([stream('a')]);
  output.connected();
  state.config = configOf({ publish: { home_assistant: false } });
  sent.length = 0;
  output.connected();
  expect(sent.every(({ payload, retain }) => payload === '' && retain)).toBe(true);
  expect(sent.map(({ topic }) => topic).sort()).toEqual([
    'gatecast/n/alerts',
    'gatecast/n/summary/a',
    AGENT,
    'homeassistant/device/gatecast_gatecast_n_device_a/config',
  ]);
  output.connected();
  output.streams([stream('x')]);
  output.forecast(forecastOf('a'));
  output.alert('store', { severity: 'error', text: 'x', sinceMs: 0 });
  clock.advance(1000);
  expect(sent.length).toBe(4);
});

test('settings that entities depend on are announced again; others are not', async () => {
  const { output, state, configs, clock, configOf, last } = setUp([stream('a')]);
  output.connected();
  clock.advance(1000);
  const change = async (more: Record<string, unknown>) => {
    const next = configOf(more);
    const found = output.prepare(next, state.config);
    state.config = next;
    const before = configs().length;
    await found?.settle?.();
    clock.advance(1000);
    return configs().length - before;
  };
  expect(await change({ store: { retention: '3d' } })).toBe(0);
  expect(await change({ home_assistant: { leads: ['2h'], attributes: 'none' } })).toBe(2);
  expect(last('device_a').cmps.a_in_2h).toBeDefined();
  expect(last('device_a').cmps.a_in_1h).toEqual({ p: 'sensor' });
  expect(await change({ requests: { allow: [] } })).toBe(2);
});

test('summaries: rounded, paced, with the anomaly of their bucket, and the newest after an outage', () => {
  const { output, clock, summaries, state, configOf } = setUp([{ ...stream('a'), unit: '°C' }]);
  const texts = () => summaries().map(({ payload }) => JSON.parse(String(payload)));
  output.forecast(forecastOf('a', { originMs: 1 }));
  output.forecast(forecastOf('a', { originMs: 2 }));
  expect(summaries()).toEqual([]);
  output.connected();
  clock.advance(1000);
  expect(texts().map(({ origin }) => origin)).toEqual(['1970-01-01T00:00:00.002Z']);
  expect(summaries()[0]).toMatchObject({ topic: 'gatecast/n/summary/a', retain: true, qos: 1 });
  output.anomaly('a');
  output.forecast(forecastOf('a', { originMs: 3 }));
  output.forecast(forecastOf('a', { originMs: 4, quantiles: new Float64Array(2 * Q).fill(Number.NaN) }));
  output.forecast(forecastOf('a', { originMs: 5 }));
  expect(texts().map(({ anomaly }) => anomaly)).toEqual(['OFF', 'ON', 'OFF']);
  expect(texts()[0]).toMatchObject({
    state: 'online',
    median: { next: 4.1, '1h': null },
    range: { next: { p10: 0.1, p90: 8.1 }, '1h': {} },
  });
  state.config = configOf({ publish: { every: '1m' } });
  output.forecast(forecastOf('a', { originMs: 6 }));
  expect(texts()).toHaveLength(3);
});

test('alerts are listed without their texts, or counted, if the broker takes no more', () => {
  const alertsWith = (mostBytes: number) => {
    const { output, sent } = setUp([], undefined, mostBytes);
    output.connected();
    output.alert('store', { severity: 'error', text: 'disk', sinceMs: 0 });
    output.alert('clock', { severity: 'error', text: 'x'.repeat(100), sinceMs: 0 });
    return JSON.parse(String(sent.filter(({ topic }) => topic === 'gatecast/n/alerts').at(-1)?.payload));
  };
  expect(alertsWith(1000).alerts).toHaveLength(2);
  expect(alertsWith(1000).alerts[1].text).toHaveLength(100);
  expect(alertsWith(100)).toEqual({ count: 2, alerts: [{ id: 'store' }, { id: 'clock' }] });
  expect(alertsWith(50)).toEqual({ count: 2, alerts: [] });
});

test('alerts that hold are one message, also when there are none', () => {
  const { output, sent } = setUp([]);
  const alerts = () =>
    sent
      .filter(({ topic }) => topic === 'gatecast/n/alerts')
      .map(({ payload }) => JSON.parse(String(payload)));
  output.connected();
  output.alert('store', { severity: 'error', text: 'disk', sinceMs: 0 });
  output.alert('store', null);
  output.alert('never raised', null);
  expect(alerts()).toEqual([
    { count: 0, alerts: [] },
    {
      count: 1,
      alerts: [{ id: 'store', severity: 'error', text: 'disk', since: '1970-01-01T00:00:00.000Z' }],
    },
    { count: 0, alerts: [] },
  ]);
});

test('damaged memory is no memory', () => {
  const store = new MemoryStore();
  store.setMeta('agent.home-assistant', '[["a",1],5,["b",["next"]],["c",[["d",[1]]]]]');
  const { output, gone, topicOf } = setUp([], store);
  output.connected();
  expect(gone()).toContain(topicOf('b'));
});

test('taking back many writes the memory once', () => {
  const streams = Array.from({ length: 200 }, (_, i) => stream(`s${i}`));
  const { output, clock, state, store, gone, configOf } = setUp(streams);
  output.connected();
  clock.advance(5000);
  const wrote = vi.spyOn(store, 'setMeta');
  state.config = configOf({ publish: { home_assistant: false } });
  output.connected();
  expect(gone().length).toBe(201);
  expect(wrote.mock.calls).toEqual([['agent.home-assistant', '[]']]);
});

test.each([[[20_000, 6000]], [[4200]]])(
  'no message is above the limits %s of the broker, and every entity is in one of them',
  (limits) => {
    const names = Array.from({ length: 30 }, (_, i) => `plc/the_long_name_of_a_sensor/v${i}`);
    const { output, clock, configs, state, last, gone } = setUp(names.map((name) => stream(name, 'plc')));
    const entities = () => {
      const newest = new Map(configs().map(({ topic, payload }) => [topic, String(payload)]));
      return [...newest.values()].flatMap((payload) =>
        payload === ''
          ? []
          : Object.entries((JSON.parse(payload) as ReturnType<typeof last>).cmps).flatMap(
              ([key, settings]) => ('unique_id' in settings ? [key] : []),
            ),
      );
    };
    output.connected();
    clock.advance(1000);
    const all = entities().sort();
    expect(new Set(all).size).toBe(all.length);
    // The limit is learnt after the devices were announced in messages above it.
    for (const mostBytes of limits) {
      state.mostBytes = mostBytes;
      const before = configs().length;
      output.connected();
      clock.advance(5000);
      for (const { topic, payload } of configs().slice(before))
        expect(topic.length + Buffer.byteLength(payload)).toBeLessThanOrEqual(mostBytes);
      expect(entities().sort()).toEqual(all);
      expect(output.dropped()).toEqual({});
    }
    // The list of the former components may be above the limit: then the former message is removed first.
    expect(gone().length).toBeGreaterThan(0);
    state.streams = [...state.streams, stream('plc/last', 'plc')];
    const before = configs().length;
    output.streams(state.streams.slice(-1));
    clock.advance(5000);
    for (const { topic, payload } of configs().slice(before))
      expect(topic.length + Buffer.byteLength(payload)).toBeLessThanOrEqual(state.mostBytes);
    const added = entities().filter((key) => !all.includes(key));
    expect(entities().length).toBe(all.length + added.length);
    expect(added.length).toBe((all.length - 8) / 30);
  },
);

test('a stream that fits in no message is announced with fewer entities; the others are counted and named', () => {
  const { output, clock, configs, last, state, topicOf } = setUp(
    [stream('s', 's', ['high', 'low'])],
    new MemoryStore(),
    2500,
  );
  output.connected();
  clock.advance(1000);
  expect(configs().length).toBe(2);
  for (const { topic, payload } of configs())
    expect(topic.length + Buffer.byteLength(payload)).toBeLessThanOrEqual(2500);
  expect(Object.keys(last('device_s').cmps)).toContain('s_next');
  const entities = () =>
    [topicOf('device_s'), AGENT].flatMap((topic) => {
      const { payload } = configs().findLast((message) => message.topic === topic) ?? {};
      return Object.keys((JSON.parse(String(payload)) as { cmps: object }).cmps);
    });
  const announced = entities();
  expect(output.limit()).toMatch(/^Home Assistant lacks entities that fit in no message of 2500 bytes: /);
  const named = (output.limit() ?? '').replace(/^.*: /, '').split(', ');
  expect(output.dropped()['home-assistant-entities']).toBe(named.length);
  for (const name of named) expect(announced).not.toContain(name);
  // With a broker that accepts more, all of them are announced.
  state.mostBytes = 100_000;
  output.connected();
  clock.advance(1000);
  expect(output.limit()).toBeNull();
  expect(entities().sort()).toEqual([...announced, ...named].sort());
});

test('with a broker that accepts no discovery message at all, none is sent, and the entities are named', () => {
  const { output, clock, configs } = setUp([stream('s')], new MemoryStore(), 300);
  output.connected();
  clock.advance(1000);
  expect(configs()).toEqual([]);
  expect(output.limit()).toMatch(/300 bytes: .* and \d+ more$/);
});
