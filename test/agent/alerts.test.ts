import { expect, test } from 'vitest';
import {
  ALERTS,
  Alerts,
  type Condition,
  REQUESTED,
  rolledBack,
  staleStreams,
  streamLimit,
} from '../../src/agent/alerts.ts';
import type { Alert } from '../../src/outputs/output.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { testSpec } from '../support/specs.ts';

const full: Condition = { id: 'store', severity: 'error', text: 'disk full' };
const silent: Condition = { id: 'stale', severity: 'warning', text: '1 of 2 streams are silent: a' };

function setUp(store = new MemoryStore()) {
  /** As the broker keeps them. */
  const retained = new Map<string, Alert>();
  const said: [string, Alert | null][] = [];
  let now = 1000;
  const alerts = new Alerts({
    store,
    clock: { now: () => now },
    outputs: {
      alert: (id, alert) => {
        said.push([id, alert]);
        if (alert === null) retained.delete(id);
        else retained.set(id, alert);
      },
    },
  });
  return { alerts, retained, said, store, pass: (ms: number) => (now += ms) };
}

test('an alert is raised once, has the time of its start, is updated with its text, and is cleared', () => {
  const { alerts, retained, said, pass } = setUp();
  alerts.check([full]);
  pass(60_000);
  said.length = 0;
  alerts.check([full, silent]);
  expect(said.map(([id]) => id)).toEqual(['stale']);
  alerts.check([{ ...full, text: 'read-only' }, silent]);
  expect(retained.get('store')).toEqual({ severity: 'error', text: 'read-only', sinceMs: 1000 });
  expect(retained.get('stale')?.sinceMs).toBe(61_000);
  alerts.check([silent]);
  expect([...retained.keys()]).toEqual(['stale']);
  said.length = 0;
  for (let i = 0; i < 5; i++) alerts.check([silent]);
  expect(said).toEqual([]);
});

test('lists current alerts, newest first, then the newest thirty past ones with their end', () => {
  const { alerts, pass } = setUp();
  alerts.check([silent]);
  pass(5000);
  alerts.check([silent, full]);
  pass(5000);
  alerts.check([full]);
  expect(alerts.list()).toEqual([
    { id: 'store', severity: 'error', text: 'disk full', sinceMs: 6000, untilMs: null },
    { id: 'stale', severity: 'warning', text: silent.text, sinceMs: 1000, untilMs: 11_000 },
  ]);
  for (let n = 0; n < 50; n++) {
    pass(1000);
    alerts.check([full, silent]);
    alerts.check([full]);
  }
  const over = alerts.list().filter(({ untilMs }) => untilMs !== null);
  expect(over).toHaveLength(30);
  expect(over[0]?.sinceMs).toBe(61_000);
});

test('alerts of an earlier run that no longer hold are cleared, and no others', () => {
  const { alerts, store } = setUp();
  alerts.check([silent, { ...full, id: 'model' }]);
  const next = setUp(store);
  next.alerts.check([silent]);
  expect(
    next.said
      .filter(([, alert]) => alert === null)
      .map(([id]) => id)
      .sort(),
  ).toEqual(['disk-full', 'model', 'store']);
  expect([...next.retained.keys()]).toEqual(['stale']);
});

test('after a run that could not write, or with another data folder, all alerts are cleared once', () => {
  const store = new MemoryStore();
  store.setMeta('agent.alerts', 'nonsense');
  const { alerts, said } = setUp(store);
  alerts.check([full]);
  alerts.check([full]);
  expect(said.filter(([, alert]) => alert === null).length).toBe(Object.keys(ALERTS).length - 1);
});

test('alerts are published again at a broker that lost its retained messages', () => {
  const { alerts, said } = setUp();
  alerts.check([full, silent]);
  said.length = 0;
  alerts.connected({ again: false });
  expect(said).toEqual([]);
  alerts.connected({ again: true });
  expect(said.map(([id, alert]) => [id, alert?.text])).toEqual([
    ['store', 'disk full'],
    ['stale', silent.text],
  ]);
});

test('the alert names a few of the silent streams', () => {
  const view = (name: string, lastObservedMs: number | null) => ({
    spec: testSpec(name, { maxGapMs: 60_000 }),
    intervalMs: 1000,
    horizonSteps: 10,
    bucketsSeen: 5,
    lastObservedMs,
  });
  const now = 1_000_000;
  expect(staleStreams([view('a', now - 59_000), view('b', null)], now)).toEqual([]);
  const [one] = staleStreams(
    [...'abcdefgh'].map((name) => view(name, now - 61_000)),
    now,
  );
  expect(one?.text).toBe('8 of 8 streams are silent: a, b, c, d, e and 3 more');
});

test('a stream whose interval is learnt is silent when its forecasts say so, and not before', () => {
  const view = (silentMs: number) => ({
    spec: testSpec('a', { intervalMs: null, maxGapMs: 60_000 }),
    intervalMs: 60_000,
    horizonSteps: 10,
    bucketsSeen: 5,
    lastObservedMs: 1e9 - silentMs,
  });
  expect(staleStreams([view(479_000)], 1e9)).toEqual([]);
  expect(staleStreams([view(481_000)], 1e9)).toHaveLength(1);
});

test('a rollback that no one requested is an alert until a model is promoted or configured', () => {
  const slots = { current: 'base', previous: null, candidate: null, probation: null, reason: 'worse live' };
  expect(rolledBack(slots)[0]?.text).toBe("back on 'base': worse live");
  expect(rolledBack({ ...slots, previous: 'older' })).toEqual([]);
  for (const reason of ['configured', REQUESTED]) expect(rolledBack({ ...slots, reason })).toEqual([]);
});

test('the limit of streams is an alert once a stream was refused because of it', () => {
  const router = (streams: number, refused: number) => ({
    stats: () => ({ streams, cachedTopics: 0 }),
    dropped: () => ({ 'stream-limit': refused }),
  });
  expect(streamLimit(router(10, 0), 10)).toEqual([]);
  expect(streamLimit(router(10, 1), 10)[0]?.id).toBe('stream-limit');
  expect(streamLimit(router(9, 1), 10)).toEqual([]);
});
