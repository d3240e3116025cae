import { describe, expect, it } from 'vitest';
import { History } from '../../src/series/history.ts';
import { LagMatch } from '../../src/series/lag-match.ts';
import { ordinary } from '../support/series.ts';

const MAX_LAG = 60;
const MIN_LAG = 5;

/** The best lag by definition: weighted sums of distances and of weights, in single precision, counted lag by lag. */
function byHand(values: Float64Array, memory: number, minWeight: number): number {
  let best = -1;
  let least = Infinity;
  for (let lag = MIN_LAG; lag <= MAX_LAG; lag++) {
    let [distance, weight] = [0, 0];
    for (let t = lag; t < values.length; t++) {
      const difference = Math.abs(Math.fround(values[t]!) - Math.fround(values[t - lag]!));
      distance = Math.fround(distance * (1 - 1 / memory) + difference);
      weight = Math.fround(weight * (1 - 1 / memory) + 1);
    }
    if (weight >= minWeight && distance / weight < least) [least, best] = [distance / weight, lag];
  }
  return best;
}

describe('LagMatch', () => {
  it.each([3, 20, 62, 90, 400])('finds the best-fitting lag after %d steps', (steps) => {
    const values = ordinary(3, 24)(steps);
    for (const [memory, minWeight] of [
      [24, 12],
      [1024, 10],
    ] as const) {
      const history = new History(MAX_LAG + 2);
      const match = new LagMatch(MAX_LAG, MIN_LAG, memory);
      for (const value of values) {
        history.push(value);
        match.update(history);
      }
      const out = new Int32Array(1);
      const expected = byHand(values, memory, minWeight);
      expect(match.best(out, 1, minWeight)).toBe(expected < 0 ? 0 : 1);
      if (expected >= 0) expect(out[0]).toBe(expected);
    }
  });
});
