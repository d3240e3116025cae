import { describe, expect, it } from 'vitest';
import { Random } from '../../src/training/random.ts';

const many = (draw: () => number, n = 20_000) => Array.from({ length: n }, draw);
const mean = (x: number[]) => x.reduce((a, b) => a + b, 0) / x.length;

describe('Random', () => {
  it('is repeatable for a seed', () => {
    const draw = (seed: number) => {
      const rng = new Random(seed);
      return many(() => rng.uniform(), 50);
    };
    expect(draw(5)).toEqual(draw(5));
    expect(draw(5)).not.toEqual(draw(6));
  });

  it('continues from a saved state', () => {
    const a = new Random(3);
    a.normal();
    const state = a.save();
    const next = many(() => a.normal(), 5);
    const b = new Random(99);
    b.restore(state);
    expect(many(() => b.normal(), 5)).toEqual(next);
  });

  it('has the expected moments', () => {
    const rng = new Random(1);
    const normals = many(() => rng.normal());
    expect(mean(normals)).toBeCloseTo(0, 1);
    expect(mean(normals.map((x) => x * x))).toBeCloseTo(1, 1);
    expect(mean(many(() => rng.uniform()))).toBeCloseTo(0.5, 2);
    expect(mean(many(() => rng.exponential()))).toBeCloseTo(1, 1);
    expect(mean(many(() => rng.poisson(3)))).toBeCloseTo(3, 1);
    expect(mean(many(() => rng.poisson(50))) / 50).toBeCloseTo(1, 2);
    expect(Math.min(...many(() => rng.int(2, 4), 500))).toBe(2);
    expect(Math.max(...many(() => rng.int(2, 4), 500))).toBe(4);
  });

  it('draws an index by weight and never one of weight 0', () => {
    const rng = new Random(1);
    const drawn = many(() => rng.weighted([0, 1, 3]));
    expect(drawn.includes(0)).toBe(false);
    expect(mean(drawn.map((i) => (i === 2 ? 1 : 0)))).toBeCloseTo(0.75, 1);
  });

  it('derives generators that differ from each other and from the parent', () => {
    const rng = new Random(1);
    const first = rng.child().uniform();
    expect(rng.child().uniform()).not.toBe(first);
  });
});
