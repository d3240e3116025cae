import { describe, expect, test } from 'vitest';
import { chartPast, readHistory } from '../../src/agent/history.ts';
import { OUT_OF_RANGE, SPIKE } from '../../src/series/quality.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { testSpec } from '../support/specs.ts';

const START = 1_700_000_000_000;

function filled(): MemoryStore {
  const store = new MemoryStore();
  for (const [offset, value] of [
    [0, 1],
    [400, 3],
    [1000, 5],
    [3200, 7],
    [4000, 9],
  ] as const)
    store.append({ stream: 'a', timeMs: START + offset, value, arrivalMs: START });
  return store;
}
const values = (aggregate: 'mean' | 'sum' | 'delta', buckets = 10) =>
  chartPast(filled(), { spec: testSpec('a', { aggregate }), intervalMs: 1000 }, START + 4000, buckets).map(
    (p) => [p.timeMs - START, p.observed],
  );

test('buckets before the given one, with the empty ones between', () => {
  expect(values('mean')).toEqual([
    [0, 2],
    [1000, 5],
    [2000, null],
    [3000, 7],
  ]);
  expect(values('sum')[0]).toEqual([0, 4]);
  expect(values('mean', 2)).toEqual([[3000, 7]]);
});

test('marked buckets are listed, and refused readings are not part of their value', () => {
  const store = filled();
  store.append({ stream: 'a', timeMs: START + 500, value: 1e6, arrivalMs: START }, OUT_OF_RANGE);
  store.append({ stream: 'a', timeMs: START + 2500, value: 1e6, arrivalMs: START }, OUT_OF_RANGE);
  store.mark('a', { fromMs: START + 1000, toMs: START + 2000, marks: SPIKE });
  const points = chartPast(store, { spec: testSpec('a'), intervalMs: 1000 }, START + 4000, 10);
  expect(points.map((p) => [p.observed, p.marks])).toEqual([
    [2, ['out-of-range']],
    [5, ['spike']],
    [null, ['out-of-range']],
    [7, undefined],
  ]);
});

test('is empty while the interval is unknown', () => {
  expect(chartPast(filled(), { spec: testSpec('a'), intervalMs: null }, START + 4000, 10)).toEqual([]);
});

test('a counter has its increase in each bucket', () => {
  const store = new MemoryStore();
  for (let n = 0; n < 40; n++)
    store.append({ stream: 'a', timeMs: START + n * 500, value: 1000 + n * 3, arrivalMs: START });
  const view = { spec: testSpec('a', { aggregate: 'delta' }), intervalMs: 1000 };
  const points = chartPast(store, view, START + 20_000, 10);
  expect(points).toHaveLength(10);
  expect(points.slice(3).map(({ observed }) => observed)).toEqual(points.slice(3).map(() => 6));
});

describe('readHistory', () => {
  const HOUR = 3_600_000;
  const view = { spec: testSpec('a'), intervalMs: 60_000 };
  /** Ten days at a minute: the value is the number of the minute; the third day is missing. */
  function tenDays(): MemoryStore {
    const store = new MemoryStore();
    for (let n = 0; n < 14_400; n++)
      if (n < 2880 || n >= 4320)
        store.append({
          stream: 'a',
          timeMs: START - (START % 60_000) + n * 60_000,
          value: n,
          arrivalMs: START,
        });
    return store;
  }
  const first = START - (START % 60_000);
  const read = (store: MemoryStore, fromMs: number, toMs: number, points: number, sliceMs = Infinity) => {
    let pauses = 0;
    const spans: number[] = [];
    const watched = {
      samples: (stream: string, from: number, to = 0) => {
        spans.push(to - from);
        return store.samples(stream, from, to);
      },
      sliceEnd: (from: number) => from + sliceMs,
    };
    const pause = async () => void pauses++;
    return readHistory(watched, view, { fromMs, toMs, points }, pause).then((found) => ({
      ...found,
      pauses,
      spans,
    }));
  };

  test('thins a long span to as many bins as asked for, with mean and range; a gap has no reading', async () => {
    const { binMs, bins } = await read(tenDays(), first, first + 240 * HOUR, 240);
    expect(binMs).toBe(HOUR);
    expect(bins.length).toBeGreaterThanOrEqual(239);
    const middle = bins.find(({ timeMs }) => timeMs >= first + 10 * HOUR);
    if (!middle) throw new Error('no bin');
    const least = (middle.timeMs - first) / 60_000;
    expect(middle).toEqual({ timeMs: middle.timeMs, mean: least + 29.5, low: least, high: least + 59 });
    const gap = bins.filter(({ mean }) => mean === null).map(({ timeMs }) => (timeMs - first) / HOUR);
    expect(gap.length).toBeGreaterThanOrEqual(23);
    expect(Math.min(...gap)).toBeGreaterThan(47);
    expect(Math.max(...gap)).toBeLessThan(72);
  });

  test('a short span has every bucket as it is', async () => {
    const { binMs, bins } = await read(tenDays(), first + HOUR, first + 2 * HOUR, 600);
    expect(binMs).toBe(60_000);
    expect(bins.map(({ mean }) => mean)).toEqual(Array.from({ length: 60 }, (_, i) => 60 + i));
  });

  test('reads in slices of the store, with a pause after each', async () => {
    const whole = await read(tenDays(), first, first + 240 * HOUR, 240);
    const sliced = await read(tenDays(), first, first + 240 * HOUR, 240, 7 * HOUR);
    expect(sliced.spans).toHaveLength(35);
    expect(sliced.pauses).toBe(35);
    expect(sliced.bins).toEqual(whole.bins);
  });

  test('an empty or reversed span, and a stream whose interval is unknown, have none', async () => {
    expect((await read(tenDays(), first + HOUR, first, 10)).bins).toEqual([]);
    expect((await read(new MemoryStore(), first, first + HOUR, 10)).bins).toEqual([]);
  });
});
