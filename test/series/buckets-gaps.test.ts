/** Silences: short ones are empty buckets, long ones suspend the stream, and a device may speak at another rate after. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Buckets, type ClosedBucket } from '../../src/series/buckets.ts';
import type { StreamSpec } from '../../src/series/spec.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';
import { testSpec } from '../support/specs.ts';

const START = Date.UTC(2025, 0, 1);
const MINUTE = 60_000;
const DAY = 86_400_000;
const push = (buckets: Buckets, timeMs: number, value = 1) =>
  buckets.push({ stream: 's', timeMs, value, arrivalMs: timeMs });
const make = (change: Partial<StreamSpec> = {}) =>
  new Buckets(testSpec('s', { intervalMs: MINUTE, ...change }));

function restored(buckets: Buckets, spec: StreamSpec): Buckets {
  const writer = new StateWriter();
  buckets.persist(writer);
  const other = new Buckets(spec);
  const reader = new StateReader(writer.finish());
  other.persist(reader);
  reader.finish();
  return other;
}

describe('a long silence', () => {
  it('suspends the stream: the clock closes no further bucket', () => {
    const buckets = make();
    push(buckets, START);
    const closed = buckets.close(START + 30 * DAY);
    expect(closed.length).toBe(1 + 2048);
    expect(buckets.close(START + 60 * DAY)).toEqual([]);
    expect(buckets.dueMs()).toBeNull();
  });

  it('ends with the next reading, whose bucket closes as usual', () => {
    const buckets = make();
    push(buckets, START);
    buckets.close(START + 30 * DAY);
    const back = START + 30 * DAY + 90_000;
    push(buckets, back);
    expect(buckets.dueMs()).toBe(START + 30 * DAY + 120_000);
    expect(buckets.close(back)).toEqual([]);
    const closed = buckets.close(START + 30 * DAY + 120_000);
    expect(closed[closed.length - 1]).toMatchObject({ startMs: START + 30 * DAY + 60_000, value: 1 });
  });

  for (const [interval, unit] of [
    [15 * MINUTE, 7 * DAY],
    [5 * MINUTE, 7 * DAY],
    [MINUTE, DAY],
    [10_000, 3_600_000],
    [100, MINUTE],
  ] as const) {
    it(`is shortened by whole ${unit / 3_600_000} hours at an interval of ${interval / 1000} s`, () => {
      const buckets = make({ intervalMs: interval });
      push(buckets, START);
      const back = START + 100 * DAY;
      push(buckets, back);
      push(buckets, back + interval);
      const closed = buckets.close(null);
      const jumps = closed.slice(1).map(({ startMs }, i) => startMs - closed[i].startMs - interval);
      expect(jumps.filter((jump) => jump !== 0).length).toBe(1);
      expect(Math.max(...jumps) % unit).toBe(0);
      expect(closed.length).toBeLessThan(2048 + unit / interval + 3);
      expect(closed[closed.length - 1].startMs).toBe(back);
    });
  }

  it('gives the same buckets whether the clock or the next reading closes them, and across a restart in it', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(100, 10_000, MINUTE, 15 * MINUTE, 6 * 60 * MINUTE),
        fc.integer({ min: 1, max: 6000 }),
        fc.integer({ min: 0, max: 7000 }),
        fc.boolean(),
        (intervalMs, gap, look, restart) => {
          const spec = testSpec('s', { intervalMs });
          const back = START + gap * intervalMs + 50;
          const byReading = new Buckets(spec);
          for (const time of [START, back, back + intervalMs]) push(byReading, time);
          const expected = byReading.close(null);

          let byClock = new Buckets(spec);
          push(byClock, START);
          // Looked at once during the silence.
          const closed = [...byClock.close(Math.min(back, START + look * intervalMs))];
          if (restart && closed.length > 0) byClock = restored(byClock, spec);
          for (const time of [back, back + intervalMs]) {
            push(byClock, time);
            closed.push(...byClock.close(time));
          }
          expect(closed).toEqual(expected);
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('a device that changes its rate', () => {
  /** A reading every `before` ms, then every `after` ms. */
  function twoRates(before: number, after: number): number[] {
    const times: number[] = [];
    let now = START;
    for (let i = 0; i < 300; i++) {
      times.push(now + ((i * 7919) % 1000) / 10);
      now += i < 120 ? before : after;
    }
    return times;
  }

  const auto = testSpec('s', { intervalMs: null, latenessMs: 2000 });
  const play = (buckets: Buckets, times: readonly number[]): ClosedBucket[] =>
    times.flatMap((time) => {
      push(buckets, time, time - START);
      return buckets.close(time);
    });

  for (const [name, before, after] of [
    ['slower', 10_000, 5 * MINUTE],
    ['faster', 5 * MINUTE, 10_000],
  ] as const) {
    it(`is followed to a ${name} one, once, without a hole`, () => {
      const buckets = new Buckets(auto);
      const closed = play(buckets, twoRates(before, after));
      const intervals = closed.map(({ intervalMs }) => intervalMs);
      expect([...new Set(intervals)]).toEqual([before, after]);
      expect(buckets.intervalMs).toBe(after);
      const at = intervals.indexOf(after);
      const { startMs } = closed[at];
      const endMs = closed[at - 1].startMs + before;
      // The first bucket of the new grid is the one in which the old grid ends, or, where nothing came since, the next.
      expect(startMs + after).toBeGreaterThan(endMs);
      expect(startMs).toBeLessThan(endMs + after);
      expect(closed[at].value).not.toBeNaN();
      expect(closed.slice(at).every(({ startMs: start }) => start % after === 0)).toBe(true);
    });
  }

  it('is followed in the same way when its readings are replayed, and across a restart at any point', () => {
    const times = twoRates(10_000, MINUTE);
    const expected = play(new Buckets(auto), times);
    for (let cut = 10; cut < times.length; cut += 7) {
      const one = new Buckets(auto);
      const closed = play(one, times.slice(0, cut));
      const two = restored(one, auto);
      for (const time of times.slice(0, cut)) {
        if (time >= one.replayFromMs())
          expect(two.push({ stream: 's', timeMs: time, value: time - START, arrivalMs: Number.NaN })).toBe(
            'accepted',
          );
      }
      closed.push(...two.close(null), ...play(two, times.slice(cut)));
      expect(closed).toEqual(expected);
    }
  });

  it('does not change the grid of a stream with a configured interval', () => {
    const buckets = make({ intervalMs: 10_000 });
    const closed = play(buckets, twoRates(10_000, MINUTE));
    expect(new Set(closed.map(({ intervalMs }) => intervalMs))).toEqual(new Set([10_000]));
  });
});
