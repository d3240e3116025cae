import { describe, expect, test } from 'vitest';
import { Clears } from '../../src/agent/clears.ts';
import type { Outgoing } from '../../src/mqtt/outbox.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';

describe('removals of retained messages', () => {
  const clear = (topic: string): Outgoing => ({ topic, payload: '', qos: 1, retain: true });
  const setUp = (store = new MemoryStore()) => {
    const clock = new FakeClock();
    const status = { connected: false, outbox: 0 };
    const sent: Outgoing[] = [];
    const clears = new Clears({ clock, store, publish: (m) => sent.push(m), status: () => status });
    return { store, clock, status, sent, clears };
  };
  const afterwards = (store: MemoryStore) => {
    const { clears, sent } = setUp(store);
    clears.connected();
    return sent;
  };

  test('are repeated by the next run if the broker has not taken them', async () => {
    const { store, clears } = setUp();
    for (const topic of ['g/n/forecast/a', 'g/n/score/a']) clears.sent(clear(topic));
    clears.sent({ topic: 'g/n/forecast/b', payload: '{}', qos: 1, retain: true });
    clears.sent({ ...clear('g/n/anomaly/a'), retain: false });
    await Promise.resolve();
    expect(afterwards(store)).toEqual([clear('g/n/forecast/a'), clear('g/n/score/a')]);
  });

  test('end when the broker has taken them', async () => {
    const { store, clears, status, clock } = setUp();
    clears.sent(clear('g/n/score/a'));
    await Promise.resolve();
    Object.assign(status, { connected: true, outbox: 1 });
    clears.connected();
    clock.advance(60_000);
    expect(afterwards(store)).toEqual([clear('g/n/score/a')]);
    status.outbox = 0;
    clock.advance(60_000);
    expect(afterwards(store)).toEqual([]);
  });

  test('are void once the topic has a message again', async () => {
    const { store, clears } = setUp();
    clears.sent(clear('g/n/score/a'));
    await Promise.resolve();
    clears.sent({ topic: 'g/n/score/a', payload: '{}', qos: 1, retain: true });
    await Promise.resolve();
    expect(afterwards(store)).toEqual([]);
  });

  test.each(['nonsense', '{}', '[1, null, "a/#", ""]'])('ignore a damaged list: %s', (text) => {
    const store = new MemoryStore();
    store.setMeta('agent.clears', text);
    expect(afterwards(store)).toEqual([]);
  });
});
