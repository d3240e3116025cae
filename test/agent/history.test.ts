import { expect, test } from 'vitest';
import { chartPast } from '../../src/agent/history.ts';
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

test('marked buckets are told of; what was refused is no part of their value', () => {
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

test('nothing for counters, nor while the interval is unknown', () => {
  expect(values('delta')).toEqual([]);
  expect(chartPast(filled(), { spec: testSpec('a'), intervalMs: null }, START + 4000, 10)).toEqual([]);
});
