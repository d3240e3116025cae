import { expect, test, vi } from 'vitest';
import type { Outgoing } from '../../../src/mqtt/outbox.ts';
import { topicsOf } from '../../../src/mqtt/topics.ts';
import { Discovery } from '../../../src/outputs/home-assistant/discovery.ts';
import { type AnnouncedSpec, HomeAssistant } from '../../../src/outputs/home-assistant/home-assistant.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryStore } from '../../support/memory-store.ts';

const stream = (name: string, thresholds: string[] = []): AnnouncedSpec => ({
  name,
  unit: null,
  thresholds: thresholds.map((threshold) => ({ name: threshold, side: 'above', value: 1 })),
});

const publish = { discovery_prefix: 'homeassistant', quantiles: [0.5 as const], at: [] as number[] };

function setUp(streams: AnnouncedSpec[], store = new MemoryStore()) {
  const state = { streams, enabled: true };
  const sent: Outgoing[] = [];
  const clock = new FakeClock();
  const output = new HomeAssistant({
    config: () => ({ base: 'gatecast', node: 'n', publish: { ...publish, home_assistant: state.enabled } }),
    version: '1',
    topics: topicsOf('gatecast', 'n'),
    streams: () => state.streams,
    send: (message) => sent.push(message),
    store,
    clock,
  });
  const home = new Discovery({
    prefix: 'homeassistant',
    base: 'gatecast',
    node: 'n',
    version: '1',
    topics: topicsOf('gatecast', 'n'),
    settings: () => publish,
  });
  const topicOf = (name: string) => home.gone(name).topic;
  const gone = () => sent.filter(({ payload }) => payload === '').map(({ topic }) => topic);
  return { output, sent, clock, state, store, topicOf, gone };
}

test('all streams are announced, a few at a time, and again when asked', () => {
  const { output, sent, clock } = setUp(Array.from({ length: 60 }, (_, i) => stream(`s${i}`)));
  output.connected();
  expect(sent.length).toBe(26);
  clock.advance(1000);
  expect(new Set(sent.map(({ topic }) => topic)).size).toBe(61);
  output.connected();
  clock.advance(1000);
  expect(sent.length).toBe(122);
});

test('new streams are gathered; a forgotten one is taken back at once', () => {
  const { output, sent, clock, topicOf, gone } = setUp([stream('a')]);
  output.connected();
  output.streams([stream('b')]);
  output.streams([stream('c')]);
  expect(sent.length).toBe(2);
  clock.advance(100);
  expect(sent.length).toBe(4);
  output.forget('b');
  output.forget('never heard of');
  expect(gone()).toEqual([topicOf('b')]);
});

test('what a former run announced and is no more is taken back', () => {
  const first = setUp([stream('a', ['hot']), stream('b')]);
  first.output.connected();
  first.output.stop();
  const second = setUp([stream('a')], first.store);
  second.output.connected();
  expect(second.gone()).toEqual([second.topicOf('b')]);
  const { cmps } = JSON.parse(
    String(second.sent.find(({ topic }) => topic === second.topicOf('a'))!.payload),
  );
  expect(cmps.when_hot).toEqual({ p: 'sensor' });
});

test('switched off, everything is taken back once, and nothing announced', () => {
  const { output, sent, state, clock } = setUp([stream('a')]);
  output.connected();
  state.enabled = false;
  sent.length = 0;
  output.connected();
  expect(sent.map(({ payload }) => payload)).toEqual(['', '']);
  output.connected();
  output.streams([stream('x')]);
  clock.advance(1000);
  expect(sent.length).toBe(2);
});

test('damaged memory is no memory', () => {
  const store = new MemoryStore();
  store.setMeta('agent.home-assistant', '[["a",1],5,["b",["next"]]]');
  const { output, gone, topicOf } = setUp([], store);
  output.connected();
  expect(gone()).toEqual([topicOf('b')]);
});

test('taking back many writes the memory once', () => {
  const { output, clock, state, store, gone } = setUp(Array.from({ length: 200 }, (_, i) => stream(`s${i}`)));
  output.connected();
  clock.advance(5000);
  const wrote = vi.spyOn(store, 'setMeta');
  state.enabled = false;
  output.connected();
  expect(gone().length).toBe(201);
  expect(wrote.mock.calls).toEqual([['agent.home-assistant', '[]']]);
});
