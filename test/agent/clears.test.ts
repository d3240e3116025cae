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
    const warned: unknown[] = [];
    const log = { warn: (_: string, fields: unknown) => void warned.push(fields) };
    const clears = new Clears({ clock, store, log, publish: (m) => sent.push(m), status: () => status });
    return { store, clock, status, sent, clears, warned };
  };
  class UnreadStore extends MemoryStore {
    unread = true;
    failedReads = 0;
    override getMeta(key: string): string | null {
      if (!this.unread) return super.getMeta(key);
      this.failedReads++;
      return null;
    }
  }
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

  test('are not stored beyond 50,000 topics, which the log says', async () => {
    const { store, clears, warned } = setUp();
    for (let i = 0; i < 50_003; i++) clears.sent(clear(`g/n/score/${i}`));
    await Promise.resolve();
    expect(warned).toEqual([{ topics: 3 }]);
    const repeated = afterwards(store);
    expect(repeated).toHaveLength(50_000);
    expect(repeated[0]).toEqual(clear('g/n/score/3'));
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

  test('of an earlier run whose list can be read only later are made then, except of topics that have a message again', async () => {
    const store = new UnreadStore();
    store.setMeta('agent.clears', '["g/n/score/a","g/n/score/b"]');
    const { clears, sent, status, clock } = setUp(store);
    status.connected = true;
    clears.connected();
    clears.sent({ topic: 'g/n/score/b', payload: '{}', qos: 1, retain: true });
    clears.sent(clear('g/n/score/c'));
    await Promise.resolve();
    clock.advance(60_000);
    expect(sent).toEqual([]);
    store.unread = false;
    status.outbox = 1;
    clock.advance(60_000);
    expect(sent).toEqual([clear('g/n/score/a')]);
    expect(afterwards(store)).toEqual([clear('g/n/score/a'), clear('g/n/score/c')]);
    status.outbox = 0;
    clock.advance(60_000);
    expect(afterwards(store)).toEqual([]);
  });

  test('are not checked after a stop, but stored', async () => {
    const { store, clears, clock } = setUp();
    clears.sent(clear('g/n/score/a'));
    clears.stop();
    await Promise.resolve();
    clears.sent(clear('g/n/score/b'));
    await Promise.resolve();
    expect(clock.nextDelayMs).toBeNull();
    expect(afterwards(store)).toEqual([clear('g/n/score/a'), clear('g/n/score/b')]);
  });

  test.each(['nonsense', '{}', '[1, null, "a/#", ""]'])('ignore a damaged list: %s', (text) => {
    const store = new MemoryStore();
    store.setMeta('agent.clears', text);
    expect(afterwards(store)).toEqual([]);
  });
});
