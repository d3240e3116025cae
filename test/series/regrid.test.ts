import { describe, expect, it } from 'vitest';
import { History } from '../../src/series/history.ts';
import { regridded } from '../../src/series/regrid.ts';
import type { Aggregate } from '../../src/series/spec.ts';

const MINUTE = 60_000;
const START = Date.UTC(2025, 0, 1);

/** A history of minutes that holds 0, 1, 2, ... */
function ramp(count: number): History {
  const history = new History(count + 10);
  for (let t = 0; t < count; t++) history.push(t);
  return history;
}
const minutes = (count: number) => ({ intervalMs: MINUTE, newestMs: START + (count - 1) * MINUTE });
const go = (aggregate: Aggregate, intervalMs: number, newestMs: number, count = 60) =>
  regridded(ramp(count), aggregate, minutes(count), { intervalMs, newestMs });

describe('regridded', () => {
  it('merges buckets by their aggregate', () => {
    const last = START + 50 * MINUTE;
    expect(go('mean', 10 * MINUTE, last)).toEqual({
      startMs: START,
      values: Float64Array.of(4.5, 14.5, 24.5, 34.5, 44.5, 54.5),
    });
    expect([...go('sum', 10 * MINUTE, last).values]).toEqual([45, 145, 245, 345, 445, 545]);
    expect([...go('delta', 10 * MINUTE, last).values]).toEqual([45, 145, 245, 345, 445, 545]);
    expect([...go('min', 10 * MINUTE, last).values]).toEqual([0, 10, 20, 30, 40, 50]);
    expect([...go('max', 10 * MINUTE, last).values]).toEqual([9, 19, 29, 39, 49, 59]);
    expect([...go('last', 10 * MINUTE, last).values]).toEqual([9, 19, 29, 39, 49, 59]);
    expect([...go('median', 10 * MINUTE, last).values]).toEqual([4.5, 14.5, 24.5, 34.5, 44.5, 54.5]);
  });

  it('interpolates buckets linearly between their middles', () => {
    const { startMs, values } = go('mean', 15_000, START + 59 * MINUTE + 45_000);
    expect(startMs).toBe(START);
    expect(values.length).toBe(240);
    expect(values[120]).toBeCloseTo(30 - 0.375, 6);
    expect(values[121]).toBeCloseTo(30 - 0.125, 6);
    expect(values[122]).toBeCloseTo(30 + 0.125, 6);
    // A quarter of the time counts a quarter.
    expect(go('delta', 15_000, START + 59 * MINUTE + 45_000).values[121]).toBeCloseTo((30 - 0.125) / 4, 6);
  });

  it('is empty if the history is shorter than a bucket', () => {
    expect(go('mean', 60 * MINUTE, START, 20).values.length).toBe(0);
  });

  it('is bounded, and aligned with the given grid', () => {
    const { startMs, values } = go('mean', 100, START, 500);
    expect(values.length).toBe(2048);
    expect(startMs + 2047 * 100).toBe(START);
    expect(values.every(Number.isFinite)).toBe(true);
  });
});
