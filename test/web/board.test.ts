import { describe, expect, test } from 'vitest';
import { Board } from '../../src/web/board.ts';
import { PointRing } from '../../src/web/ring.ts';
import { detail, summary } from '../../src/web/wire.ts';
import { fakeForecast } from '../support/forecasts.ts';

const point = (timeMs: number, observed: number | null = timeMs) => ({
  timeMs,
  observed,
  low: null,
  p50: null,
  high: null,
});

test('the marks of a bucket are sent with its point, and with the stream while it is the newest', () => {
  const board = new Board();
  board.record(fakeForecast({ stream: 'a', observed: 900, marks: ['spike'], quality: 'filled' }), 0);
  expect(summary(board.get('a')!).marks).toEqual(['spike']);
  board.record(fakeForecast({ stream: 'a', originMs: 1_700_000_001_000 }), 0);
  const told = detail(board.get('a')!);
  expect(told.marks).toEqual([]);
  expect(told.points.map((p) => p[5])).toEqual([['spike'], undefined]);
});

test('the newest sixteen anomalies are sent to the page', () => {
  const board = new Board();
  board.mark('nobody', { timeMs: 1, observed: 1, score: 5 });
  board.record(fakeForecast({ stream: 'a' }), 0);
  const before = board.get('a')!.revision;
  for (let n = 0; n < 40; n++) board.mark('a', { timeMs: n, observed: 2 * n, score: 4.26 });
  const { anomalies } = detail(board.get('a')!);
  expect(anomalies.length).toBe(16);
  expect(anomalies.at(-1)).toEqual({ at_ms: 39, value: 78, score: 4.3 });
  expect(board.get('a')!.revision).toBeGreaterThan(before);
});

describe('PointRing', () => {
  test('stores readings and medians exactly, and the edges with seven digits of their difference', () => {
    const ring = new PointRing(40);
    // Large values must not cost small ones after them their digits.
    const points = Array.from({ length: 60 }, (_, i) => {
      const p50 = i < 25 ? 123_456_789 + i / 3 : 21.37 + i / 3;
      const known = i % 4 > 0;
      return {
        timeMs: 1_700_000_000_000 + i,
        observed: i % 5 === 0 ? null : p50 + 0.1,
        low: known ? p50 - 0.1 - i / 7 : null,
        p50: known ? p50 : null,
        high: known ? p50 + 1234.567 : null,
      };
    });
    for (const point of points) ring.push(point);
    for (const [i, { low, high, ...exact }] of ring.since(0).entries()) {
      const { low: wantedLow, high: wantedHigh, ...wanted } = points[i + 20]!;
      expect(exact).toEqual(wanted);
      if (wantedLow === null) expect([low, high]).toEqual([null, null]);
      else expect(Math.abs(low! - wantedLow)).toBeLessThan(1e-5);
      if (wantedHigh !== null) expect(Math.abs(high! - wantedHigh)).toBeLessThan(1e-3);
    }
  });

  test('an edge at a limit is restored exactly', () => {
    const ring = new PointRing(8);
    for (const limit of [0, 5, -40]) {
      ring.push({
        timeMs: limit + 100,
        observed: 1,
        low: limit,
        p50: limit + 0.3 + 1 / 3,
        high: limit + 20.1,
      });
      expect(ring.since(limit + 99)[0]!.low).toBe(limit);
    }
  });

  test('keeps the newest points in order, through growth and wrapping', () => {
    for (const capacity of [1, 7, 16, 40]) {
      const ring = new PointRing(capacity);
      for (let time = 1; time <= 100; time++) {
        ring.push(point(time, time % 5 === 0 ? null : time));
        const expected = Array.from(
          { length: Math.min(time, capacity) },
          (_, i) => i + Math.max(0, time - capacity) + 1,
        );
        const kept = ring.since(Number.NEGATIVE_INFINITY);
        expect(kept.map((p) => p.timeMs)).toEqual(expected);
        expect(kept.map((p) => p.observed)).toEqual(expected.map((t) => (t % 5 === 0 ? null : t)));
      }
    }
  });

  test('drops the marks of a bucket with the bucket', () => {
    const ring = new PointRing(3);
    ring.push({ ...point(10), marks: ['spike'] });
    for (const time of [20, 30]) ring.push(point(time));
    expect(ring.since(0)[0]?.marks).toEqual(['spike']);
    for (const time of [40, 50]) ring.push(point(time));
    ring.push({ ...point(60), marks: ['stuck', 'too-fast'] });
    expect(ring.since(0).map((p) => p.marks)).toEqual([undefined, undefined, ['stuck', 'too-fast']]);
  });

  test('replaces the newest bucket with its marks', () => {
    const ring = new PointRing(4);
    ring.push(point(10));
    ring.push({ ...point(20), marks: ['spike'] });
    ring.push(point(20, 7));
    expect(ring.since(0).map((p) => [p.timeMs, p.observed, p.marks])).toEqual([
      [10, 10, undefined],
      [20, 7, undefined],
    ]);
    expect(ring.since(10).map((p) => p.timeMs)).toEqual([20]);
  });

  test('drops later points when the clock is set back', () => {
    const ring = new PointRing(4);
    for (const timeMs of [10, 20, 30, 9000, 9010]) ring.push(point(timeMs));
    for (const timeMs of [40, 50]) ring.push(point(timeMs));
    expect(ring.since(0).map((p) => p.timeMs)).toEqual([20, 30, 40, 50]);
  });
});

describe('Board', () => {
  test('shows a stream before its first forecast, and its forecast after', () => {
    const board = new Board();
    board.announce('a', '%');
    expect(summary(board.get('a')!)).toMatchObject({ stream: 'a', unit: '%', kind: null, ahead: null });
    const before = board.get('a')!.revision;
    board.record(fakeForecast({ stream: 'a', unit: '%', observed: null, leads: 3, median: (k) => k }), 5);
    const entry = board.get('a')!;
    expect(entry.revision).toBeGreaterThan(before);
    const { forecast, points, quality, value, ahead } = detail(entry);
    expect(forecast?.p50).toEqual([1, 2, 3]);
    expect(forecast?.p10[0]).toBeCloseTo(0.5);
    expect(points[0]?.[1]).toBeNull();
    expect(quality).toBe('filled');
    expect(value).toBeNull();
    expect(ahead?.[1]).toBe(3);
  });

  test('sends only points later than a cursor', () => {
    const board = new Board();
    for (let i = 0; i < 5; i++) board.record(fakeForecast({ stream: 'a', originMs: 1000 * i }), 0);
    expect(detail(board.get('a')!, 2000).points.map((p) => p[0])).toEqual([3000, 4000]);
  });

  test('the generation changes with the set of streams only', () => {
    const board = new Board();
    board.announce('a', null);
    const first = board.generation;
    board.announce('a', '%');
    board.record(fakeForecast({ stream: 'a' }), 0);
    expect(board.generation).toBe(first);
    board.forget('a');
    expect(board.generation).toBe(first + 1);
    expect(board.get('a')).toBeUndefined();
  });

  test('the stored past is read once, when a page shows the stream, and comes before the new points', () => {
    const asked: [string, number, number][] = [];
    const board = new Board((name, beforeMs, most) => {
      asked.push([name, beforeMs, most]);
      return [point(1000), point(2000, null)];
    });
    board.announce('a', null);
    board.get('a');
    expect(asked).toEqual([]);
    board.record(fakeForecast({ stream: 'a', originMs: 3000, observed: 7 }), 0);
    expect(asked).toEqual([]);
    for (let i = 0; i < 2; i++)
      expect(detail(board.get('a')!).points.map((p) => [p[0], p[1]])).toEqual([
        [1000, 1000],
        [2000, null],
        [3000, 7],
      ]);
    expect(asked).toEqual([['a', 3000, 359]]);
  });

  test('with many streams only shown ones have a long history, until no page shows them', () => {
    const asked: string[] = [];
    const board = new Board((name, beforeMs, most) => {
      asked.push(name);
      return Array.from({ length: most }, (_, i) => point(beforeMs - most + i));
    });
    for (let i = 0; i < 300; i++) board.announce(`s${i}`, null);
    const record = (from: number, to: number) => {
      for (let t = from; t < to; t++)
        board.record(fakeForecast({ stream: 's299', originMs: 1_000_000 + 1000 * t }), 0);
    };
    const { history: unseen } = board.streams().find(({ name }) => name === 's299')!;
    record(0, 100);
    expect(unseen.length).toBe(16);
    expect(board.get('s299')!.history.length).toBe(360);
    record(100, 800);
    expect(board.get('s299')!.history.length).toBe(360);
    record(800, 1600);
    const given = board.streams().find(({ name }) => name === 's299')!.history;
    expect([given.length, given.lastMs]).toEqual([16, 1_000_000 + 1000 * 1599]);
    expect(board.get('s299')!.history.length).toBe(360);
    expect(asked).toEqual(['s299', 's299']);
  });

  test('10,000 streams get short histories', () => {
    const board = new Board();
    for (let i = 0; i < 10_000; i++) board.announce(`s${i}`, null);
    const total = board.streams().reduce((sum, entry) => sum + entry.history.capacity, 0);
    expect(board.get('s0')!.history.capacity).toBe(360);
    expect(total * 40).toBeLessThan(20e6);
  });
});

test('a stream keeps its device when a forecast comes without one', () => {
  const board = new Board();
  board.announce('n/battery/0/Dc/0/Power', 'W', 'n/battery/0');
  board.announce('n/battery/0/Dc/0/Power', 'W');
  board.announce('tank', null);
  expect(board.streams().map((entry) => summary(entry).device)).toEqual(['n/battery/0', null]);
});
