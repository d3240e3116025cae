import { expect, it } from 'vitest';
import { OpenBuckets } from '../../src/series/open-buckets.ts';
import { Random } from '../../src/training/random.ts';

it('equals a map, for any input in any order', () => {
  const rng = new Random(7);
  const open = new OpenBuckets();
  const known = new Map<number, number[]>();
  for (let i = 0; i < 5000; i++) {
    const index = Math.floor(rng.uniform() * (i < 2500 ? 12 : 2));
    const values = known.get(index) ?? [];
    for (const time of [i, i - 1, 0]) expect(open.includes(index, time)).toBe(values.includes(time));
    if (values.length === 0 || rng.uniform() < 0.5) {
      open.add(index, i, i);
      known.set(index, [...values, i]);
    } else {
      expect(open.take(index)).toMatchObject({ times: values, values });
      known.delete(index);
    }
    expect(open.take(99)).toBeUndefined();
    const indices = [...known.keys()].sort((a, b) => a - b);
    expect(open.size).toBe(indices.length);
    expect(open.first).toBe(indices[0] ?? Number.POSITIVE_INFINITY);
    expect(open.all().map((one) => one.values)).toEqual(indices.map((one) => known.get(one)));
  }
  expect(open.take(99)).toBeUndefined();
  open.clear();
  expect([open.size, open.first]).toEqual([0, Number.POSITIVE_INFINITY]);
});

it('keeps its order while entries are removed one by one and others are added', () => {
  const open = new OpenBuckets();
  for (let index = 0; index < 500; index++) open.add(index, index, index);
  for (let index = 0; index < 480; index++) {
    expect(open.first).toBe(index);
    if (index % 3 === 0) open.add(1000 + index, index, index);
    expect(open.take(index)?.values).toEqual([index]);
    expect(open.take(index)).toBeUndefined();
  }
  expect(open.size).toBe(20 + 160);
  expect(open.all().map(({ values }) => values[0])).toEqual([
    ...Array.from({ length: 20 }, (_, i) => 480 + i),
    ...Array.from({ length: 160 }, (_, i) => 3 * i),
  ]);
});
