/** Streams whose situations differ: what is published must hold in each of them, not only on average over all. */
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { openModel } from '../../src/backtest/run.ts';
import { Engine } from '../../src/forecast/engine.ts';
import type { Model } from '../../src/forecast/model.ts';
import { ModelRegistry } from '../../src/model/registry.ts';
import { MEDIAN, Q, quantileLoss } from '../../src/quantiles.ts';
import { Random } from '../../src/training/random.ts';
import { testSpec } from '../support/specs.ts';

const START = Date.UTC(2025, 2, 1);
const LEADS = 24;

interface Shape {
  readonly values: Float64Array;
  /** Name of the situation that a bucket belongs to. */
  readonly situations: readonly string[];
}

function make(steps: number, next: (t: number) => readonly [value: number, situation: string]): Shape {
  const values = new Float64Array(steps);
  const situations = Array.from({ length: steps }, (_, t) => {
    const [value, situation] = next(t);
    values[t] = value;
    return situation;
  });
  return { values, situations };
}

/** Every `period` buckets an impulse between `low` and `high`, 0 between them. */
function impulses(seed: number, period: number, low: number, high: number, steps = 1600): Shape {
  const rng = new Random(seed);
  return make(steps, (t) => (t % period === 1 ? [rng.range(low, high), 'impulse'] : [0, 'zero']));
}

/** A tank that is emptied at a varying rate and filled at once when it is nearly empty. */
function sawtooth(seed: number, top: number, bottom: number, fall: number, steps = 1600): Shape {
  const rng = new Random(seed);
  let level = rng.range(bottom, top);
  let since = 99;
  return make(steps, () => {
    level -= fall * rng.range(0.5, 1.5);
    since++;
    if (level < bottom) {
      level = top;
      since = 0;
    }
    return [level, since < 6 ? 'after the jump' : 'falling'];
  });
}

/** On for `on` buckets of every `period`, each time a little different. */
function dutyCycle(seed: number, period: number, on: number, low: number, high: number, steps = 1600): Shape {
  const rng = new Random(seed);
  return make(steps, (t) =>
    t % period < on ? [high + rng.normal() * 0.02 * high, 'on'] : [low + rng.normal() * 0.02 * high, 'off'],
  );
}

/** Now and then another level, for good. */
function steps(seed: number, count: number, noise: number, length = 1600): Shape {
  const rng = new Random(seed);
  let level = 20;
  let since = 99;
  return make(length, () => {
    since++;
    if (rng.chance(count / length)) {
      level = rng.range(10, 30);
      since = 0;
    }
    return [level + noise * rng.normal(), since < 6 ? 'after the jump' : 'steady'];
  });
}

/** A gas meter: impulses at one phase, whose size follows a slower curve. */
function meter(seed: number, period: number, curve: number, size: number, steps = 1600): Shape {
  const rng = new Random(seed);
  return make(steps, (t) => {
    if (t % period !== 3 % period) return [0, 'zero'];
    return [
      size * Math.max(0, 0.5 + 0.4 * Math.sin((2 * Math.PI * t) / curve) + 0.15 * rng.normal()),
      'impulse',
    ];
  });
}

/** Noise in proportion to the level, which follows a curve. */
function noiseByLevel(seed: number, curve: number, share: number, steps = 1600): Shape {
  const rng = new Random(seed);
  return make(steps, (t) => {
    const level = 5 + 4.5 * Math.sin((2 * Math.PI * t) / curve);
    return [level * (1 + share * rng.normal()), level < 3 ? 'low' : level > 7 ? 'high' : 'between'];
  });
}

/** Constant, and now and then elsewhere for a while. */
function excursions(seed: number, rate: number, length: number, steps = 1600): Shape {
  const rng = new Random(seed);
  let [left, since] = [0, 99];
  return make(steps, () => {
    since++;
    if (left > 0) left--;
    else if (rng.chance(rate)) [left, since] = [length, 0];
    return left > 0 ? [30 + rng.normal(), since < 6 ? 'after the jump' : 'away'] : [20, 'constant'];
  });
}

interface Outcome {
  /** By situation: readings, and those inside the interval. */
  readonly held: Map<string, { n: number; inside: number }>;
  /** How far a median was outside of the range seen, at most, in the largest steps seen. */
  readonly beyond: number;
  readonly loss: number;
}

async function play(model: Model, { values, situations }: Shape, intervalMs: number): Promise<Outcome> {
  const engine = new Engine(model);
  engine.add(testSpec('s', { intervalMs, horizonMs: LEADS * intervalMs, maxGapMs: 5 * intervalMs }));
  const held = new Map<string, { n: number; inside: number }>();
  let [low, high, step, beyond, loss, scored] = [Infinity, -Infinity, 0, 0, 0, 0];
  for (const [t, value] of values.entries()) {
    const timeMs = START + t * intervalMs;
    engine.push({ stream: 's', timeMs, value, arrivalMs: timeMs });
    const [forecast] = await engine.tick(timeMs + intervalMs);
    low = Math.min(low, value);
    high = Math.max(high, value);
    if (t > 0) step = Math.max(step, Math.abs(value - values[t - 1]!));
    if (forecast === undefined || t < values.length / 3) continue;
    for (let k = 1; k <= LEADS && t + k < values.length; k++) {
      const at = (k - 1) * Q;
      const { quantiles } = forecast;
      const median = quantiles[at + MEDIAN]!;
      beyond = Math.max(beyond, Math.max(median - high, low - median) / step);
      const actual = values[t + k]!;
      const situation = situations[t] === 'after the jump' ? 'after the jump' : situations[t + k]!;
      if (situation === 'after the jump' && situations[t] !== situation) continue;
      const sums = held.get(situation) ?? { n: 0, inside: 0 };
      held.set(situation, sums);
      sums.n++;
      const rounding = 1e-6 * Math.abs(actual);
      if (actual >= quantiles[at]! - rounding && actual <= quantiles[at + Q - 1]! + rounding) sums.inside++;
      loss += quantileLoss(actual, quantiles, at);
      scored++;
    }
  }
  await engine.release();
  return { held, beyond, loss: loss / scored };
}

const share = (outcome: Outcome, situation: string): number => {
  const sums = outcome.held.get(situation);
  return sums === undefined ? Number.NaN : sums.inside / sums.n;
};

let model: Model;
beforeAll(() => {
  ({ model } = openModel({ registry: new ModelRegistry(null), model: 'base' } as never) as { model: Model });
});
const MINUTE = 60_000;

describe('each situation of a stream', () => {
  it.each([12, 5])('is held where an impulse comes every %i buckets', async (period) => {
    const outcome = await play(model, impulses(1, period, 0.05, 1), 5 * MINUTE);
    expect(share(outcome, 'impulse')).toBeGreaterThan(0.65);
    expect(share(outcome, 'impulse')).toBeLessThan(0.95);
    expect(share(outcome, 'zero')).toBeGreaterThan(0.75);
    expect(outcome.beyond).toBeLessThan(1);
  });

  it.each([
    [92, 15, 1.2],
    [1800, 200, 17],
  ])('is held in a tank that is filled to %i', async (top, bottom, fall) => {
    const outcome = await play(model, sawtooth(1, top, bottom, fall), 60 * MINUTE);
    for (const situation of ['falling', 'after the jump']) {
      expect(share(outcome, situation), situation).toBeGreaterThan(0.7);
      expect(share(outcome, situation), situation).toBeLessThan(0.97);
    }
    expect(outcome.beyond).toBeLessThan(0.2);
  });

  it('is held in a machine that is on for a quarter of its cycle', async () => {
    const outcome = await play(model, dutyCycle(1, 40, 10, 5, 1800), MINUTE);
    expect(share(outcome, 'off')).toBeGreaterThan(0.6);
    expect(share(outcome, 'on')).toBeGreaterThan(0.6);
    expect(outcome.beyond).toBeLessThan(1);
  });

  it('leaves no median far outside of the range of a stream with steps to other levels', async () => {
    const outcome = await play(model, steps(1, 12, 0.2), 10 * MINUTE);
    expect(share(outcome, 'steady')).toBeGreaterThan(0.7);
    expect(outcome.beyond).toBeLessThan(1);
  });
});

const seed = fc.nat(999);
/** Any stream of these kinds: other periods, levels, sizes and noise than above. */
const anyShape = fc.oneof(
  fc
    .record({ seed, period: fc.integer({ min: 2, max: 30 }), size: fc.constantFrom(0.01, 1, 300) })
    .map((of) => impulses(of.seed, of.period, 0.05 * of.size, of.size, STEPS)),
  fc
    .record({ seed, period: fc.integer({ min: 5, max: 20 }), curve: fc.integer({ min: 100, max: 400 }) })
    .map((of) => meter(of.seed, of.period, of.curve, 0.6, STEPS)),
  fc
    .record({
      seed,
      top: fc.double({ min: 20, max: 3000, noNaN: true }),
      falls: fc.integer({ min: 30, max: 90 }),
    })
    .map(({ seed, top, falls }) => sawtooth(seed, top, 0.1 * top, (0.9 * top) / falls, STEPS)),
  fc
    .record({ seed, period: fc.integer({ min: 2, max: 60 }), high: fc.constantFrom(2, 1800) })
    .map((of) => dutyCycle(of.seed, of.period, Math.ceil(of.period / 4), 0.01 * of.high, of.high, STEPS)),
  fc
    .record({ seed, count: fc.integer({ min: 8, max: 20 }), noise: fc.constantFrom(0.02, 0.2, 1) })
    .map((of) => steps(of.seed, of.count, of.noise, STEPS)),
  fc
    .record({
      seed,
      curve: fc.integer({ min: 60, max: 300 }),
      share: fc.double({ min: 0.1, max: 0.4, noNaN: true }),
    })
    .map((of) => noiseByLevel(of.seed, of.curve, of.share, STEPS)),
  fc
    .record({ seed, length: fc.integer({ min: 4, max: 15 }) })
    .map((of) => excursions(of.seed, 0.01, of.length, STEPS)),
);
const STEPS = 1200;
const ENOUGH = 300;
/** No interval of 80 % can hold these: they begin at random, and rarer than one time in ten. */
const UNFORESEEN = ['away'];
/** Without noise, so that a right interval holds all of them. */
const EXACT = ['zero', 'constant'];

it('no median leaves the range seen by more than the largest step seen, and each situation is held', async () => {
  await fc.assert(
    fc.asyncProperty(anyShape, async (shape) => {
      const outcome = await play(model, shape, 5 * MINUTE);
      expect(outcome.beyond).toBeLessThan(1);
      for (const [situation, { n, inside }] of outcome.held) {
        if (n <= ENOUGH || UNFORESEEN.includes(situation)) continue;
        expect(inside / n, situation).toBeGreaterThanOrEqual(0.6);
        if (!EXACT.includes(situation)) expect(inside / n, situation).toBeLessThan(1);
      }
    }),
    { numRuns: 12, seed: 7 },
  );
}, 600_000);
