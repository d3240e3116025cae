import { expect, test } from 'vitest';
import { ArrivalTimes } from '../../src/agent/arrival-times.ts';
import { FormerStreams } from '../../src/agent/former-readings.ts';
import { testSpec } from '../support/specs.ts';

const START = Date.UTC(2025, 0, 1);

function setUp(former?: ConstructorParameters<typeof ArrivalTimes>[0]) {
  const times = new ArrivalTimes(former);
  return (arrivalMs: number, value: number, backlogFromMs: number | null = null) =>
    times.timed({ stream: 's', timeMs: null, value, arrivalMs }, backlogFromMs);
}

test('live readings have their time of arrival', () => {
  const take = setUp();
  for (const at of [0, 1000, 1990, 3010, 9000])
    expect(take(START + at, at)).toEqual({
      stream: 's',
      timeMs: START + at,
      value: at,
      arrivalMs: START + at,
    });
});

test('readings of a backlog are spread by the usual spacing, and marked; the last ones are live again', () => {
  const take = setUp();
  for (let i = 0; i <= 10; i++) take(START + i * 1000, i);
  const nowMs = START + 50_000;
  for (let i = 11; i <= 49; i++) {
    const { timeMs, assigned } = take(nowMs, i, START + 10_000);
    expect([timeMs, assigned]).toEqual([START + i * 1000, true]);
  }
  expect(take(nowMs, 50, START + 10_000)).toEqual({
    stream: 's',
    timeMs: nowMs,
    value: 50,
    arrivalMs: nowMs,
  });
});

test('readings that were taken together at the start do not make the usual spacing short', () => {
  const take = setUp();
  for (const at of [1900, 1902, 2000, 3000, 4000, 5000]) take(START + at, at);
  const nowMs = START + 30_000;
  const times = Array.from({ length: 25 }, (_, i) => take(nowMs, i, START + 5000).timeMs);
  const gaps = [...times, nowMs].slice(1).map((timeMs, i) => timeMs - (times[i] ?? 0));
  expect(Math.max(...gaps)).toBeLessThan(11_000);
});

test('no reading gets a time before the connection was lost', () => {
  const take = setUp();
  for (let i = 0; i <= 10; i++) take(START + i * 1000, i);
  const nowMs = START + 7_200_000;
  expect(take(nowMs, 1, nowMs - 30_000).timeMs).toBe(nowMs - 30_000);
  expect(take(nowMs, 2, nowMs - 30_000).timeMs).toBe(nowMs - 29_000);
});

test('more readings than milliseconds keep distinct times, and none lies in the future', () => {
  const take = setUp();
  for (let i = 0; i <= 10; i++) take(START + i * 1000, i);
  const nowMs = START + 20_000;
  const seen = new Set<number>();
  for (let i = 0; i < 100; i++) seen.add(take(nowMs, i, START + 10_000).timeMs);
  expect(seen.size).toBe(100);
  expect(Math.max(...seen)).toBeLessThanOrEqual(nowMs + 100);
});

test('two live readings of one millisecond that differ are two; copies are one', () => {
  const take = setUp();
  take(START, 1);
  expect(take(START, 1).timeMs).toBe(START);
  expect(take(START, 2).timeMs).toBe(START + 1);
});

test('after a start the usual spacing comes from the store', async () => {
  const rows = [5000, 2000, 1000, 0].map((at) => ({ stream: 's', timeMs: START + at }));
  const former = new FormerStreams({ newestFirst: () => [rows].values(), replayFromMs: () => null });
  former.start([{ spec: testSpec('s'), intervalMs: 1000, lastObservedMs: START + 5000 }]);
  await former.load({ breathe: () => undefined, stopped: () => false });
  const take = setUp((stream) => former.take(stream));
  expect(take(START + 60_000, 1, START + 5000)).toMatchObject({ timeMs: START + 6000, assigned: true });
  expect(take(START + 60_000, 2, START + 5000).timeMs).toBe(START + 7000);
});
