import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Counter, type CounterKind } from '../../src/series/counter.ts';
import { Random } from '../../src/training/random.ts';

const MINUTE = 60_000;

/** Increases told of readings a minute apart, the first being the reading before. */
function increases(values: readonly number[], kind: CounterKind = 'delta', counter = new Counter(kind)) {
  return values.map((value, i) => counter.read(i * MINUTE, value).increase).slice(1);
}
const total = (values: readonly number[], kind: CounterKind = 'delta'): number =>
  increases(values, kind).reduce((sum, value) => sum + (Number.isNaN(value) ? 0 : value), 0);
/** A counter that has long been counting by `step` and stands at `end`. */
const counting = (end: number, step = 1, n = 40): number[] =>
  Array.from({ length: n }, (_, i) => end - (n - 1 - i) * step);

describe('a counter that only grows', () => {
  it('returns the difference', () => {
    expect(increases([100, 130.5, 130.5, 131])).toEqual([30.5, 0, 0.5]);
  });

  it('treats a fall to 0 and the return to the old level as a dropout', () => {
    const values = [...counting(5000), 0, 5002];
    expect(increases(values).slice(-2)).toEqual([Number.NaN, 2]);
    expect(total(values)).toBe(5002 - 4961);
  });

  it('does so for several wrong readings, of any size, and at once again', () => {
    for (const wrong of [[0, 0, 0], [3100], [4600], [4e9, 0], [0, 4e9, 3100]])
      expect(total([...counting(5000), ...wrong, 5003, 5004, 5005]), String(wrong)).toBe(39 + 5);
    // 12 may have been counted since a reset, and has been told by then.
    expect(total([...counting(5000), 12, 12, 5003, 5004])).toBe(39 + 12 + 1);
    const daily = [0, 5001, 5002, 5003, 5004, 5005, 0, 5006, 5007, 5008, 5009, 0, 5010, 5011, 0, 5012];
    expect(total(daily)).toBe(5012 - 5001);
  });

  it('starts again after a restart: the next reading gives no difference, and earlier levels are forgotten', () => {
    const counter = new Counter('delta');
    increases(counting(5000), 'delta', counter);
    counter.read(40 * MINUTE, 0);
    counter.restart();
    const after = [5003, 5004, 5006].map((value, i) => counter.read((50 + i) * MINUTE, value));
    expect(after.map(({ increase }) => increase)).toEqual([Number.NaN, 1, 2]);
    expect(after.map(({ jump }) => jump)).toEqual([false, false, false]);
    // 0 after the restart is where it stands: 5002 is no return to the 5000 of before.
    const other = new Counter('delta');
    increases(counting(5000), 'delta', other);
    other.read(40 * MINUTE, 0);
    other.restart();
    other.read(50 * MINUTE, 0);
    expect(other.read(51 * MINUTE, 5002)).toMatchObject({ increase: Number.NaN, jump: true });
  });

  it('marks the wrong reading, not the one after it', () => {
    const counter = new Counter('delta');
    const jumps = [...counting(5000), 0, 5001, 5002].map((value, i) => counter.read(i * MINUTE, value).jump);
    expect(jumps.slice(-3)).toEqual([true, false, false]);
  });

  it('ignores a single outlier upwards', () => {
    for (const wild of [4_294_967_295, 99_999_999, 50_000, 5600])
      expect(total([...counting(5000), wild, 5001, 5002, 5003])).toBe(39 + 3);
  });

  it('counts a large rise that is confirmed by the next readings', () => {
    expect(total([...counting(5000), 5100, 5101, 5102])).toBe(39 + 102);
  });

  it('continues after a reset, and after a repeated message', () => {
    expect(total([...counting(5000), 2, 3, 4, 5])).toBe(39 + 5);
    expect(total([...counting(5000), 0, 1, 2, 3])).toBe(39 + 3);
    expect(total([...counting(5000), 3, 5000, 4, 5, 6])).toBe(39 + 6);
    expect(total([...counting(5000), 3, 3, 3, 4, 4, 5])).toBe(39 + 5);
  });

  it('counts a daily total that is reset at midnight', () => {
    const day = Array.from({ length: 24 }, (_, i) => i * 0.5);
    const values = [11.5, ...day, ...day, ...day, ...day];
    expect(total(values)).toBeCloseTo(4 * 11.5, 9);
  });

  it('does not take daily totals that end near the end of a range for overflows', () => {
    const rng = new Random(3);
    // 655.36 is the end of 16 bits in hundredths, 1000 that of three digits.
    for (const end of [600, 650, 960]) {
      const values: number[] = [];
      for (let day = 0; day < 30; day++) {
        const last = end * rng.range(0.9, 1);
        for (let sum = 0; sum < last; sum += Math.round(rng.range(2, 24))) values.push(sum);
      }
      const told = increases(values).filter((increase) => !Number.isNaN(increase));
      const after = told.slice(told.length / 3);
      expect(Math.max(...after), `${end}`).toBeLessThanOrEqual(24);
    }
  });

  it('does not count the total of another meter', () => {
    expect(total([...counting(5000), 812, 813, 814])).toBe(39 + 2);
    expect(total([...counting(5000), 812_345, 812_346, 812_347])).toBe(39 + 2);
  });

  it('handles an overflow', () => {
    for (const range of [1e4, 1e5, 1e6, 2 ** 16, 2 ** 32]) {
      const values = [...counting(range - 2, 3), 1, 4, 7];
      expect(total(values), String(range)).toBe(39 * 3 + 9);
    }
    // Tenths of a unit in 16 bits.
    expect(total([...counting(6553.5, 0.1), 0.1, 0.2])).toBeCloseTo(39 * 0.1 + 0.3, 6);
    // What is far from the end has been reset.
    expect(total([...counting(9000, 1), 4, 5])).toBe(39 + 5);
  });

  it('detects a dropout after a silence', () => {
    const counter = new Counter('delta');
    for (const [i, value] of counting(5000).entries()) counter.read(i * MINUTE, value);
    const after = 40 * MINUTE + 8 * 3_600_000;
    expect(counter.read(after, 0).increase).toBeNaN();
    expect(counter.read(after + MINUTE, 5012).increase).toBe(12);
  });

  it('does not count a fluctuating counter twice', () => {
    expect(total([...counting(100, 0.1), 99.99, 100, 99.98, 100.5])).toBeCloseTo(39 * 0.1 + 0.5, 9);
  });

  it('continues after a correction', () => {
    expect(total([...counting(1000), 950, 951, 952])).toBe(39 + 2);
  });

  it('never counts backwards or more than the readings show', () => {
    const values = fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 2, maxLength: 60 });
    fc.assert(
      fc.property(values, (list) => {
        const told = increases(list).filter((value) => !Number.isNaN(value));
        expect(Math.min(0, ...told)).toBe(0);
        let rises = Math.max(...list);
        for (let i = 1; i < list.length; i++) rises += Math.abs(list[i] - list[i - 1]);
        expect(told.reduce((sum, value) => sum + value, 0)).toBeLessThanOrEqual(rises * (1 + 1e-9) + 1e10);
      }),
    );
  });

  it('finds the true increase with wrong readings anywhere', () => {
    const wrong = fc.array(
      fc.record({ at: fc.integer({ min: 20, max: 180 }), value: fc.constantFrom(0, 1, 2500, 4e9, 65_535) }),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(wrong, fc.integer({ min: 1, max: 9 }), (places, step) => {
        const values = counting(20_000, step, 200);
        const truth = values[199] - values[0];
        const at = new Map(places.map(({ at, value }) => [3 * Math.floor(at / 3), value]));
        const read = values.map((value, i) => at.get(i) ?? value);
        expect(total(read)).toBe(truth);
      }),
    );
  });
});

describe('a counter that may run backwards', () => {
  it('returns the signed difference', () => {
    expect(increases([5000, 5000.4, 5000.1, 4999.6], 'change').map((x) => Math.round(10 * x))).toEqual([
      4, -3, -5,
    ]);
  });

  it('ignores wrong readings', () => {
    const values = Array.from({ length: 60 }, (_, i) => 5000 + Math.sin(i / 5));
    const read = [...values.slice(0, 40), 0, ...values.slice(40)];
    const wild = [...values.slice(0, 40), 65_535, ...values.slice(40)];
    expect(total(read, 'change')).toBeCloseTo(values[59] - values[0], 9);
    expect(total(wild, 'change')).toBeCloseTo(values[59] - values[0], 9);
  });
});
