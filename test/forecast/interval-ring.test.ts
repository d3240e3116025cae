import fc from 'fast-check';
import { expect, it } from 'vitest';
import { IntervalRing } from '../../src/forecast/interval-ring.ts';
import { ArrayBlock } from '../../src/series/array-block.ts';
import { Bfloat16 } from '../../src/series/bfloat16.ts';
import { LeadKnots } from '../../src/series/lead-knots.ts';

const knots = new LeadKnots([1, 4], 8);
const WIDTH = 6;

/** What comes back of a row that was written `lead` steps before. */
function kept(values: readonly number[]): number[] {
  const ring = new IntervalRing(knots, WIDTH, new ArrayBlock(), new Bfloat16());
  const out = new Float64Array(WIDTH);
  for (let step = 10; step < 14; step++) {
    ring.write(
      1,
      step,
      Float64Array.from([...values, ...values.map((value) => -value)]),
      step === 10 ? 0 : WIDTH,
    );
  }
  ring.read(1, 14, out);
  return [...out];
}

it('returns a row when its lead has passed, with the published interval unchanged', () => {
  const number = fc.float({ min: Math.fround(-1e6), max: Math.fround(1e6), noNaN: true });
  fc.assert(
    fc.property(fc.tuple(number, number, number, number, number, number), (row) => {
      const back = kept(row);
      expect(back.slice(3)).toEqual(row.slice(3).map(Math.fround));
      for (let i = 0; i < 3; i++) {
        const offset = Math.abs(row[i] - row[4]);
        expect(Math.abs(back[i] - row[i])).toBeLessThanOrEqual(
          0.004 * offset + 1e-6 * Math.abs(row[4]) + 1e-30,
        );
      }
    }),
  );
});

it('keeps edges that equal a reading, and quantiles that equal the median, exactly', () => {
  for (const median of [0.1, 0.2, 0.3, 0.7, 1 / 3].map(Math.fround)) {
    const back = kept([median, 0, 5, 0, median, 1]);
    expect(back[3]).toBe(0);
    expect(back[0]).toBe(back[4]);
  }
});

it('is NaN where no row was written or the candidate had no forecast', () => {
  const out = new Float64Array(WIDTH);
  new IntervalRing(knots, WIDTH, new ArrayBlock(), new Bfloat16()).read(2, 3, out);
  expect([...out].every(Number.isNaN)).toBe(true);
  expect(kept([Number.NaN, 1, 2, 0, 1, 2]).map(Number.isNaN)).toEqual([true, ...Array(5).fill(false)]);
});
