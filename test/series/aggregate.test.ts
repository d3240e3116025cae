import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aggregate, type CounterState, counterIncrease, inOrder } from '../../src/series/aggregate.ts';
import type { Aggregate } from '../../src/series/spec.ts';

const SPAN = { startMs: 0, intervalMs: 60_000 };
const fresh = (): CounterState => ({ last: Number.NaN, timeMs: Number.NaN });
const of = (kind: Aggregate, values: number[], counter = fresh(), times = values.map((_, i) => i * 1000)) =>
  aggregate(kind, { times, values }, counter, SPAN);

describe('aggregate', () => {
  it('knows mean, last, min, max, sum and median', () => {
    const values = [4, -2, 7, 7, 1];
    expect(of('mean', values)).toBeCloseTo(3.4, 12);
    expect(of('last', values)).toBe(1);
    expect(of('min', values)).toBe(-2);
    expect(of('max', values)).toBe(7);
    expect(of('sum', values)).toBe(17);
    expect(of('median', values)).toBe(4);
    expect(of('median', [1, 2, 3, 10])).toBe(2.5);
  });

  it('is NaN without readings, for every kind', () => {
    for (const kind of ['mean', 'last', 'min', 'max', 'sum', 'median', 'delta'] as const)
      expect(of(kind, [])).toBeNaN();
  });

  it('leaves the readings as they were', () => {
    const values = [3, 1, 2];
    of('median', values);
    expect(values).toEqual([3, 1, 2]);
  });

  it('does not depend on the order of arrival', () => {
    const reading = fc.record({
      time: fc.integer({ min: 0, max: 59_999 }),
      value: fc.integer({ min: 0, max: 1000 }),
    });
    const readings = fc.uniqueArray(reading, { selector: ({ time }) => time, minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(
        readings,
        fc.infiniteStream(fc.nat()),
        fc.constantFrom<Aggregate>('mean', 'last', 'sum', 'delta', 'median'),
        (list, keys, kind) => {
          const run = (some: typeof list) => {
            const counter = { last: 5, timeMs: -1000 };
            const sorted = inOrder({ times: some.map((r) => r.time), values: some.map((r) => r.value) });
            return [aggregate(kind, sorted, counter, SPAN), counter.last, counter.timeMs];
          };
          const order = new Map(list.map((r) => [r, keys.next().value]));
          const shuffled = [...list].sort((a, b) => Number(order.get(a)) - Number(order.get(b)));
          expect(run(shuffled)).toEqual(run(list));
        },
      ),
    );
  });
});

describe('counterIncrease', () => {
  it('is the difference while it counts', () => {
    expect(counterIncrease(100, 130.5)).toBe(30.5);
    expect(counterIncrease(7, 7)).toBe(0);
  });

  it('goes over the end of 16 and 32 bits', () => {
    expect(counterIncrease(65_530, 4)).toBe(10);
    expect(counterIncrease(2 ** 32 - 1, 99)).toBe(100);
    // 65,530 of a wider counter that is reset is taken for a wrap; one that stood higher is not.
    expect(counterIncrease(70_000, 4)).toBe(4);
  });

  it('takes a deep fall for a reset', () => {
    expect(counterIncrease(5000, 12)).toBe(12);
    expect(counterIncrease(65_530.5, 4)).toBe(4);
    expect(counterIncrease(65_530, 30_000)).toBe(30_000);
    expect(counterIncrease(12, 0)).toBe(0);
  });

  it('takes a slight fall for a correction', () => {
    expect(counterIncrease(1000.02, 1000.01)).toBe(0);
    expect(counterIncrease(1000, 901)).toBe(0);
    expect(counterIncrease(1000, 899)).toBe(899);
  });

  it('never counts backwards', () => {
    const value = fc.double({ min: 0, max: 2 ** 40, noNaN: true });
    fc.assert(fc.property(value, value, (a, b) => counterIncrease(a, b) >= 0));
  });
});

describe('delta', () => {
  it('counts from the last reading of the bucket before', () => {
    const counter = fresh();
    expect(of('delta', [100], counter)).toBeNaN();
    expect(of('delta', [103, 108], counter)).toBe(8);
    expect(of('delta', [], counter)).toBeNaN();
    expect(of('delta', [110], counter)).toBe(2);
  });

  it('counts within the very first bucket', () => {
    expect(of('delta', [100, 104])).toBe(4);
  });

  it('handles a reset and a wrap inside a bucket', () => {
    const counter = { last: 90, timeMs: -1000 };
    expect(of('delta', [100, 3, 5], counter)).toBe(15);
    counter.last = 65_500;
    expect(of('delta', [65_530, 10], counter)).toBe(46);
  });

  it('does not count a trembling counter twice', () => {
    const counter = { last: 100, timeMs: -1000 };
    expect(of('delta', [99.99, 100, 99.98, 100.5], counter)).toBeCloseTo(0.5, 9);
  });

  it('goes on from a correction', () => {
    const counter = { last: 1000, timeMs: -1000 };
    expect(of('delta', [950, 960], counter)).toBe(10);
  });

  it('spreads what was counted during a gap over the gap', () => {
    // Ten minutes of silence, then 110 more: 10 a minute.
    const counter = { last: 0, timeMs: -630_000 };
    expect(of('delta', [110], counter, [30_000])).toBeCloseTo(10, 9);
    // From the bucket just before, however early in it, everything is this bucket's.
    const close = { last: 0, timeMs: -59_000 };
    expect(of('delta', [110], close, [59_000])).toBe(110);
  });
});
