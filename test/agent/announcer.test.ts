import { expect, test, vi } from 'vitest';
import { type AnnouncedSpec, Announcer } from '../../src/agent/announcer.ts';
import { HomeAssistant } from '../../src/mqtt/home-assistant.ts';
import type { Outgoing } from '../../src/mqtt/outbox.ts';
import { topicsOf } from '../../src/mqtt/topics.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';

const stream = (name: string, thresholds: string[] = []): AnnouncedSpec => ({
  name,
  unit: null,
  thresholds: thresholds.map((threshold) => ({ name: threshold, side: 'above', value: 1 })),
});

function setUp(streams: AnnouncedSpec[], store = new MemoryStore()) {
  const state = { streams, enabled: true };
  const sent: Outgoing[] = [];
  const clock = new FakeClock();
  const home = new HomeAssistant({
    prefix: 'homeassistant',
    base: 'gatecast',
    node: 'n',
    version: '1',
    topics: topicsOf('gatecast', 'n'),
    settings: () => ({ quantiles: [0.5], atMs: [] }),
  });
  const announcer = new Announcer({
    home,
    enabled: () => state.enabled,
    streams: () => state.streams,
    send: (message) => sent.push(message),
    store,
    clock,
  });
  const topicOf = (name: string) => home.gone(name).topic;
  const gone = () => sent.filter(({ payload }) => payload === '').map(({ topic }) => topic);
  return { announcer, sent, clock, state, store, topicOf, gone };
}

test('all streams are announced, a few at a time, and again when asked', () => {
  const { announcer, sent, clock } = setUp(Array.from({ length: 60 }, (_, i) => stream(`s${i}`)));
  announcer.announce();
  expect(sent.length).toBe(26);
  clock.advance(1000);
  expect(new Set(sent.map(({ topic }) => topic)).size).toBe(61);
  announcer.announce();
  clock.advance(1000);
  expect(sent.length).toBe(122);
});

test('new streams are gathered; a forgotten one is taken back at once', () => {
  const { announcer, sent, clock, topicOf, gone } = setUp([stream('a')]);
  announcer.announce();
  announcer.add([stream('b')]);
  announcer.add([stream('c')]);
  expect(sent.length).toBe(2);
  clock.advance(100);
  expect(sent.length).toBe(4);
  announcer.forget('b');
  announcer.forget('never heard of');
  expect(gone()).toEqual([topicOf('b')]);
});

test('what a former run announced and is no more is taken back', () => {
  const first = setUp([stream('a', ['hot']), stream('b')]);
  first.announcer.announce();
  first.announcer.stop();
  const second = setUp([stream('a')], first.store);
  second.announcer.announce();
  expect(second.gone()).toEqual([second.topicOf('b')]);
  const { cmps } = JSON.parse(
    String(second.sent.find(({ topic }) => topic === second.topicOf('a'))!.payload),
  );
  expect(cmps.when_hot).toEqual({ p: 'sensor' });
});

test('switched off, everything is taken back once, and nothing announced', () => {
  const { announcer, sent, state, clock } = setUp([stream('a')]);
  announcer.announce();
  state.enabled = false;
  sent.length = 0;
  announcer.announce();
  expect(sent.map(({ payload }) => payload)).toEqual(['', '']);
  announcer.announce();
  announcer.add([stream('x')]);
  clock.advance(1000);
  expect(sent.length).toBe(2);
});

test('damaged memory is no memory', () => {
  const store = new MemoryStore();
  store.setMeta('agent.home-assistant', '[["a",1],5,["b",["next"]]]');
  const { announcer, gone, topicOf } = setUp([], store);
  announcer.announce();
  expect(gone()).toEqual([topicOf('b')]);
});

test('taking back many writes the memory once', () => {
  const { announcer, clock, state, store, gone } = setUp(
    Array.from({ length: 200 }, (_, i) => stream(`s${i}`)),
  );
  announcer.announce();
  clock.advance(5000);
  const wrote = vi.spyOn(store, 'setMeta');
  state.enabled = false;
  announcer.announce();
  expect(gone().length).toBe(201);
  expect(wrote.mock.calls).toEqual([['agent.home-assistant', '[]']]);
});
