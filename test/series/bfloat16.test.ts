import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Bfloat16 } from '../../src/series/bfloat16.ts';

const codec = new Bfloat16();
const kept = (value: number): number => codec.decode(codec.encode(value));

it('stores a number with an error of 0.4 % in 16 bits', () => {
  fc.assert(
    fc.property(fc.double({ min: 1e-37, max: 1e37, noNaN: true }), (value) => {
      for (const signed of [value, -value]) {
        expect(Math.abs(kept(signed) - signed)).toBeLessThanOrEqual(2 ** -7.999 * value);
        expect(codec.encode(signed)).toBe(new Int16Array([codec.encode(signed)])[0]);
      }
    }),
  );
});

it('keeps order, zero, infinities and NaN', () => {
  fc.assert(
    fc.property(fc.float({ noNaN: true }), fc.float({ noNaN: true }), (a, b) => {
      expect(kept(Math.min(a, b))).toBeLessThanOrEqual(kept(Math.max(a, b)));
    }),
  );
  expect([0, 1, -2.5, Infinity, -Infinity].map(kept)).toEqual([0, 1, -2.5, Infinity, -Infinity]);
  for (const bits of [0x7fffffff, -1, 0x7fc00000]) {
    expect(kept(new Float32Array(Int32Array.of(bits).buffer)[0])).toBeNaN();
  }
});
