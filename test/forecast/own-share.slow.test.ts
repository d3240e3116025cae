import { describe, expect, it } from 'vitest';
import { normal } from '../support/random.ts';
import { DAY, type Forecaster, LEADS, MONTH, noise, play, right } from './own-share.ts';

describe('a month of changing regimes', () => {
  /** Which of the two is right changes at random times, after hours or days; the other is off by as much as the regime says. */
  function regimes(seed: number): {
    readonly values: Float64Array;
    readonly a: Forecaster;
    readonly b: Forecaster;
  } {
    const draw = normal(seed);
    const offsets = new Float64Array(MONTH + LEADS);
    const favoursA: boolean[] = [];
    let left = 0;
    let offset = 0;
    let first = true;
    for (let t = 0; t < offsets.length; t++) {
      if (left-- <= 0) {
        left = Math.round(20 + Math.abs(draw()) * 300);
        offset = draw() * 10 ** (1 + 0.5 * draw());
        first = draw() > 0;
      }
      offsets[t] = offset;
      favoursA[t] = first;
    }
    const off = (t: number, mine: boolean): number => (favoursA[t] === mine ? 0 : offsets[t]!);
    return {
      values: noise(seed + 1000),
      a: (step, lead) => off(step + lead, true),
      b: (step, lead) => off(step + lead, false),
    };
  }

  it.each([1, 2, 3, 4, 5, 6])(
    'publishes no worse than the better of two networks, by more than 1 %% (%d)',
    (seed) => {
      const { values, a, b } = regimes(seed);
      const better = Math.min(play(values, a, null).loss, play(values, b, null).loss);
      expect(play(values, a, b).loss).toBeLessThan(1.01 * better);
      expect(play(values, b, a).loss).toBeLessThan(1.01 * better);
    },
  );

  it.each([1, 5, 6])(
    'nor more by half a percent where the network that does not help is replaced every day (%d)',
    (seed) => {
      const { values, b } = regimes(seed);
      expect(play(values, right, b, undefined, DAY).loss).toBeLessThan(1.005 * play(values, right, b).loss);
    },
  );

  it.each([1, 2, 3])(
    'nor where one of them is right all the time, and the other hardly ever (%d)',
    (seed) => {
      const { values, a } = regimes(seed);
      const better = play(values, right, null).loss;
      expect(play(values, right, a).loss).toBeLessThan(1.01 * better);
    },
  );
});
