import { describe, expect, it } from 'vitest';
import { DAY_MS } from '../../../src/training/generate/frame.ts';
import { generateMixture, generateSeries, RECIPE_NAMES } from '../../../src/training/generate/mixture.ts';
import { Random } from '../../../src/training/random.ts';

const finite = (values: Float32Array) => Array.from(values).filter(Number.isFinite);

/** Autocorrelation at a lag over pairs that are both observed. */
function autocorrelation(values: Float32Array, lag: number): number {
  const seen = finite(values);
  const mean = seen.reduce((a, b) => a + b, 0) / seen.length;
  let top = 0;
  let pairs = 0;
  let variance = 0;
  for (let t = lag; t < values.length; t++) {
    if (!Number.isFinite(values[t]!) || !Number.isFinite(values[t - lag]!)) continue;
    top += (values[t]! - mean) * (values[t - lag]! - mean);
    variance += (values[t]! - mean) ** 2;
    pairs++;
  }
  return pairs ? top / variance : 0;
}

describe('generateMixture', () => {
  it('is the same for the same seed, and different for another seed', () => {
    const a = generateMixture(7, 12, 600);
    const b = generateMixture(7, 12, 600);
    expect(b).toEqual(a);
    expect(generateMixture(8, 12, 600)[0]!.values).not.toEqual(a[0]!.values);
  });

  it('begins with the smaller mixture of the same seed', () => {
    expect(generateMixture(3, 20, 400).slice(0, 5)).toEqual(generateMixture(3, 5, 400));
  });

  it('covers every recipe, many intervals, gaps and scales', () => {
    const all = generateMixture(1, 600, 512);
    const recipes = new Set(all.map((one) => one.name.split('-')[0]));
    expect([...recipes].sort()).toEqual([...RECIPE_NAMES].sort());
    expect(new Set(all.map((one) => one.intervalMs)).size).toBeGreaterThan(9);
    const gappy = all.filter((one) => finite(one.values).length < one.values.length).length;
    expect(gappy).toBeGreaterThan(150);
    expect(gappy).toBeLessThan(350);
    for (const one of all) {
      expect(one.values.length).toBe(512);
      expect(finite(one.values).length).toBeGreaterThan(0);
      expect(Array.from(one.values).some((v) => v === Number.POSITIVE_INFINITY)).toBe(false);
      expect(one.startMs % one.intervalMs).toBe(0);
      expect(one.startMs % DAY_MS).toBeGreaterThanOrEqual(0);
    }
  });
});

describe('generateSeries', () => {
  it.each(RECIPE_NAMES)('%s is finite without damage and not constant', (recipe) => {
    for (let seed = 0; seed < 5; seed++) {
      const one = generateSeries(new Random(seed), {
        steps: 1000,
        intervalMs: 900_000,
        recipe,
        damage: false,
      });
      expect(finite(one.values)).toHaveLength(1000);
      expect(new Set(one.values).size).toBeGreaterThan(1);
    }
  });

  it('aligns the solar day with the clock', () => {
    const lags = [0, 1, 2, 3].map((seed) => {
      const one = generateSeries(new Random(seed), {
        steps: 24 * 30,
        intervalMs: 3_600_000,
        recipe: 'solar',
        damage: false,
      });
      return autocorrelation(one.values, 24) - autocorrelation(one.values, 12);
    });
    for (const difference of lags) expect(difference).toBeGreaterThan(0.5);
  });

  it('refuses a recipe it does not know', () => {
    expect(() => generateSeries(new Random(1), { steps: 10, recipe: 'nonsense' })).toThrow(RangeError);
  });
});
