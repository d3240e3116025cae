import { describe, expect, it } from 'vitest';
import { createRandom } from '../../src/network/random.ts';

describe('random numbers', () => {
  it('are the published xoshiro128** sequence', () => {
    // state 1 2 3 4: first outputs of the authors' C code
    const random = createRandom([1, 2, 3, 4]);
    const bits = Array.from({ length: 4 }, () => random.next() * 2 ** 32);
    expect(bits).toEqual([11520, 0, 5927040, 70819200]);
  });

  it('continue from a stored state', () => {
    const random = createRandom(7);
    random.normal();
    const copy = createRandom(random.state());
    expect([copy.next(), copy.integer(10), copy.normal()]).toEqual([
      random.next(),
      random.integer(10),
      random.normal(),
    ]);
  });

  it('have the expected moments', () => {
    const random = createRandom(1);
    const n = 50_000;
    const moments = (draw: () => number) => {
      const values = Array.from({ length: n }, draw);
      const mean = values.reduce((a, b) => a + b) / n;
      return { mean, variance: values.reduce((a, b) => a + (b - mean) ** 2, 0) / n };
    };
    const uniform = moments(random.next);
    expect(uniform.mean).toBeCloseTo(1 / 2, 2);
    expect(uniform.variance).toBeCloseTo(1 / 12, 2);
    const normal = moments(random.normal);
    expect(normal.mean).toBeCloseTo(0, 1);
    expect(normal.variance).toBeCloseTo(1, 1);
    const whole = Array.from({ length: 1000 }, () => random.integer(3));
    expect(new Set(whole)).toEqual(new Set([0, 1, 2]));
  });
});
