import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aggregate, inOrder } from '../../src/series/aggregate.ts';
import { Counter } from '../../src/series/counter.ts';
import { AGGREGATES, type Aggregate, isCounter } from '../../src/series/spec.ts';

const SPAN = { startMs: 0, intervalMs: 60_000 };
const counterOf = (kind: Aggregate): Counter | null => (isCounter(kind) ? new Counter(kind) : null);
/** A counter that stood at a value at a time. */
const stood = (value: number, timeMs: number): Counter => {
  const counter = new Counter('delta');
  counter.read(timeMs, value);
  return counter;
};
const of = (
  kind: Aggregate,
  values: number[],
  counter = counterOf(kind),
  times = values.map((_, i) => i * 1000),
) => aggregate(kind, { times, values }, counter, SPAN).value;

describe('aggregate', () => {
  it('computes mean, last, min, max, sum and median', () => {
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
    for (const kind of AGGREGATES) expect(of(kind, [])).toBeNaN();
  });

  it('does not change the readings', () => {
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
        fc.constantFrom<Aggregate>('mean', 'last', 'sum', 'delta', 'change', 'circular-mean', 'median'),
        (list, keys, kind) => {
          const run = (some: typeof list) => {
            const counter = counterOf(kind);
            counter?.read(-1000, 5);
            const sorted = inOrder({ times: some.map((r) => r.time), values: some.map((r) => r.value) });
            return [aggregate(kind, sorted, counter, SPAN), counter?.read(60_000, 500)];
          };
          const order = new Map(list.map((r) => [r, keys.next().value]));
          const shuffled = [...list].sort((a, b) => Number(order.get(a)) - Number(order.get(b)));
          expect(run(shuffled)).toEqual(run(list));
        },
      ),
    );
  });
});

describe('circular-mean', () => {
  it('goes the shorter way round', () => {
    expect(of('circular-mean', [355, 5, 15])).toBeCloseTo(5, 9);
    expect(of('circular-mean', [350, 10])).toBeCloseTo(0, 9);
    expect(of('circular-mean', [90, 180])).toBeCloseTo(135, 9);
    expect(of('circular-mean', [-10])).toBeCloseTo(350, 9);
  });

  it('is the last value if directions cancel out', () => {
    expect(of('circular-mean', [90, 270])).toBe(270);
  });
});

describe('delta', () => {
  it('counts from the last reading of the bucket before', () => {
    const counter = counterOf('delta');
    expect(of('delta', [100], counter)).toBeNaN();
    expect(of('delta', [103, 108], counter, [1000, 2000])).toBe(8);
    expect(of('delta', [], counter)).toBeNaN();
    expect(of('delta', [110], counter, [3000])).toBe(2);
  });

  it('counts within the very first bucket', () => {
    expect(of('delta', [100, 104])).toBe(4);
  });

  it('distributes the increase during a gap over the gap', () => {
    // Ten minutes of silence, then 110 more: 10 a minute.
    expect(of('delta', [120], stood(10, -630_000), [30_000])).toBeCloseTo(10, 9);
    // From the bucket just before, however early in it, everything is this bucket's.
    expect(of('delta', [120], stood(10, -59_000), [59_000])).toBe(110);
  });
});
