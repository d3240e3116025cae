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

/** Any stream of these kinds: other periods, levels, sizes and noise than above. */
const anyShape = fc.oneof(
  fc
    .record({
      seed: fc.nat(999),
      period: fc.integer({ min: 6, max: 20 }),
      size: fc.constantFrom(0.01, 1, 300),
    })
    .map(({ seed, period, size }) => impulses(seed, period, 0.05 * size, size, 600)),
  fc
    .record({
      seed: fc.nat(999),
      top: fc.double({ min: 20, max: 3000, noNaN: true }),
      falls: fc.integer({ min: 30, max: 90 }),
    })
    .map(({ seed, top, falls }) => sawtooth(seed, top, 0.1 * top, (0.9 * top) / falls, 600)),
  fc
    .record({ seed: fc.nat(999), period: fc.integer({ min: 8, max: 50 }), high: fc.constantFrom(2, 1800) })
    .map(({ seed, period, high }) => dutyCycle(seed, period, Math.ceil(period / 4), 0.01 * high, high, 600)),
  fc
    .record({
      seed: fc.nat(999),
      count: fc.integer({ min: 8, max: 20 }),
      noise: fc.constantFrom(0.02, 0.2, 1),
    })
    .map(({ seed, count, noise }) => steps(seed, count, noise, 600)),
);
const ENOUGH = 300;

it('no median leaves the range seen by more than the largest step seen, and no situation is mostly missed', async () => {
  await fc.assert(
    fc.asyncProperty(anyShape, async (shape) => {
      const outcome = await play(model, shape, 5 * MINUTE);
      expect(outcome.beyond).toBeLessThan(1);
      for (const [situation, { n, inside }] of outcome.held)
        if (n > ENOUGH) expect(inside / n, situation).toBeGreaterThan(0.5);
    }),
    { numRuns: 6, seed: 7 },
  );
}, 120_000);
