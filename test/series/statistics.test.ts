/** The small statistics of a stream, each against the same thing worked out plainly: running means, quantiles, seasonal profile. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { QUANTILES } from '../../src/quantiles.ts';
import { Climate } from '../../src/series/climate.ts';
import { compress, expand } from '../../src/series/companding.ts';
import { LeadKnots } from '../../src/series/lead-knots.ts';
import { Profile } from '../../src/series/profile.ts';
import { RobustScale, RunningMean } from '../../src/series/running.ts';
import { type StateIo, StateReader, StateWriter } from '../../src/series/state-io.ts';
import { normal, uniform } from '../support/random.ts';

interface Persists {
  persist(io: StateIo): void;
}
/** Saves one and restores it into another. */
function restore<T extends Persists>(from: T, into: T): T {
  const writer = new StateWriter();
  from.persist(writer);
  const reader = new StateReader(writer.finish());
  into.persist(reader);
  reader.finish();
  return into;
}
/** Without -0, which sorts as equal to 0 but is not equal for `toEqual`. */
const finite = fc.double({ min: -1e6, max: 1e6, noNaN: true }).map((value) => value + 0);

describe('a running mean', () => {
  it('is the plain mean until the span is full, then moves by 1/span of the difference', () => {
    fc.assert(
      fc.property(
        fc.array(finite, { minLength: 1, maxLength: 30 }),
        fc.integer({ min: 1, max: 10 }),
        (values, span) => {
          const mean = new RunningMean(span);
          let expected = 0;
          for (const [i, value] of values.entries()) {
            mean.add(value);
            expected += (value - expected) / Math.min(i + 1, span);
            expect(mean.count).toBe(Math.min(i + 1, span));
            expect(mean.value).toBe(expected);
          }
          const head = values.slice(0, span);
          const plain = new RunningMean(span);
          for (const value of head) plain.add(value);
          expect(plain.value).toBeCloseTo(head.reduce((sum, value) => sum + value, 0) / head.length, 6);
        },
      ),
    );
  });

  it('continues from a saved state', () => {
    const [one, two] = [new RunningMean(3), new RunningMean(3)];
    for (const value of [4, 8, 1, 7]) one.add(value);
    restore(one, two);
    expect([two.value, two.count]).toEqual([one.value, 3]);
    for (const mean of [one, two]) mean.add(100);
    expect(two.value).toBe(one.value);
  });
});

describe('a robust scale', () => {
  it('is the mean of the absolute values without outliers', () => {
    const scale = new RobustScale(4);
    for (const value of [-1, 2, -3]) scale.add(value);
    expect(scale.value).toBeCloseTo(2, 12);
    scale.add(4);
    scale.add(-5);
    expect(scale.value).toBeCloseTo(2.5 + (5 - 2.5) / 4, 12);
  });

  it('limits an outlier to ten times the mean, after eight values', () => {
    const scaleOf = (calm: number, wild: number): number => {
      const scale = new RobustScale(100);
      for (let i = 0; i < calm; i++) scale.add(1);
      scale.add(wild);
      return scale.value;
    };
    expect(scaleOf(7, 1000)).toBeCloseTo((7 + 1000) / 8, 9);
    expect(scaleOf(8, 1000)).toBeCloseTo((8 + 10) / 9, 9);
    expect(scaleOf(8, -1000)).toBeCloseTo((8 + 10) / 9, 9);
    expect(scaleOf(8, 9)).toBeCloseTo((8 + 9) / 9, 9);
  });

  it('grows again after a constant', () => {
    const scale = new RobustScale(100);
    for (let i = 0; i < 20; i++) scale.add(0);
    scale.add(21);
    expect(scale.value).toBe(1);
  });

  it('continues from a saved state', () => {
    const [one, two] = [new RobustScale(50), new RobustScale(50)];
    for (let i = 0; i < 9; i++) one.add(i);
    restore(one, two);
    for (const scale of [one, two]) scale.add(1e6);
    expect([two.value, two.count]).toEqual([one.value, one.count]);
  });
});

describe('the climate', () => {
  it('has the empirical quantiles of the first two dozen values', () => {
    fc.assert(
      fc.property(fc.array(finite, { minLength: 1, maxLength: 24 }), (values) => {
        const climate = new Climate();
        for (const value of values) climate.add(value, 1);
        const sorted = [...values].sort((a, b) => a - b);
        expect([...climate.quantiles]).toEqual(
          QUANTILES.map((level) => sorted[Math.min(sorted.length - 1, Math.floor(level * sorted.length))]),
        );
      }),
    );
  });

  it('finds the quantiles of values that differ from the first ones, and keeps them in order', () => {
    const next = uniform(3);
    const climate = new Climate();
    for (let i = 0; i < 24; i++) climate.add(next() / 2, 0.25);
    for (let i = 0; i < 20_000; i++) {
      climate.add(next(), 0.25);
      for (let q = 1; q < QUANTILES.length; q++)
        if ((climate.quantiles[q] ?? 0) < (climate.quantiles[q - 1] ?? 0)) expect.fail(`they cross at ${i}`);
    }
    for (const [q, level] of QUANTILES.entries())
      expect(climate.quantiles[q]).toSatisfy((value: number) => Math.abs(value - level) < 0.08);
  });

  it('moves a level up by its share of a step, and down by the rest', () => {
    const climate = new Climate();
    for (let i = 0; i < 24; i++) climate.add(0, 1);
    climate.add(10, 2);
    // 4 * 2 / 25 is the step of the 25th value.
    for (const [q, level] of QUANTILES.entries()) expect(climate.quantiles[q]).toBeCloseTo(0.32 * level, 12);
    const before = [...climate.quantiles];
    climate.add(-10, 2);
    for (const [q, level] of QUANTILES.entries())
      expect(climate.quantiles[q]).toBeCloseTo((before[q] ?? 0) - (8 / 26) * (1 - level), 12);
    const there = [...climate.quantiles];
    climate.add(there[0] ?? 0, 2);
    expect(climate.quantiles[0]).toBe(there[0]);
  });

  it('continues from a saved state, during its first values and after them', () => {
    for (const cut of [0, 5, 23, 24, 60]) {
      const next = normal(cut);
      const [one, two] = [new Climate(), new Climate()];
      for (let i = 0; i < cut; i++) one.add(next(), 1);
      restore(one, two);
      for (let i = 0; i < 40; i++) {
        const value = next();
        for (const climate of [one, two]) climate.add(value, 1);
        expect(two.quantiles, `${i} after ${cut}`).toEqual(one.quantiles);
      }
    }
  });
});

describe('a seasonal profile', () => {
  it('is the mean of each phase, or the fallback if a phase has no value', () => {
    const profile = new Profile(4, 1000);
    expect(profile.bins).toBe(4);
    expect(profile.at(0.25, -7)).toBe(-7);
    for (let day = 0; day < 5; day++) for (let bin = 0; bin < 3; bin++) profile.add(bin / 4, 10 * bin + day);
    for (let bin = 0; bin < 3; bin++) expect(profile.at(bin / 4, -7)).toBeCloseTo(10 * bin + 2, 4);
    expect(profile.at(0.75, -7)).toBe(-7);
    // A phase a rounding error before the next one belongs to that one.
    expect(profile.at(0.25 - 1e-9, -7)).toBeCloseTo(12, 4);
    expect(profile.at(0.24, -7)).toBeCloseTo(2, 4);
  });

  it('forgets: a mean of the last seasons, by weight 1/memory', () => {
    const profile = new Profile(4, 10);
    for (let day = 0; day < 50; day++) profile.add(0, day % 2 === 0 ? 1 : -1);
    let mean = profile.at(0, 0);
    for (let day = 0; day < 5; day++) {
      profile.add(0, 2);
      mean += (2 - mean) / 10;
      expect(profile.at(0, 0)).toBeCloseTo(mean, 5);
    }
  });

  it('limits an outlier to ten deviations', () => {
    const profile = new Profile(1, 1000);
    for (let i = 0; i < 10; i++) profile.add(0, i % 2);
    const [mean, spread] = [profile.at(0, 0), profile.spread(0)];
    profile.add(0, 1e6);
    expect(profile.at(0, 0)).toBeCloseTo(mean + (10 * spread) / 11, 4);
    expect(profile.spread(0)).toBeCloseTo(spread + (9 * spread) / 10, 4);
    profile.add(0, -1e6);
    expect(Math.abs(profile.at(0, 0))).toBeLessThan(20);
  });

  it('has a mean absolute deviation, smoothed over the phases beside it, across the turn of the season too', () => {
    const profile = new Profile(4, 1000);
    expect(profile.spread(0)).toBeNaN();
    profile.add(0, 5);
    expect(profile.spread(0)).toBeNaN();
    // The second value of a phase misses its mean by 4, the third by 1: (4 + 1) / 2.
    profile.add(0, 9);
    expect(profile.spread(0)).toBeCloseTo(4, 5);
    profile.add(0, 8);
    expect(profile.spread(0)).toBeCloseTo(2.5, 5);
    for (const value of [0, 10]) profile.add(0.25, value);
    expect(profile.spread(0)).toBeCloseTo((2 * 2.5 + 10) / 3, 5);
    expect(profile.spread(0.25)).toBeCloseTo((2.5 + 2 * 10) / 3, 5);
    expect(profile.spread(0.5)).toBeCloseTo(10, 5);
    expect(profile.spread(0.75)).toBeCloseTo(2.5, 5);
  });

  it('shares bins if a season has more steps, and interpolates linearly between them', () => {
    const steps = 1000;
    const profile = new Profile(steps, 20, 10);
    expect(profile.bins).toBe(10);
    for (let season = 0; season < 5; season++)
      for (let step = 0; step < steps; step++) profile.add(step / steps, Math.floor(step / 100));
    expect(profile.at(0.05, 0)).toBeCloseTo(0, 3);
    expect(profile.at(0.1, 0)).toBeCloseTo(0.5, 3);
    expect(profile.at(0.43, 0)).toBeCloseTo(3.8, 3);
    // From the last bin to the first.
    expect(profile.at(0.99, 0)).toBeCloseTo(9 - 0.4 * 9, 3);
    expect(profile.at(0.01, 0)).toBeCloseTo(9 - 0.6 * 9, 3);
    const young = new Profile(steps, 20, 10);
    young.add(0.05, 3);
    expect(young.at(0.09, -1)).toBe(3);
    expect(young.at(0.11, -1)).toBe(-1);
  });

  it('continues from a saved state', () => {
    const next = normal(8);
    const [one, two] = [new Profile(6, 5), new Profile(6, 5)];
    for (let i = 0; i < 40; i++) one.add((i % 6) / 6, next());
    restore(one, two);
    for (let i = 0; i < 20; i++) {
      const value = next();
      for (const profile of [one, two]) profile.add((i % 6) / 6, value);
      expect(two.at((i % 6) / 6, 0)).toBe(one.at((i % 6) / 6, 0));
      expect(two.spread((i % 6) / 6)).toBe(one.spread((i % 6) / 6));
    }
  });
});

describe('knots over leads', () => {
  it('hold the candidates below the horizon and the horizon itself', () => {
    expect(new LeadKnots([1, 2, 4, 8], 6).knots).toEqual([1, 2, 4, 6]);
    expect(new LeadKnots([1, 2, 4, 8], 4).knots).toEqual([1, 2, 4]);
    expect(new LeadKnots([1, 2, 4, 8], 1).knots).toEqual([1]);
  });

  it('interpolate in the logarithm of the lead, and are exact at a knot', () => {
    const knots = new LeadKnots([1, 3, 10], 30);
    // [knots, 2]: the second column is linear in the logarithm, so every lead has its own logarithm.
    const values = Float64Array.from(knots.knots.flatMap((k) => [k * k, Math.log(k)]));
    for (let lead = 1; lead <= 30; lead++) {
      expect(knots.interpolate(values, 2, 1, lead - 1), `lead ${lead}`).toBeCloseTo(Math.log(lead), 12);
      expect(knots.between(lead - 1, (j) => Math.log(knots.knots[j] ?? 0))).toBeCloseTo(Math.log(lead), 12);
    }
    for (const k of knots.knots) expect(knots.interpolate(values, 2, 0, k - 1)).toBe(k * k);
  });

  it('give each knot k a ring of k rows, in which a row is used again after k steps', () => {
    const knots = new LeadKnots([1, 2, 5], 9);
    const owner = new Map<number, number>();
    for (const [j, k] of knots.knots.entries())
      for (let step = 0; step < 3 * k; step++) {
        const row = knots.row(j, step);
        expect(row).toBe(knots.row(j, step + k));
        expect(owner.get(row) ?? j).toBe(j);
        owner.set(row, j);
      }
    expect([...owner.keys()].sort((a, b) => a - b)).toEqual([...Array(knots.rows).keys()]);
  });
});

describe('companding', () => {
  it('decodes every code, in order, up to 8 on both sides', () => {
    let before = Number.NEGATIVE_INFINITY;
    for (let code = -127; code <= 127; code++) {
      expect(compress(expand(code))).toBe(code);
      expect(expand(code)).toBeGreaterThan(before);
      expect(expand(-code) + expand(code)).toBe(0);
      before = expand(code);
    }
    expect(expand(0)).toBe(0);
    expect(expand(127)).toBeCloseTo(8, 5);
    expect(compress(1e9)).toBe(127);
    expect(compress(-Infinity)).toBe(-127);
    expect(compress(Number.NaN)).toBe(0);
  });

  it('errs by about 5 % at most, and less than 1/1000 near zero', () => {
    fc.assert(
      fc.property(fc.double({ min: -8, max: 8, noNaN: true }), (value) => {
        const error = Math.abs(expand(compress(value)) - value);
        expect(error).toBeLessThanOrEqual(0.03 * Math.abs(value) + 0.0006);
      }),
      { numRuns: 1000 },
    );
  });
});
