import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkSeries, splitInTime } from '../../src/training/dataset.ts';
import { plainSeries, ramp } from './synthetic.ts';

describe('splitInTime', () => {
  it('keeps a gap of the horizon between the parts', () => {
    expect(splitInTime(1000, 24, 0.2)).toEqual({
      train: { from: 0, to: 776 },
      validation: { from: 800, to: 1000 },
    });
  });

  it('uses a series too short for validation entirely for training', () => {
    expect(splitInTime(60, 24, 0.2)).toEqual({ train: { from: 0, to: 60 }, validation: null });
    expect(splitInTime(1000, 24, 0)).toEqual({ train: { from: 0, to: 1000 }, validation: null });
    expect(splitInTime(10, 1, 0.9, 0)).toEqual({ train: { from: 0, to: 10 }, validation: null });
  });

  it('gives either part the minimum length, or does not split', () => {
    expect(splitInTime(100, 10, 0.1).validation).toEqual({ from: 90, to: 100 });
    expect(splitInTime(99, 10, 0.1).validation).toBeNull();
    expect(splitInTime(40, 10, 0.5).train).toEqual({ from: 0, to: 10 });
    expect(splitInTime(38, 10, 0.5).validation).toBeNull();
  });

  it('never lets a training bucket come within the horizon of a validation bucket', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5000 }),
        fc.integer({ min: 1, max: 336 }),
        fc.double({ min: 0, max: 0.99, noNaN: true }),
        (n, leads, fraction) => {
          const { train, validation } = splitInTime(n, leads, fraction);
          expect(train.from).toBe(0);
          if (!validation) {
            expect(train.to).toBe(n);
            return;
          }
          expect(train.to).toBeGreaterThan(0);
          expect(validation.from - train.to).toBe(leads);
          expect(validation.to).toBe(n);
        },
      ),
    );
  });

  it('refuses a fraction outside [0, 1)', () => {
    for (const bad of [-0.1, 1, Number.NaN]) expect(() => splitInTime(10, 1, bad)).toThrow(/fraction/);
  });
});

describe('checkSeries', () => {
  it('reports the problem', () => {
    const shape = { stride: 4, leads: 2 };
    const good = plainSeries('a', ramp(10));
    expect(() => checkSeries([], shape)).toThrow(/no series/);
    expect(() => checkSeries([good], { stride: 2, leads: 2 })).toThrow(
      /every 4 steps; the batch needs 2 every 2/,
    );
    expect(checkSeries([good], shape)).toEqual({ inputs: 3, zWidth: 2 });
    expect(() => checkSeries([good, { ...good, name: 'b', zWidth: 3 }], shape)).toThrow(
      /'b' has 3 inputs and 3 lead/,
    );
  });
});
