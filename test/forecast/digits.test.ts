import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digitsFor, inDigits, writeDecimal, writeInDigits } from '../../src/forecast/digits.ts';

describe('the digits of a forecast', () => {
  it.each([
    ['a temperature', [19.2, 20.1, 21.4], 6],
    ["a meter's total", [45_678.9, 45_679.05, 45_688.3], 9],
    ['a large total', [-1e9, -1e9 - 12.5], 13],
    ['small numbers', [1.2e-9, 3.4e-9], 6],
    ['a constant', [123_456_789.25, 123_456_789.25], 12],
    ['a constant in single precision', [0.999_999_9, 1.000_000_3, 1.000_002], 6],
    ['a small constant', [-0.012, -0.012], 6],
    ['small numbers close together', [-0.012, -0.011_999_7], 10],
    ['tiny numbers close together', [1.2345e-10, 1.234_52e-10], 9],
    ['zeros', [0, 0], 6],
    ['nothing', [], 6],
  ])('%s', (_, values, digits) => {
    expect(digitsFor(values, 6)).toBe(digits);
  });

  it.each([
    ['of a total', [45_678.9, 45_678.95, 45_679]],
    ['far below one', [3.210_04e-10, 3.210_08e-10, 3.210_15e-10]],
    ['far above', [1e12 + 1000, 1e12 + 1500, 1e12 + 3000]],
    ['of a total in thousandths', [1e12 + 0.031, 1e12 + 0.045, 1e12 + 0.052]],
    ['of a constant with more whole digits', [1_700_000_000_123, 1_700_000_000_123]],
    ['of a leakage current', [7.1e-13, 9.2e-13, 1.3e-12]],
  ])('tell apart what lies close together: %s', (_, values) => {
    expect(values.map((value) => inDigits(value, digitsFor(values, 6)))).toEqual(values);
  });

  it('equal those of toPrecision for any number', () => {
    const asText = (value: number, digits: number): number => Number(value.toPrecision(digits)) + 0;
    const digits = fc.integer({ min: 3, max: 14 });
    // Everywhere, where readings are, and at halves and powers of ten.
    const values = fc.oneof(
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.double({ min: -1e5, max: 1e5, noNaN: true }),
      fc
        .tuple(fc.integer({ min: -1e7, max: 1e7 }), fc.integer({ min: 0, max: 9 }))
        .map(([n, p]) => n / 10 ** p),
      fc
        .tuple(fc.integer({ min: -12, max: 12 }), fc.integer({ min: -3, max: 3 }))
        .map(([p, ulps]) => 10 ** p * (1 + ulps * Number.EPSILON)),
    );
    fc.assert(
      fc.property(values, digits, (value, n) => {
        expect(inDigits(value, n)).toBe(asText(value, n));
      }),
      { numRuns: 20_000 },
    );
  });

  it('leave no negative zero', () => {
    expect(Object.is(inDigits(-0, 6), 0)).toBe(true);
  });

  it('are written as JSON writes them', () => {
    const bytes = Buffer.alloc(64);
    const values = fc.oneof(
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.double({ min: -1e5, max: 1e5, noNaN: true }),
      fc.integer({ min: -1_000_000, max: 1_000_000 }).map((n) => n / 1000),
    );
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 15 }), (value, digits) => {
        const end = writeInDigits(value, digits, bytes, 5);
        expect(bytes.toString('latin1', 5, end)).toBe(JSON.stringify(inDigits(value, digits)));
      }),
      { numRuns: 3000 },
    );
    const decimals = [
      [0, 0, '0'],
      [7, 0, '7'],
      [10, 0, '10'],
      [999, 0, '999'],
      [1000, 0, '1000'],
      [999_999_999, 0, '999999999'],
      [5, 2, '0.05'],
      [1205, 2, '12.05'],
    ] as const;
    for (const [whole, places, text] of decimals)
      expect(bytes.toString('latin1', 0, writeDecimal(whole, places, bytes, 0))).toBe(text);
  });
});
