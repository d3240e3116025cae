import { describe, expect, it } from 'vitest';
import { RecentInputs } from '../../src/forecast/recent-inputs.ts';
import { I } from '../../src/series/features.ts';

/** One step's inputs, different for each step and for inputs beside each other. */
const inputs = (step: number): Float32Array =>
  Float32Array.from({ length: I }, (_, i) => 0.3 * step + (i % 5) - 2);

function filled(capacity: number, steps: number): RecentInputs {
  const ring = new RecentInputs(capacity);
  // from an offset, as the engine's batches do
  for (let step = 0; step < steps; step++) ring.add(Float32Array.of(99, 99, ...inputs(step)), 2);
  return ring;
}

/** The step whose inputs were read; null: nothing was written. */
function readBack(ring: RecentInputs, age: number): number | null {
  const x = new Float32Array(I + 1).fill(Number.NaN);
  ring.read(age, x, 1);
  expect(x[0]).toBeNaN();
  if (x.slice(1).every(Number.isNaN)) return null;
  const step = Math.abs(Math.round((x[1] + 2) / 0.3));
  inputs(step).forEach((value, i) => {
    expect(Math.abs(x[1 + i] - value), `input ${i} at age ${age}`).toBeLessThan(
      0.02 + 0.03 * Math.abs(value),
    );
  });
  return step;
}

describe('RecentInputs', () => {
  it.each([0, 2, 4, 5, 7, 9])('has the newest 4 of %i steps, by age', (steps) => {
    const ring = filled(4, steps);
    const kept = Math.min(4, steps);
    expect(ring.steps).toBe(kept);
    for (let age = 0; age < 6; age++) expect(readBack(ring, age)).toBe(age < kept ? steps - 1 - age : null);
  });

  it.each([3, 6])('saves %i steps oldest first, and continues from them', (steps) => {
    const saved = filled(4, steps).save();
    expect(saved).toHaveLength(Math.min(4, steps) * I);
    const next = new RecentInputs(4);
    next.restore(saved);
    expect([...next.save()]).toEqual([...saved]);
    next.add(inputs(steps), 0);
    for (let age = 0; age < 4; age++) expect(readBack(next, age)).toBe(steps - age >= 0 ? steps - age : null);
  });

  it('ignores a saved part of a step, and more steps than it holds', () => {
    const ring = filled(2, 2);
    const before = [...ring.save()];
    for (const length of [I - 1, I + 1, 3 * I]) ring.restore(new Uint8Array(length).fill(1));
    expect([...ring.save()]).toEqual(before);
  });

  it('copies content and age', () => {
    const copy = new RecentInputs(4);
    const ring = filled(4, 6);
    copy.copy(ring);
    expect([...copy.save()]).toEqual([...ring.save()]);
    expect(readBack(copy, 0)).toBe(5);
  });

  it('holds nothing with a capacity of 0', () => {
    const ring = filled(0, 3);
    expect(ring.steps).toBe(0);
    expect(ring.save()).toHaveLength(0);
    expect(readBack(ring, 0)).toBeNull();
  });
});
