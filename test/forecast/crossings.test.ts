import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crossings, probabilityBelow } from '../../src/forecast/crossings.ts';
import { Q, QUANTILES } from '../../src/quantiles.ts';

const even = Float64Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9);

describe('probabilityBelow', () => {
  it('is the level at each quantile, and linear between', () => {
    QUANTILES.forEach((level, q) => {
      expect(probabilityBelow(even, 0, even[q])).toBeCloseTo(level, 12);
    });
    expect(probabilityBelow(even, 0, 2.5)).toBeCloseTo(0.25, 12);
  });

  it('has tails that halve with every distance of p10 from p50', () => {
    expect(probabilityBelow(even, 0, -3)).toBeCloseTo(0.05, 12);
    expect(probabilityBelow(even, 0, -7)).toBeCloseTo(0.025, 12);
    expect(probabilityBelow(even, 0, 13)).toBeCloseTo(0.95, 12);
  });

  it('never falls as the value rises, and stays within 0 and 1', () => {
    const value = fc.double({ min: -1e6, max: 1e6, noNaN: true });
    const row = fc.array(value, { minLength: Q, maxLength: Q }).map((list) => Float64Array.from(list).sort());
    fc.assert(
      fc.property(row, value, value, (quantiles, a, b) => {
        const low = probabilityBelow(quantiles, 0, Math.min(a, b));
        const high = probabilityBelow(quantiles, 0, Math.max(a, b));
        expect(low).toBeGreaterThanOrEqual(0);
        expect(high).toBeLessThanOrEqual(1);
        expect(high).toBeGreaterThanOrEqual(low);
      }),
    );
  });

  it('is certain about a constant', () => {
    const constant = new Float64Array(Q).fill(4);
    expect(probabilityBelow(constant, 0, 3.999)).toBe(0);
    expect(probabilityBelow(constant, 0, 4.001)).toBe(1);
  });
});

describe('crossings', () => {
  /** A tank that falls by 10 a step from 100, known within +-8 (p10..p90). */
  const leads = 12;
  const falling = Float64Array.from({ length: leads * Q }, (_, i) => {
    const k = Math.floor(i / Q) + 1;
    return 100 - 10 * k + 2 * ((i % Q) - 4);
  });
  const at = (name: string, side: 'above' | 'below', value: number) =>
    crossings([{ name, side, value }], falling, leads, 1_000_000, 60_000)[0];

  it('gives the first bucket with its median beyond the threshold', () => {
    expect(at('low', 'below', 35)).toMatchObject({
      name: 'low',
      side: 'below',
      value: 35,
      atMs: 1_000_000 + 7 * 60_000,
    });
    expect(at('low', 'below', 35).probability).toBeGreaterThan(0.95);
    // The median of the seventh bucket is on the threshold, not beyond it.
    expect(at('low', 'below', 30).atMs).toBe(1_000_000 + 8 * 60_000);
  });

  it('gives the likeliest bucket if no median is beyond the threshold', () => {
    const crossing = at('empty', 'below', -21);
    expect(crossing.atMs).toBe(1_000_000 + 12 * 60_000);
    expect(crossing.probability).toBeCloseTo(0.45, 9);
  });

  it('gives no time if the probability is negligible', () => {
    expect(at('full', 'above', 1000)).toMatchObject({ atMs: null });
    expect(at('full', 'above', 1000).probability).toBeLessThan(0.01);
  });

  it('reports a threshold that is crossed in the first bucket', () => {
    expect(at('high', 'above', 50).atMs).toBe(1_000_000 + 60_000);
  });

  it('gives no time before forecasts of that lead have been scored, but their number', () => {
    const scored = (k: number): number => (k < 6 ? 16 : 3);
    const at = (value: number) =>
      crossings([{ name: 'low', side: 'below', value }], falling, leads, 0, 60_000, 0.8, scored)[0]!;
    expect(at(85)).toMatchObject({ atMs: 2 * 60_000 });
    expect(at(85)).not.toHaveProperty('learning');
    expect(at(35)).toMatchObject({ atMs: null, learning: { scored: 3, of: 16 } });
    expect(at(35).probability).toBeGreaterThan(0.95);
  });

  it('uses the levels of the calibrated coverage', () => {
    const spread = Float64Array.from({ length: 9 }, (_, q) => q);
    const at = (value: number, coverage?: number) =>
      crossings([{ name: 'low', side: 'below', value }], spread, 1, 0, 60_000, coverage)[0]!.probability;
    expect(at(0)).toBeCloseTo(0.1, 12);
    expect(at(0, 0.9)).toBeCloseTo(0.05, 12);
    expect(at(4, 0.9)).toBeCloseTo(0.5, 12);
    expect(at(8, 0.5)).toBeCloseTo(0.75, 12);
  });
});
