import { describe, expect, it } from 'vitest';
import { Random } from '../../src/training/random.ts';
import { keepInside, makeBatch, type SamplerOptions, WindowSampler } from '../../src/training/sampler.ts';
import { plainSeries, ramp } from './synthetic.ts';

const options: SamplerOptions = {
  steps: 8,
  stride: 4,
  leads: 2,
  batch: 3,
  stateLayers: 2,
  hidden: 2,
  chunks: 4,
  burnIn: 0,
};
const full = (n: number) => ({ from: 0, to: n });

/** Series number and first step of each row, read back from x: values are 1000 * series + step. */
function places(x: Float32Array, steps = 8, batch = 3): { series: number; from: number }[] {
  return Array.from({ length: batch }, (_, b) => {
    const value = x[b * 3]!;
    // Buckets past the end of a series repeat its last.
    const end = value < 1000 ? 899 : 2099;
    for (let t = 0; t < steps; t++) {
      const read = x[(t * batch + b) * 3]!;
      if (read !== value + t) expect([199, 899, 1099, 1199, 2099]).toContain(read);
      expect(read).toBeLessThanOrEqual(Math.min(end, value + t));
    }
    return { series: Math.floor(value / 1000), from: value % 1000 };
  });
}

describe('WindowSampler', () => {
  const series = [plainSeries('a', ramp(200)), plainSeries('b', ramp(200, 1000))];

  it('walks in consecutive chunks with carried state and zeroes the state on a jump', () => {
    const sampler = new WindowSampler(series, [full(200), full(200)], options, new Random(1));
    let before = places(sampler.next().x);
    let stayed = 0;
    let jumped = 0;
    for (let i = 0; i < 200; i++) {
      sampler.carry(new Float32Array(2 * 3 * 2).fill(i + 1));
      const batch = sampler.next();
      const now = places(batch.x);
      now.forEach((place, b) => {
        const same = place.series === before[b]!.series && place.from === before[b]!.from + 8;
        const state = [0, 1].flatMap((s) =>
          Array.from(batch.h0.subarray((s * 3 + b) * 2, (s * 3 + b) * 2 + 2)),
        );
        if (state.every((v) => v === i + 1)) {
          expect(same).toBe(true);
          stayed++;
        } else {
          expect(state).toEqual([0, 0, 0, 0]);
          jumped++;
        }
      });
      before = now;
    }
    expect(stayed).toBeGreaterThan(200);
    expect(jumped).toBeGreaterThan(100);
  });

  it('places targets by origin and lead, within the range', () => {
    const range = { from: 20, to: 60 };
    const sampler = new WindowSampler([series[0]!], [range], { ...options, chunks: 9 }, new Random(2));
    let seen = 0;
    for (let i = 0; i < 100; i++) {
      const { x, z, target, weight } = sampler.next();
      for (let b = 0; b < 3; b++) {
        for (let p = 0; p < 2; p++) {
          for (let m = 0; m < 2; m++) {
            const cell = (p * 3 + b) * 2 + m;
            if (!weight[cell]) continue;
            const origin = x[(((p + 1) * 4 - 1) * 3 + b) * 3 + 2]!;
            const lead = Math.round(z[cell * 2 + 1]! * 4);
            expect(target[cell]).toBe(origin + lead);
            expect(z[cell * 2]).toBe(origin);
            expect(target[cell]).toBeGreaterThanOrEqual(20);
            expect(target[cell]).toBeLessThan(60);
            seen++;
          }
        }
      }
    }
    expect(seen).toBeGreaterThan(500);
  });

  it('ignores unobserved targets and the burn-in', () => {
    const holes = ramp(200).map((v) => (v % 2 ? Number.NaN : v));
    const sampler = new WindowSampler([plainSeries('a', holes)], [full(200)], options, new Random(3));
    for (let i = 0; i < 30; i++) {
      const { target, weight } = sampler.next();
      for (let c = 0; c < target.length; c++) if (weight[c]) expect(target[c]! % 2).toBe(0);
    }
    const burning = new WindowSampler(
      series,
      [full(200), full(200)],
      { ...options, chunks: 1, burnIn: 4 },
      new Random(3),
    );
    const { weight } = burning.next();
    expect(Array.from(weight.subarray(0, 6))).toEqual([0, 0, 0, 0, 0, 0]);
    expect(weight.subarray(6).some((w) => w > 0)).toBe(true);
  });

  it('lets a share of the rows follow cold series from their first step, which counts', () => {
    const cold = { ...plainSeries('b', ramp(200, 1000)), cold: true };
    const draw = (coldShare: number) => {
      const each = { ...options, chunks: 1, batch: 40, burnIn: 8, coldShare };
      const sampler = new WindowSampler([series[0]!, cold], [full(200), full(200)], each, new Random(8));
      let count = 0;
      for (let i = 0; i < 25; i++) {
        const { x, weight } = sampler.next();
        for (const [b, place] of places(x, 8, 40).entries()) {
          const counts = weight[b * 2]! > 0;
          expect(counts).toBe(place.series === 1);
          if (place.series !== 1) continue;
          expect(place.from).toBe(0);
          count++;
        }
      }
      return count / 1000;
    };
    expect(draw(0)).toBe(0);
    expect(draw(0.3)).toBeGreaterThan(0.26);
    expect(draw(0.3)).toBeLessThan(0.34);
  });

  it('skips a batch without a trace in the later ones', () => {
    const cold = { ...plainSeries('b', ramp(200, 1000)), cold: true };
    const make = () =>
      new WindowSampler(
        [series[0]!, cold],
        [full(200), full(200)],
        { ...options, coldShare: 0.3 },
        new Random(6),
      );
    const walked = make();
    const skipped = make();
    for (let i = 0; i < 40; i++) {
      walked.next();
      skipped.skip();
    }
    const state = new Float32Array(2 * 3 * 2).fill(7);
    for (const sampler of [walked, skipped]) sampler.carry(state);
    expect(skipped.next()).toEqual(walked.next());
  });

  it('is the same for the same seed', () => {
    const run = () => {
      const sampler = new WindowSampler(series, [full(200), full(200)], options, new Random(4));
      for (let i = 0; i < 5; i++) sampler.next();
      return sampler.batch.target.slice();
    };
    expect(run()).toEqual(run());
  });

  it('weights groups as configured and long series by the root of their length', () => {
    const many = [
      plainSeries('long', ramp(900), 4, 'g'),
      plainSeries('short', ramp(100, 1000), 4, 'g'),
      plainSeries('other', ramp(100, 2000), 4, 'h'),
    ];
    const sampler = new WindowSampler(
      many,
      [full(900), full(100), full(100)],
      { ...options, chunks: 1, batch: 40, groupWeights: { h: 2 } },
      new Random(5),
    );
    const count = [0, 0, 0];
    for (let i = 0; i < 100; i++) {
      for (const place of places(sampler.next().x, 8, 40)) count[place.series]!++;
    }
    expect(count[2]! / 4000).toBeCloseTo(2 / 3, 1);
    expect(count[0]! / count[1]!).toBeGreaterThan(2.4);
    expect(count[0]! / count[1]!).toBeLessThan(3.7);
  });

  it('refuses series that are all too short, and a stride that does not fit', () => {
    const make = (n: number, stride = 4) =>
      new WindowSampler(
        [plainSeries('a', ramp(n), 4, 'a', stride)],
        [full(n)],
        { ...options, stride },
        new Random(1),
      );
    expect(() => make(3)).toThrow(/long enough/);
    expect(() => make(100, 3)).toThrow(/origin every 3 steps/);
  });

  it('starts anywhere on the grid, and one time in eight at the beginning', () => {
    const one = { ...options, chunks: 1, batch: 40 };
    const sampler = new WindowSampler([series[0]!], [{ from: 18, to: 200 }], one, new Random(9));
    const starts = Array.from({ length: 100 }, () => places(sampler.next().x, 8, 40)).flat();
    const grid = [...new Set(starts.map(({ from }) => from))].sort((a, b) => a - b);
    expect(grid).toEqual(Array.from({ length: 43 }, (_, i) => 20 + 4 * i));
    const atBeginning = starts.filter(({ from }) => from === 20).length / starts.length;
    expect(atBeginning).toBeGreaterThan(0.12);
    expect(atBeginning).toBeLessThan(0.17);
  });

  it('leaves an origin without a target in the range blank', () => {
    const sampler = new WindowSampler([series[0]!], [{ from: 4, to: 12 }], options, new Random(1));
    const { z, target, weight } = sampler.next();
    // Origins are at steps 7 and 11; the range ends after step 11.
    expect(z.subarray(0, 12).every((value) => value > 0)).toBe(true);
    expect([...z.subarray(12), ...target.subarray(6), ...weight.subarray(6)]).toEqual(Array(24).fill(0));
  });

  it('handles a series shorter than a chunk', () => {
    const sampler = new WindowSampler([plainSeries('a', ramp(6))], [full(6)], options, new Random(1));
    const { weight, x } = sampler.next();
    expect(weight.some((w) => w > 0)).toBe(true);
    expect(x.every(Number.isFinite)).toBe(true);
  });
});

describe('keepInside', () => {
  it('weighs no target before the range, nor from its end on', () => {
    const batch = makeBatch({ steps: 4, stride: 4, leads: 6, batch: 1 }, 1, 1, 1, 1);
    batch.weight.fill(1);
    keepInside(batch, { from: 12, to: 14 }, 10, new Int32Array([1, 2, 3, 4]), 1);
    expect([...batch.weight]).toEqual([1, 0, 1, 1, 0, 1]);
  });
});

describe('makeBatch', () => {
  it('has the shapes of the training graph', () => {
    const batch = makeBatch({ steps: 8, stride: 4, leads: 2, batch: 3 }, 2, 5, 7, 11);
    expect([batch.x, batch.h0, batch.z, batch.target, batch.weight].map((a) => a.length)).toEqual([
      8 * 3 * 7,
      2 * 3 * 5,
      2 * 3 * 2 * 11,
      12,
      12,
    ]);
  });
});
