/** Streams whose situations differ, played through the engine with the base model. */
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
export function impulses(seed: number, period: number, low: number, high: number, steps = 1600): Shape {
  const rng = new Random(seed);
  return make(steps, (t) => (t % period === 1 ? [rng.range(low, high), 'impulse'] : [0, 'zero']));
}

/** A tank that is emptied at a varying rate and filled at once when it is nearly empty, up to `spread` below its top. */
export function sawtooth(
  seed: number,
  top: number,
  bottom: number,
  fall: number,
  steps = 1600,
  spread = 0,
): Shape {
  const rng = new Random(seed);
  let level = rng.range(bottom, top);
  let since = 99;
  return make(steps, () => {
    level -= fall * rng.range(0.5, 1.5);
    since++;
    if (level < bottom) {
      level = spread > 0 ? rng.range(top - spread, top) : top;
      since = 0;
    }
    return [level, since < 6 ? 'after the jump' : 'falling'];
  });
}

/** On for `on` buckets of every `period`, each time a little different. */
export function dutyCycle(
  seed: number,
  period: number,
  on: number,
  low: number,
  high: number,
  steps = 1600,
): Shape {
  const rng = new Random(seed);
  return make(steps, (t) =>
    t % period < on ? [high + rng.normal() * 0.02 * high, 'on'] : [low + rng.normal() * 0.02 * high, 'off'],
  );
}

/** On for `on` buckets of every 40, and noisier in one of both states. */
export function unevenCycle(
  seed: number,
  on: number,
  high: number,
  noise: { readonly on: number; readonly off: number },
  steps = 1600,
): Shape {
  const rng = new Random(seed);
  return make(steps, (t) =>
    t % 40 < on ? [high + noise.on * rng.normal(), 'on'] : [0.1 * high + noise.off * rng.normal(), 'off'],
  );
}

/** Now and then another level, for good. */
export function steps(seed: number, count: number, noise: number, length = 1600): Shape {
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
export function meter(seed: number, period: number, curve: number, size: number, steps = 1600): Shape {
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
export function noiseByLevel(seed: number, curve: number, share: number, steps = 1600): Shape {
  const rng = new Random(seed);
  return make(steps, (t) => {
    const level = 5 + 4.5 * Math.sin((2 * Math.PI * t) / curve);
    return [level * (1 + share * rng.normal()), level < 3 ? 'low' : level > 7 ? 'high' : 'between'];
  });
}

/** Constant, and now and then elsewhere for a while. */
export function excursions(seed: number, rate: number, length: number, steps = 1600): Shape {
  const rng = new Random(seed);
  let [left, since] = [0, 99];
  return make(steps, () => {
    since++;
    if (left > 0) left--;
    else if (rng.chance(rate)) [left, since] = [length, 0];
    return left > 0 ? [30 + rng.normal(), since < 6 ? 'after the jump' : 'away'] : [20, 'constant'];
  });
}

/** On for about `on` buckets after `off`. Forecasts that are made while it is on are 'after the jump'. */
export function rareMachine(seed: number, on: number, off: number, high: number, steps = 2000): Shape {
  const rng = new Random(seed);
  let [left, isOn] = [off, false];
  return make(steps, () => {
    if (--left < 0) {
      isOn = !isOn;
      left = Math.round((isOn ? on : off) * rng.range(0.7, 1.3));
    }
    return isOn ? [high + 0.01 * high * rng.normal(), 'after the jump'] : [4 + rng.normal(), 'off'];
  });
}

interface Outcome {
  /** By situation: readings, and those inside the interval. */
  readonly held: Map<string, { n: number; inside: number }>;
  /** How far a median was outside of the range seen, at most, in the largest steps seen. */
  readonly beyond: number;
  readonly loss: number;
}

export async function play(
  model: Model,
  { values, situations }: Shape,
  intervalMs: number,
): Promise<Outcome> {
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

export const share = (outcome: Outcome, situation: string): number => {
  const sums = outcome.held.get(situation);
  return sums === undefined ? Number.NaN : sums.inside / sums.n;
};

export const MINUTE = 60_000;

export function baseModel(): Model {
  return (openModel({ registry: new ModelRegistry(null), model: 'base' } as never) as { model: Model }).model;
}
