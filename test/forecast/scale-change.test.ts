/** A stream that changes its unit is forecast as before, in the new unit. */
import { describe, expect, it } from 'vitest';
import { Engine } from '../../src/forecast/engine.ts';
import type { Forecast } from '../../src/forecast/forecast.ts';
import { Random } from '../../src/training/random.ts';
import { testSpec } from '../support/specs.ts';

const HOUR = 3_600_000;
const START = Date.UTC(2025, 2, 1);
const CHANGED = 400;
const STEPS = CHANGED + 60;

/** Hardly to be forecast: a factor that leaves some readings in the former range is no change of the unit yet. */
const ROUGH = 'power with a base load';
type Shape = (rng: Random) => (t: number) => number;
const SHAPES: Readonly<Record<string, Shape>> = {
  'level that follows the day': (rng) => (t) =>
    500 + 200 * Math.sin((2 * Math.PI * t) / 24) + 20 * rng.normal(),
  'air pressure': (rng) => {
    let away = 0;
    return () => {
      away = 0.99 * away + 0.3 * rng.normal();
      return 1013 + away;
    };
  },
  'large counter-like level': (rng) => (t) =>
    250_000 + 300 * Math.sin((2 * Math.PI * t) / 24) + 40 * rng.normal(),
  [ROUGH]: (rng) => () => rng.range(80, 120) + (rng.chance(0.2) ? rng.range(200, 1500) : 0),
};

/** Forecasts of a stream; NaN is an empty bucket. */
async function forecasts(values: readonly number[]): Promise<{ all: Forecast[]; mae: number }> {
  const engine = new Engine(null);
  engine.add(testSpec('s', { intervalMs: HOUR, horizonMs: 24 * HOUR, maxGapMs: 5 * HOUR }));
  const all: Forecast[] = [];
  for (const [t, value] of values.entries()) {
    const timeMs = START + t * HOUR;
    if (!Number.isNaN(value)) engine.push({ stream: 's', timeMs, value, arrivalMs: timeMs });
    const [forecast] = await engine.tick(timeMs + HOUR);
    if (forecast !== undefined) all.push(forecast);
  }
  const [score] = engine.scores('s');
  await engine.release();
  return { all, mae: score?.mae ?? Number.NaN };
}

const valuesOf = (shape: string, seed: number): number[] => {
  const next = (SHAPES[shape] as Shape)(new Random(seed));
  return Array.from({ length: STEPS }, (_, t) => next(t));
};

describe('after a change of the unit', () => {
  for (const [seed, shape] of Object.keys(SHAPES).entries())
    for (const factor of shape === ROUGH ? [1000, 1 / 100] : [1000, 1 / 100, 10, 1 / 60])
      it(`by ${factor}, forecasts of a ${shape} are those of the former unit, times the factor`, async () => {
        const former = valuesOf(shape, seed);
        const later = former.map((value, t) => (t < CHANGED ? value : factor * value));
        // The first two readings only announce the change.
        const announced = former.map((value, t) => (t === CHANGED || t === CHANGED + 1 ? Number.NaN : value));
        const expected = await forecasts(announced);
        const actual = await forecasts(later);
        expect(actual.all).toHaveLength(STEPS);
        for (let t = CHANGED + 2; t < STEPS; t++) {
          const [one, other] = [actual.all[t] as Forecast, expected.all[t] as Forecast];
          for (const [i, q] of one.quantiles.entries())
            expect(q / (factor * (other.quantiles[i] as number)), `step ${t}, ${i}`).toBeCloseTo(1, 5);
        }
        expect(actual.all[CHANGED]?.input.marks).toEqual(['spike']);
        expect(actual.all[CHANGED + 2]?.input.marks).toEqual(['step']);
        expect(actual.mae / (factor * expected.mae)).toBeCloseTo(1, 5);
      });
});

describe('no change of the unit is', () => {
  const medians = ({ all }: { all: Forecast[] }): number[] =>
    all.map(({ quantiles }) => quantiles[4] as number);

  it('another level by no usual factor between units', async () => {
    const rng = new Random(5);
    const values = Array.from({ length: STEPS }, (_, t) => (t < CHANGED ? 20 : 20 * 31) + rng.normal());
    const { all } = await forecasts(values);
    // The noise stays the same: a stream in another unit would have 31 times the noise.
    const { quantiles } = all.at(-1) as Forecast;
    expect((quantiles[8] as number) - (quantiles[0] as number)).toBeLessThan(20);
    expect(medians({ all }).at(-1)).toBeGreaterThan(600);
  });

  it('one wild reading, or two', async () => {
    const values = valuesOf('air pressure', 6).map((value, t) =>
      t === CHANGED || t === CHANGED + 20 || t === CHANGED + 21 ? 100 * value : value,
    );
    for (const [t, median] of medians(await forecasts(values)).entries())
      expect(Math.abs(median - 1013), `step ${t}`).toBeLessThan(20);
  });

  it.each([1, 2])('a pump that runs for %i readings now and then', async (length) => {
    const rng = new Random(9);
    const isOn = (t: number): boolean => t >= CHANGED - 180 && t % 12 < length;
    const values = Array.from({ length: STEPS }, (_, t) => (isOn(t) ? 60 : 6) * (1 + 0.02 * rng.normal()));
    const { all } = await forecasts(values);
    expect(all.slice(CHANGED - 100).some(({ input }) => input.marks?.includes('spike'))).toBe(false);
    const known = all.filter((_, t) => t >= CHANGED && t % 12 === 11);
    expect(known.length).toBeGreaterThan(0);
    for (const { quantiles } of known) expect(Math.abs((quantiles[4] as number) - 60)).toBeLessThan(20);
  });

  it('a second level that the stream goes to and comes back from, after the first time', async () => {
    const rng = new Random(7);
    const isOn = (t: number): boolean => t >= CHANGED - 100 && t % 20 < 10;
    const values = Array.from({ length: STEPS }, (_, t) => (isOn(t) ? 50 : 0.5) * (1 + 0.01 * rng.normal()));
    const { all } = await forecasts(values);
    const isMarked = all.slice(CHANGED - 60).some(({ input }) => input.marks?.includes('step'));
    expect(isMarked).toBe(false);
    const known = all.filter((_, t) => t >= CHANGED && t % 20 === 5);
    expect(known.length).toBeGreaterThan(0);
    for (const { quantiles } of known) expect(Math.abs((quantiles[4] as number) - 50)).toBeLessThan(5);
  });
});

it('a restart in the middle of the change makes no difference', async () => {
  const values = valuesOf('air pressure', 8).map((value, t) => (t < CHANGED ? value : 100 * value));
  const play = async (engine: Engine, from: number, to: number): Promise<Forecast | undefined> => {
    let last: Forecast | undefined;
    for (let t = from; t < to; t++) {
      const timeMs = START + t * HOUR;
      engine.push({ stream: 's', timeMs, value: values[t] as number, arrivalMs: timeMs });
      [last] = await engine.tick(timeMs + HOUR);
    }
    return last;
  };
  const spec = testSpec('s', { intervalMs: HOUR, horizonMs: 24 * HOUR, maxGapMs: 5 * HOUR });
  const whole = new Engine(null);
  whole.add(spec);
  const first = new Engine(null);
  first.add(spec);
  await play(first, 0, CHANGED + 1);
  const snapshot = first.snapshot('s');
  if (snapshot === null) throw new Error('no snapshot');
  const second = new Engine(null);
  second.add(spec, snapshot);
  const [one, other] = [await play(whole, 0, STEPS), await play(second, CHANGED + 1, STEPS)];
  expect(other?.quantiles).toEqual(one?.quantiles);
});
