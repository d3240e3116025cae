import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { angleDifference, normaliseAngle } from '../../src/series/circle.ts';
import { Line } from '../../src/series/line.ts';

describe('a line of values', () => {
  it('takes its unit from the first value that is not 0', () => {
    for (const size of [1e-300, 1e-40, 1e-13, 1e-10]) {
      const line = new Line();
      expect(line.enter(0)).toBe(0);
      const entered = line.enter(3 * size);
      expect(entered).toBeGreaterThanOrEqual(1);
      expect(entered).toBeLessThan(2);
      expect(line.toUnit(entered)).toBe(3 * size);
      expect(line.outgrown(1000 * size)).toBe(false);
      expect(line.outgrown(1e12 * size)).toBe(true);
    }
  });

  it('holds the same values in another unit', () => {
    const bytes = new Line();
    const entered = bytes.enter(8e9);
    bytes.rescale(1e-6);
    expect(bytes.enter(8000)).toBeCloseTo(entered, 6);
    expect(bytes.outgrown(8001)).toBe(false);
  });

  it('does not change usual values, and subtracts a large offset', () => {
    const usual = new Line();
    expect(usual.enter(21.5)).toBe(21.5);
    const large = new Line();
    expect(large.enter(45_678.9)).toBeCloseTo(-0.1, 9);
    expect(large.toUnit(large.enter(45_679.4))).toBeCloseTo(45_679.4, 9);
  });
});

describe('a line of directions', () => {
  it('continues across north without a jump, within a turn of the middle', () => {
    const turns = fc.array(fc.double({ min: -170, max: 170, noNaN: true }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(turns, (list) => {
        const line = new Line(true);
        let degrees = 350;
        let before = line.enter(degrees);
        for (const turn of list) {
          degrees = normaliseAngle(degrees + turn);
          const now = line.enter(degrees);
          expect(Math.abs(angleDifference(now, degrees))).toBeLessThan(1e-6);
          expect(Math.abs(angleDifference(before, now) - turn)).toBeLessThan(1e-6);
          before = now;
        }
        expect(Math.abs(before)).toBeLessThan(360 * 4);
      }),
    );
  });

  it('places the median within a turn, and the other quantiles within half a turn of it', () => {
    const line = new Line(true);
    const rows = Float64Array.of(-380, -355, -20, 300, 365, 900);
    line.settle(rows, 3, 1);
    expect([...rows]).toEqual(
      [-20, 5, 185, 300 - 360 + 360 - 65, 5, 185].map((x, i) => (i === 3 ? 5 - 65 : x)),
    );
  });
});
