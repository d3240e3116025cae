import { describe, expect, it } from 'vitest';
import { ValidationPass } from '../../src/training/validation.ts';
import { plainSeries, ramp } from './synthetic.ts';

const options = { steps: 8, stride: 4, leads: 2, batch: 2, stateLayers: 1, hidden: 2, warmUp: 16 };

describe('ValidationPass', () => {
  const series = [
    plainSeries('a', ramp(100)),
    plainSeries('b', ramp(80, 1000)),
    plainSeries('c', ramp(30, 2000)),
  ];
  const ranges = [{ from: 60, to: 100 }, { from: 40, to: 80 }, null];

  it('visits each target of the range from each origin once, and nothing outside', () => {
    const pass = new ValidationPass(series, ranges, options);
    const pairs = new Set<string>();
    for (const { z, target, weight } of pass.batches()) {
      for (let c = 0; c < target.length; c++) {
        if (!weight[c]) continue;
        const key = `${z[c * 2]}:${target[c]}`;
        expect(pairs.has(key)).toBe(false);
        pairs.add(key);
        const value = target[c]!;
        expect(value < 1000 ? value >= 60 && value < 100 : value >= 1040 && value < 1080).toBe(true);
      }
    }
    // Origins every 4 steps from bucket 59 or 39 (warmed up before) to the one before the last: 10 a series, 2 leads each.
    expect(pairs.size).toBe(2 * 10 * 2);
  });

  it('is repeatable and starts from a zero state', () => {
    const pass = new ValidationPass(series, ranges, options);
    const sum = () => {
      let total = 0;
      let first = true;
      for (const batch of pass.batches()) {
        if (first) expect(batch.h0.every((h) => h === 0)).toBe(true);
        first = false;
        for (let c = 0; c < batch.target.length; c++) total += batch.target[c]! * batch.weight[c]!;
        pass.carry(new Float32Array(4).fill(1));
      }
      return total;
    };
    expect(sum()).toBe(sum());
  });

  it('keeps the newest part when limited', () => {
    const pass = new ValidationPass([series[0]!], [{ from: 20, to: 100 }], {
      ...options,
      batch: 1,
      mostBatches: 2,
    });
    let least = Number.POSITIVE_INFINITY;
    for (const { target, weight } of pass.batches()) {
      for (let c = 0; c < target.length; c++) if (weight[c]) least = Math.min(least, target[c]!);
    }
    expect(least).toBeGreaterThanOrEqual(84);
  });

  it('is empty without ranges', () => {
    expect([...new ValidationPass(series, [null, null, null], options).batches()]).toEqual([]);
  });
});
