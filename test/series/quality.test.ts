import { describe, expect, it } from 'vitest';
import { UTC } from '../../src/series/calendar.ts';
import { Features } from '../../src/series/features.ts';
import { FLAT_LINE, MASKED, markNames, Quality, SPIKE, STEP, STUCK } from '../../src/series/quality.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';
import { generateSeries, RECIPE_NAMES } from '../../src/training/generate/mixture.ts';
import { Random } from '../../src/training/random.ts';
import { uniform } from '../support/random.ts';
import { ordinary, SHAPES } from '../support/series.ts';

const INTERVALS = [60_000, 600_000, 3_600_000];

/** Marks of every value, judged as in a stream: masked ones enter the features as missing. */
function judge(values: ArrayLike<number>, intervalMs = 600_000, startMs = 0): Uint8Array {
  const features = new Features(intervalMs, 6, UTC);
  const quality = new Quality();
  return Uint8Array.from({ length: values.length }, (_, t) => {
    const value = values[t];
    const expected = { point: features.anchor[0], error: features.scale[0] };
    const marks = Number.isNaN(value) ? 0 : quality.judge(value, expected, features.gapAge);
    const observed = !Number.isNaN(value) && (marks & MASKED) === 0;
    features.update(startMs + t * intervalMs, observed ? value : features.anchor[0], observed);
    return marks;
  });
}

const count = (marks: Uint8Array, bit: number): number => marks.filter((mark) => (mark & bit) !== 0).length;
const clean = (recipe: string, seed: number) =>
  generateSeries(new Random(seed), { steps: 1500, recipe, damage: false, intervalMs: INTERVALS[seed % 3] });

function moments(values: ArrayLike<number>): { mean: number; deviation: number } {
  const list = Array.from(values);
  const mean = list.reduce((sum, y) => sum + y, 0) / list.length;
  return { mean, deviation: Math.sqrt(list.reduce((sum, y) => sum + (y - mean) ** 2, 0) / list.length) };
}

describe('a clean series', () => {
  for (const recipe of RECIPE_NAMES) {
    it(`of kind ${recipe} is hardly ever marked`, () => {
      let masked = 0;
      for (let seed = 0; seed < 3; seed++) {
        const { values, intervalMs, startMs } = clean(recipe, seed);
        const found = count(judge(values, intervalMs, startMs), MASKED);
        expect(found, `seed ${seed}`).toBeLessThanOrEqual(0.01 * values.length);
        masked += found;
      }
      expect(masked).toBeLessThanOrEqual(0.005 * 3 * 1500);
    });
  }

  it('of every shape is accepted within a few buckets', () => {
    for (const [name, shape] of Object.entries(SHAPES)) {
      if (name === 'spiky') continue;
      expect(count(judge(shape(700)), MASKED), name).toBeLessThanOrEqual(8);
    }
  });
});

describe('a spike', () => {
  it('is found in nearly every kind of series', () => {
    let injected = 0;
    let found = 0;
    for (const recipe of RECIPE_NAMES) {
      const { values, intervalMs, startMs } = clean(recipe, 11);
      const { mean, deviation } = moments(values);
      const next = uniform(12);
      const at = Array.from({ length: 6 }, (_, i) => 300 + 190 * i + Math.floor(next() * 50));
      for (const t of at) values[t] = mean + (next() < 0.5 ? -1 : 1) * deviation * (8 + 20 * next());
      const marks = judge(values, intervalMs, startMs);
      injected += at.length;
      found += at.filter((t) => (marks[t] & SPIKE) !== 0).length;
    }
    expect(found / injected).toBeGreaterThan(0.93);
  });

  it('is marked alone: the readings around it are good', () => {
    const values = ordinary(13)(600);
    values[400] = 85;
    const marks = judge(values);
    expect(marks[400]).toBe(SPIKE);
    expect(count(marks, 255)).toBe(1);
  });

  it('does not hide the next one', () => {
    const values = ordinary(14)(600);
    for (const t of [400, 402, 440]) values[t] = -127;
    const marks = judge(values);
    expect([400, 402, 440].map((t) => marks[t])).toEqual([SPIKE, SPIKE, SPIKE]);
  });

  it('is not marked if such readings are usual', () => {
    // A heating that comes on for a single bucket now and then.
    const values = Float64Array.from({ length: 1200 }, (_, t) => (t % 23 === 22 ? 2000 : 3 + (t % 3)));
    const marks = judge(values);
    expect(count(marks.subarray(200), MASKED)).toBe(0);
  });

  it('within a former range is found once that range is long past', () => {
    const quality = new Quality();
    const noise = uniform(5);
    const at = (level: number, value = level + noise()) =>
      quality.judge(value, { point: level, error: 1 }, 0);
    const stay = (level: number, readings: number) => {
      for (let i = 0; i < readings; i++) at(level);
    };
    stay(1000, 200);
    stay(0, 1000);
    expect(at(0, 500)).toBe(0);
    stay(0, 11_000);
    expect(at(0, 500)).toBe(SPIKE);
  });

  it('is not marked after a long gap, when the level may have changed', () => {
    const values = ordinary(15)(500).map((y, t) =>
      t >= 300 && t < 340 ? Number.NaN : t >= 340 ? y + 60 : y,
    );
    expect(count(judge(values), MASKED)).toBe(0);
  });
});

describe('a step to another level', () => {
  for (const jump of [30, 300, -300]) {
    it(`by ${jump} masks one bucket and is then accepted`, () => {
      const values = ordinary(16)(800).map((y, t) => (t >= 500 ? y + jump : y));
      const marks = judge(values);
      expect([...marks.subarray(500, 502)]).toEqual([SPIKE, STEP]);
      expect(count(marks.subarray(502), 255)).toBe(0);
    });
  }

  it('masks at most three buckets in any kind of series', () => {
    for (const recipe of RECIPE_NAMES) {
      const { values, intervalMs, startMs } = clean(recipe, 17);
      const { deviation } = moments(values);
      const marks = judge(
        values.map((y, t) => (t >= 900 ? y + 15 * deviation : y)),
        intervalMs,
        startMs,
      );
      expect(count(marks.subarray(900, 1000), MASKED), recipe).toBeLessThanOrEqual(3);
    }
  });

  it('into much more noise masks few buckets', () => {
    const noise = ordinary(18)(800);
    const values = noise.map((y, t) => (t >= 500 ? 20 + 40 * (y - 20) * Math.sin(t * t) : y));
    const marks = judge(values);
    expect(count(marks.subarray(500), MASKED)).toBeLessThanOrEqual(8);
  });
});

describe('a stuck sensor', () => {
  const stuckFrom = (t: number, values: Float64Array) => values.map((y, i) => (i >= t ? values[t] : y));

  it('is detected after an unusually long constant value, until it is accepted', () => {
    const values = stuckFrom(500, ordinary(19)(900));
    const marks = judge(values);
    const first = marks.findIndex((mark) => (mark & STUCK) !== 0);
    expect(first).toBeGreaterThanOrEqual(520);
    expect(first).toBeLessThan(530);
    expect(count(marks.subarray(0, 500), MASKED)).toBe(0);
    // A stream that never moves again is what it is.
    expect(marks[890]).toBe(0);
    expect(count(marks, STUCK)).toBeLessThan(100);
  });

  it('is found in most kinds of series that usually move', () => {
    const kinds = ['composed', 'cyclic', 'weather', 'server', 'water', 'arma', 'walk', 'reverting'];
    let found = 0;
    for (const recipe of kinds) {
      const { values, intervalMs, startMs } = clean(recipe, 20);
      values.fill(values[900], 900, 1200);
      if (count(judge(values, intervalMs, startMs), STUCK) > 0) found++;
    }
    expect(found).toBeGreaterThanOrEqual(6);
  });

  it('is a flat line if only the last digit varies', () => {
    const values = ordinary(21)(700).map((y, t) => (t >= 500 && t < 560 ? 21.37 + 0.001 * (t % 2) : y));
    const marks = judge(values);
    expect(count(marks, FLAT_LINE)).toBeGreaterThan(20);
    expect(count(marks, STUCK)).toBe(0);
    expect(count(marks.subarray(561), MASKED)).toBe(0);
  });

  it('is not marked if constant values are usual: dark nights, empty rooms, set points', () => {
    const day = 144;
    const solar = Float64Array.from({ length: 10 * day }, (_, t) =>
      Math.max(0, Math.sin((2 * Math.PI * t) / day) * 900),
    );
    expect(count(judge(solar), MASKED)).toBe(0);
    const next = uniform(22);
    let level = 20;
    const setPoint = Float64Array.from({ length: 1500 }, () => {
      if (next() < 0.02) level = 18 + Math.floor(6 * next()) / 2;
      return level;
    });
    expect(count(judge(setPoint), MASKED)).toBeLessThanOrEqual(8);
  });

  it('learns that a stream may be constant for long', () => {
    // Every few hundred buckets it stands still for a hundred.
    const values = ordinary(23)(6000);
    for (let t = 300; t < 6000; t += 400) values.fill(values[t], t, t + 100);
    const marks = judge(values);
    expect(count(marks.subarray(0, 800), STUCK)).toBeGreaterThan(0);
    expect(count(marks.subarray(3000), STUCK)).toBe(0);
  });
});

describe('quality', () => {
  it('continues from a restored state', () => {
    const values = SHAPES.spiky(600);
    const expected = { point: 20, error: 1 };
    for (const cut of [0, 5, 40, 300]) {
      const one = new Quality();
      for (let t = 0; t < cut; t++) one.judge(values[t], expected, 0);
      const writer = new StateWriter();
      one.persist(writer);
      const two = new Quality();
      const reader = new StateReader(writer.finish());
      two.persist(reader);
      reader.finish();
      for (let t = cut; t < 600; t++)
        expect(two.judge(values[t], expected, 0)).toBe(one.judge(values[t], expected, 0));
    }
  });

  it('names the marks', () => {
    expect(markNames(0)).toEqual([]);
    expect(markNames(SPIKE | STEP)).toEqual(['spike', 'step']);
  });

  it('does not depend on the unit', () => {
    const values = ordinary(24)(500);
    values[300] = 90;
    expect(judge(values.map((y) => 1000 * y - 7))).toEqual(judge(values));
  });
});
