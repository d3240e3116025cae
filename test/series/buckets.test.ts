import { describe, expect, it } from 'vitest';
import { Buckets, type ClosedBucket } from '../../src/series/buckets.ts';
import type { StreamSpec } from '../../src/series/spec.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';
import { testSpec } from '../support/specs.ts';

const START = Date.UTC(2025, 0, 1);
const MINUTE = 60_000;
const make = (change: Partial<StreamSpec> = {}) =>
  new Buckets(testSpec('s', { intervalMs: MINUTE, ...change }));
const seconds = (s: number): number => START + s * 1000;

/** @param at seconds after the start */
const push = (buckets: Buckets, at: number, value: number, arrival = at) =>
  buckets.push({ stream: 's', timeMs: seconds(at), value, arrivalMs: seconds(arrival) });

const brief = (closed: readonly ClosedBucket[]) =>
  closed.map(({ startMs, value }) => [(startMs - START) / 1000, value]);

describe('closing', () => {
  it('happens when a newer reading shows that a bucket has ended', () => {
    const buckets = make();
    push(buckets, 10, 1);
    push(buckets, 50, 3);
    expect(buckets.close(null)).toEqual([]);
    push(buckets, 60, 7);
    expect(buckets.close(null)).toEqual([
      {
        startMs: START,
        intervalMs: MINUTE,
        value: 2,
        observedMs: seconds(50),
        timesMs: expect.any(Array),
        tooFast: [],
        jump: false,
        outOfRange: 0,
      },
    ]);
  });

  it('waits for late readings', () => {
    const buckets = make({ latenessMs: 30_000 });
    push(buckets, 10, 1);
    push(buckets, 89, 7);
    expect(buckets.close(null)).toEqual([]);
    push(buckets, 20, 5);
    push(buckets, 90, 9);
    expect(brief(buckets.close(null))).toEqual([[0, 3]]);
  });

  it('happens by the clock, with empty buckets during silence', () => {
    const buckets = make({ latenessMs: 5000 });
    push(buckets, 10, 1);
    expect(buckets.dueMs()).toBe(seconds(65));
    expect(buckets.close(seconds(64.9))).toEqual([]);
    expect(brief(buckets.close(seconds(65)))).toEqual([[0, 1]]);
    expect(buckets.dueMs()).toBe(seconds(125));
    expect(brief(buckets.close(seconds(190)))).toEqual([
      [60, Number.NaN],
      [120, Number.NaN],
    ]);
  });

  it('allows the same lateness for delayed readings', () => {
    const buckets = make();
    push(buckets, 10, 1, 30);
    // Twenty seconds on the way: so will be the one that is measured at 59 s.
    expect(buckets.dueMs()).toBe(seconds(80));
    expect(buckets.close(seconds(79))).toEqual([]);
    expect(brief(buckets.close(seconds(80)))).toEqual([[0, 1]]);
  });

  it('does not happen by the clock during a replay', () => {
    const buckets = make();
    push(buckets, 10, 1, 86_400);
    expect(buckets.dueMs()).toBeNull();
    expect(buckets.close(seconds(90_000))).toEqual([]);
    push(buckets, 70, 2, 86_401);
    expect(brief(buckets.close(seconds(90_000)))).toEqual([[0, 1]]);
  });

  it('aligns buckets with whole multiples of the interval since 1970', () => {
    const buckets = make({ intervalMs: 7 * MINUTE });
    push(buckets, 0, 1);
    push(buckets, 3600, 2);
    expect(buckets.close(null)[0].startMs % (7 * MINUTE)).toBe(0);
  });

  it('tracks the newest reading, independently of the order of arrival', () => {
    const buckets = make({ latenessMs: MINUTE });
    expect(buckets.lastObservedMs).toBeNaN();
    push(buckets, 40, 1);
    push(buckets, 20, 1);
    expect(buckets.lastObservedMs).toBe(seconds(40));
  });
});

describe('admission', () => {
  it('refuses a reading after its bucket has closed', () => {
    const buckets = make();
    push(buckets, 10, 1);
    push(buckets, 60, 2);
    // Nobody has looked yet: the first bucket is still open.
    expect(push(buckets, 30, 3)).toBe('late');
    buckets.close(null);
    expect(push(buckets, 59, 3)).toBe('late');
    expect(push(buckets, 61, 3)).toBe('accepted');
  });

  it('refuses a duplicate time, also with another value', () => {
    const buckets = make({ latenessMs: MINUTE });
    expect(push(buckets, 10, 1)).toBe('accepted');
    expect(push(buckets, 20, 1)).toBe('accepted');
    expect(push(buckets, 10, 1)).toBe('duplicate');
    expect(push(buckets, 20, 5)).toBe('duplicate');
    push(buckets, 130, 0);
    expect(brief(buckets.close(null))[0]).toEqual([0, 1]);
  });

  it('refuses implausible times', () => {
    const buckets = make();
    const at = (text: string) =>
      buckets.push({ stream: 's', timeMs: Date.parse(text), value: 1, arrivalMs: START });
    for (const absurd of [
      '1969-12-31T23:59Z',
      '1970-01-01T00:00Z',
      '1999-12-31T23:59Z',
      '2038-01-19T03:14:08Z',
    ])
      expect(at(absurd)).toBe('absurd-time');
    expect(buckets.push({ stream: 's', timeMs: Number.NaN, value: 1, arrivalMs: START })).toBe('absurd-time');
    expect(at('2025-01-01T00:06:01Z')).toBe('future');
    expect(at('2026-01-01T00:00Z')).toBe('future');
    expect(buckets.close(START)).toEqual([]);
    // A clock that runs a little ahead is tolerated.
    expect(at('2025-01-01T00:05:00Z')).toBe('accepted');
  });

  it('accepts readings of after 2037 when it is after 2037, and refuses clocks that overflowed', () => {
    const nowMs = Date.UTC(2041, 5, 1);
    const at = (timeMs: number, arrivalMs = nowMs) =>
      make().push({ stream: 's', timeMs, value: 1, arrivalMs });
    expect(at(nowMs)).toBe('accepted');
    expect(at(nowMs - 3_600_000)).toBe('accepted');
    expect(at(nowMs + 400_000)).toBe('absurd-time');
    // A signed counter of 32 bits goes on in 1901, an unsigned one in 1970.
    expect(at(Date.UTC(1901, 11, 13))).toBe('absurd-time');
    expect(at(1000)).toBe('absurd-time');
    // Around the change of the year both sides are accepted.
    const newYear = Date.UTC(2038, 0, 1);
    expect(at(newYear + 500, newYear - 500)).toBe('accepted');
    expect(at(newYear - 500, newYear + 500)).toBe('accepted');
  });

  it('refuses readings outside the limits and implausible numbers', () => {
    const buckets = make({ min: -40, max: 85 });
    expect(push(buckets, 1, -40)).toBe('accepted');
    expect(push(buckets, 2, 85)).toBe('accepted');
    for (const value of [-40.1, 85.1, Number.NaN, Infinity, -Infinity, 1e31])
      expect(push(buckets, 3, value)).toBe('out-of-range');
    expect(push(make(), 3, 1e31)).toBe('out-of-range');
    expect(push(make(), 3, -1e30)).toBe('accepted');
  });

  it('counts readings outside the limits in their bucket, unless it has closed', () => {
    const buckets = make({ min: -40, max: 85 });
    for (const second of [1, 70, 200]) push(buckets, second, 5);
    for (const second of [2, 3, 71, 130]) expect(push(buckets, second, 99)).toBe('out-of-range');
    const first = buckets.close(null);
    expect(first.map(({ outOfRange }) => outOfRange)).toEqual([2, 1, 1]);
    // Late by now: counted nowhere.
    for (const second of [4, 201]) expect(push(buckets, second, 99)).toBe('out-of-range');
    push(buckets, 300, 5);
    expect(buckets.close(null).map(({ outOfRange }) => outOfRange)).toEqual([1, 0]);
  });

  it('omits and reports readings that changed too fast, independently of the order of arrival', () => {
    for (const order of [
      [5, 20, 35, 50],
      [50, 20, 5, 35],
    ]) {
      const buckets = make({ maxRatePerMs: 1 / 1000, latenessMs: MINUTE });
      for (const at of order) expect(push(buckets, at, at === 35 ? 900 : at)).toBe('accepted');
      push(buckets, 120, 120);
      expect(buckets.close(null)[0]).toMatchObject({
        value: 25,
        tooFast: [expect.any(Number)],
        observedMs: seconds(50),
      });
    }
  });

  it('has an empty bucket if all its readings changed too fast', () => {
    const buckets = make({ maxRatePerMs: 1 / 1000 });
    push(buckets, 10, 10);
    push(buckets, 70, 9000);
    push(buckets, 130, 130);
    push(buckets, 180, 180);
    const closed = buckets.close(null);
    expect(brief(closed)).toEqual([
      [0, 10],
      [60, Number.NaN],
      [120, 130],
    ]);
    expect(closed[1]).toMatchObject({ tooFast: [expect.any(Number)], observedMs: Number.NaN });
  });
});

describe('a clock that was wrong', () => {
  const year = 365 * 86_400;

  it('may be set back a year: the grid starts again at the current time', () => {
    const buckets = make();
    push(buckets, 10, 1);
    push(buckets, 70, 2);
    push(buckets, year, 3);
    push(buckets, year + 60, 4);
    buckets.close(seconds(year + 60));
    expect(push(buckets, 200, 5)).toBe('accepted');
    expect(push(buckets, 250, 6)).toBe('accepted');
    expect(brief(buckets.close(seconds(250)))).toEqual([[180, 5]]);
    expect(buckets.lastObservedMs).toBe(seconds(250));
  });

  it('may be set back by less than the tolerance: readings are late until it has caught up', () => {
    const buckets = make();
    push(buckets, 10, 1);
    buckets.close(seconds(240));
    expect(push(buckets, 100, 2)).toBe('late');
    expect(push(buckets, 241, 2)).toBe('accepted');
  });

  it('may have been years behind: a bounded number of empty buckets leads to the present', () => {
    const buckets = make();
    push(buckets, -8 * year, 1);
    push(buckets, 10, 2);
    push(buckets, 70, 3);
    const closed = buckets.close(seconds(70));
    expect(closed.length).toBeLessThan(2048 + 1440 + 3);
    expect(brief(closed.slice(-1))).toEqual([[0, 2]]);
  });

  it('does not restart the grid for late readings of a replay', () => {
    const buckets = make();
    for (const at of [10, 70, 5000])
      buckets.push({ stream: 's', timeMs: seconds(at), value: 1, arrivalMs: Number.NaN });
    buckets.close(null);
    expect(buckets.push({ stream: 's', timeMs: seconds(80), value: 1, arrivalMs: Number.NaN })).toBe('late');
  });
});

describe('a restart', () => {
  const again = (buckets: Buckets, change: Partial<StreamSpec> = {}): Buckets => {
    const writer = new StateWriter();
    buckets.persist(writer);
    const other = make(change);
    const reader = new StateReader(writer.finish());
    other.persist(reader);
    reader.finish();
    return other;
  };

  it('knows the newest reading of the closed buckets', () => {
    const buckets = make();
    push(buckets, 10, 1);
    push(buckets, 50, 1);
    push(buckets, 70, 1);
    buckets.close(null);
    // What stands in the open bucket is replayed.
    expect(buckets.replayFromMs()).toBe(seconds(60));
    expect(again(buckets).lastObservedMs).toBe(seconds(50));
  });

  it('compares the next reading with the last one', () => {
    const change = { maxRatePerMs: 1 / 1000 };
    const buckets = make(change);
    push(buckets, 10, 10);
    push(buckets, 70, 70);
    buckets.close(null);
    const restored = again(buckets, change);
    push(restored, 70, 9000);
    push(restored, 130, 130);
    expect(restored.close(null)[0]).toMatchObject({ value: Number.NaN, tooFast: [expect.any(Number)] });
  });

  it('replays, before any bucket has closed, also earlier readings that may still arrive', () => {
    const change = { latenessMs: 120_000 };
    const buckets = make(change);
    push(buckets, 130, 3);
    const from = buckets.replayFromMs();
    const restored = again(buckets, change);
    expect(push(buckets, 20, 1)).toBe('accepted');
    expect(from).toBeLessThanOrEqual(seconds(20));
    for (const [at, value] of [
      [20, 1],
      [130, 3],
    ])
      expect(push(restored, at, value)).toBe('accepted');
    for (const one of [buckets, restored]) push(one, 300, 9);
    expect(restored.close(null)).toEqual(buckets.close(null));
  });
});
