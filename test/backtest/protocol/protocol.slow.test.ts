import { describe, expect, it } from 'vitest';
import { BlendErrors } from '../../../src/backtest/protocol/blend.ts';
import { evaluateHorizon } from '../../../src/backtest/protocol/evaluate.ts';
import { ProtocolMemory } from '../../../src/backtest/protocol/memory.ts';
import type { ProtocolRecipe } from '../../../src/backtest/protocol/recipe.ts';
import { ProtocolScore } from '../../../src/backtest/protocol/score.ts';
import { type ProtocolPlan, planProtocol, windowsIn, zScored } from '../../../src/backtest/protocol/split.ts';
import { protocolText } from '../../../src/backtest/protocol/text.ts';
import { GatecastError } from '../../../src/errors.ts';
import { ModelRegistry } from '../../../src/model/registry.ts';
import { AHEAD, I } from '../../../src/series/features.ts';
import { Random } from '../../../src/training/random.ts';
import { makeBatch } from '../../../src/training/sampler.ts';
import { ordinary } from '../../support/series.ts';

const HOUR = 3_600_000;
const START = Date.UTC(2024, 0, 1);

const grid = (actual: Float64Array, name = 'a') => ({ name, startMs: START, intervalMs: HOUR, actual });

describe('how the protocols cut a file', () => {
  it('ltsf: 12, 4 and 4 months of 30 days, whatever the step', () => {
    const hourly = planProtocol('ltsf', HOUR, 17_420);
    expect(hourly.train).toEqual({ from: 0, to: 8640 });
    expect(hourly.validation).toEqual({ from: 8640, to: 11_520 });
    expect(hourly.test).toEqual({ from: 11_520, to: 14_400 });
    expect(hourly.horizons).toEqual([96, 192, 336, 720]);
    const quarter = planProtocol('ltsf', HOUR / 4, 69_680);
    expect(quarter.test).toEqual({ from: 46_080, to: 57_600 });
  });

  it('online: 4, 1 and 15 months', () => {
    const plan = planProtocol('online', HOUR, 17_420);
    expect(plan.train.to).toBe(2880);
    expect(plan.validation.to).toBe(3600);
    expect(plan.test.to).toBe(14_400);
    expect(plan.horizons).toEqual([1, 24, 48]);
  });

  it('counts the windows that papers count', () => {
    const { test, horizons } = planProtocol('ltsf', HOUR, 17_420);
    expect(horizons.map((horizon) => windowsIn(test, horizon))).toEqual([2785, 2689, 2545, 2161]);
  });

  it('refuses a file that is too short', () => {
    expect(() => planProtocol('ltsf', HOUR, 14_399)).toThrow(GatecastError);
    expect(() => planProtocol('ltsf', HOUR, 14_400)).not.toThrow();
  });
});

/** A protocol small enough to run in a test. */
const PLAN: ProtocolPlan = {
  name: 'ltsf',
  train: { from: 0, to: 480 },
  validation: { from: 480, to: 600 },
  test: { from: 600, to: 700 },
  horizons: [6],
};
const RECIPE: ProtocolRecipe = {
  memory: { stride: 5, leadsPerOrigin: 3 },
  networks: [{ start: { hidden: 16, width: 8 } }, { start: { hidden: 16, width: 8 } }],
  training: {
    steps: 20,
    batch: 4,
    chunks: 4,
    rate: 5e-3,
    weightDecay: 0.01,
    averaging: 0.9,
    maxSteps: 30,
    validateEvery: 10,
    patience: Number.POSITIVE_INFINITY,
  },
  tuning: { every: 24, steps: 2, rate: 1e-2, anchorPull: 0.01, window: 300 },
};

describe('the scale of the training part', () => {
  it('is the mean and the population deviation of the training part alone', () => {
    const actual = ordinary(3, 24)(720);
    const changed = actual.slice();
    changed.fill(1e6, PLAN.train.to);
    const scaled = zScored(grid(actual), PLAN);
    const other = zScored(grid(changed), PLAN);
    const train = scaled.values.slice(0, PLAN.train.to);
    const mean = train.reduce((sum, z) => sum + z, 0) / train.length;
    expect(mean).toBeCloseTo(0, 9);
    expect(train.reduce((sum, z) => sum + z * z, 0) / train.length).toBeCloseTo(1, 9);
    expect([other.mean, other.deviation]).toEqual([scaled.mean, scaled.deviation]);
    expect(scaled.values.length).toBe(PLAN.test.to);
    expect(scaled.values[650]! * scaled.deviation + scaled.mean).toBeCloseTo(actual[650]!, 9);
  });

  it('refuses a column that never changes in the training part', () => {
    expect(() => zScored(grid(new Float64Array(700).fill(3)), PLAN)).toThrow(/is constant/);
    expect(() => zScored(grid(new Float64Array(700).fill(Number.NaN)), PLAN)).toThrow(/is empty/);
  });
});

describe('the score', () => {
  it('takes a window whose targets all lie in the range, and skips missing targets', () => {
    const score = new ProtocolScore({ from: 4, to: 8 }, [1, 3]);
    const values = [0, 0, 0, 0, 1, 2, Number.NaN, 4];
    // lead errors 1, 2, missing; the second origin's three targets, then one that reaches past the range
    score.add(values, 3, [0, 0, 0]);
    score.add(values, 4, [0, 0, 0]);
    score.add(values, 5, [0, 0, 0]);
    score.add(values, 2, [9, 9, 9]);
    const [one, three] = score.scores;
    expect(one).toEqual({ horizon: 1, n: 2, mse: (1 + 4) / 2, mae: 1.5 });
    expect(three).toEqual({ horizon: 3, n: 4, mse: (1 + 4 + 4 + 16) / 4, mae: (1 + 2 + 2 + 4) / 4 });
  });
});

describe('the weights of several forecasts', () => {
  it('favour the better one, by half', () => {
    const errors = new BlendErrors(2);
    // the second is always three times as wrong in the same direction: alone, the first is best
    for (let i = 1; i < 9; i++) errors.add([i, 3 * i]);
    const [first, second] = errors.weights;
    expect(first).toBeCloseTo(0.75, 3);
    expect(first + second).toBeCloseTo(1, 12);
  });

  it('are equal where errors cancel, or where nothing is known', () => {
    const errors = new BlendErrors(2);
    expect([...errors.weights]).toEqual([0.5, 0.5]);
    errors.add([1, -1]);
    errors.add([-2, 2]);
    for (const weight of errors.weights) expect(weight).toBeCloseTo(0.5, 6);
  });
});

describe('what may be learnt from', () => {
  const HORIZON = 6;
  const options = { stride: 1, leadsPerOrigin: 3, horizon: HORIZON };
  const shape = { steps: 1, stride: 1, leads: 3, batch: 1 };

  function memoryOf(values: Float64Array, known: number): ProtocolMemory {
    const memory = new ProtocolMemory(zScored(grid(values), PLAN), options, new Random(1));
    while (memory.known < known) memory.advance();
    return memory;
  }

  it('a window only when its last target has been observed', () => {
    const memory = memoryOf(ordinary(4, 24)(700), 400);
    const batch = makeBatch(shape, 1, 16, I, AHEAD);
    const leads = new Int32Array(3);
    const weights = (origin: number, limit: number) => {
      memory.until(limit).origin(origin, batch, 0, leads);
      return [...batch.weight];
    };
    // targets are 301 .. 306: all have been observed once 307 buckets have
    expect(weights(300, 307).every((weight) => weight > 0)).toBe(true);
    expect(weights(300, 306)).toEqual([0, 0, 0]);
    expect([...batch.target]).toEqual([0, 0, 0]);
    expect([...leads].every((lead) => lead >= 1 && lead <= HORIZON)).toBe(true);
  });

  it('and nothing learnt depends on later values', () => {
    const values = ordinary(4, 24)(700);
    const cut = values.slice();
    cut.fill(99, 500);
    const [whole, part] = [values, cut].map((one) => {
      const memory = memoryOf(one, 500);
      const batch = makeBatch({ ...shape, batch: 300 }, 1, 16, I, AHEAD);
      const leads = new Int32Array(3);
      for (let i = 0; i < 300; i++) {
        memory.until(500).origin(200 + i, batch, 3 * i, leads);
        memory.past(200 + i, batch.x, i * I);
      }
      return batch;
    });
    expect(part!.x).toEqual(whole!.x);
    expect(part!.z).toEqual(whole!.z);
    expect(part!.target).toEqual(whole!.target);
    expect(part!.weight).toEqual(whole!.weight);
    expect(whole!.weight.some((weight) => weight > 0)).toBe(true);
  });
});

type Forecasts = Map<string, readonly number[]>;

async function evaluate(
  columns: readonly Float64Array[],
  recipe: ProtocolRecipe = RECIPE,
): Promise<{ forecasts: Forecasts; result: Awaited<ReturnType<typeof evaluateHorizon>> }> {
  const forecasts: Forecasts = new Map();
  const scaled = columns.map((values, c) => zScored(grid(values, `c${c}`), PLAN));
  const result = await evaluateHorizon(scaled, PLAN, 6, recipe, {
    registry: new ModelRegistry(null),
    seed: 1,
    onForecast: (column, origin, point) => forecasts.set(`${column} ${origin}`, [...point]),
  });
  return { forecasts, result };
}

describe('a run', () => {
  const columns = [ordinary(5, 24)(700), ordinary(6, 24)(700)];

  it('forecasts every window of the test part from states that persist, and beats the mean', async () => {
    const { forecasts, result } = await evaluate(columns);
    expect(result.windows).toBe(95);
    expect(forecasts.size).toBe(2 * 95);
    expect(forecasts.has('0 599')).toBe(true);
    expect(forecasts.has('0 693')).toBe(true);
    expect(result.n).toBe(2 * 95 * 6);
    expect(result.mse).toBeLessThan(0.2);
    expect(result.networks).toHaveLength(2);
    expect(result.networks!.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 9);
    // buckets 599, 623, 647, 671 end a day
    expect(result.turns).toBe(4);
  });

  it('the same again, number by number', async () => {
    const [one, two] = [await evaluate(columns), await evaluate(columns)];
    expect(two.forecasts).toEqual(one.forecasts);
  });

  it('changing the file after an origin changes no forecast up to it, fine-tuning included', async () => {
    const cut = 650;
    const altered = columns.map((values) => values.slice().fill(-40, cut + 1));
    const [one, two] = [await evaluate(columns), await evaluate(altered)];
    for (const [key, point] of one.forecasts) {
      if (Number(key.split(' ')[1]) <= cut) expect(two.forecasts.get(key), key).toEqual(point);
    }
    expect(two.forecasts.get('0 652')).not.toEqual(one.forecasts.get('0 652'));
  });

  it('learns during the evaluation if the recipe says so', async () => {
    const [tuned, still] = [await evaluate(columns), await evaluate(columns, { ...RECIPE, tuning: null })];
    expect(still.result.turns).toBe(0);
    expect(tuned.forecasts.get('0 690')).not.toEqual(still.forecasts.get('0 690'));
  });

  it('takes a model as it is', async () => {
    const scaled = columns.map((values, c) => zScored(grid(values, `c${c}`), PLAN));
    const result = await evaluateHorizon(scaled, PLAN, 6, RECIPE, {
      registry: new ModelRegistry(null),
      model: 'base',
      seed: 1,
    });
    expect(result.networks).toBeNull();
    expect(result.turns).toBe(0);
    expect(result.mse).toBeLessThan(0.2);
  });
});

describe('what is printed', () => {
  it('one line a horizon', () => {
    const text = protocolText([
      {
        protocol: 'ltsf',
        file: 'ETTh1.csv.gz',
        columns: ['a', 'b'],
        parts: { train: 8640, validation: 2880, test: 2880 },
        model: 'recipe',
        precision: 'int8',
        horizons: [
          {
            horizon: 96,
            windows: 2785,
            n: 534_720,
            mse: 0.35,
            mae: 0.38,
            networks: [{ steps: 500, validation: 0.7, share: 1 }],
            turns: 0,
            seconds: 12.3,
          },
        ],
      },
    ]);
    expect(text).toContain('1 network per horizon, trained on the training part in 12 s');
    expect(text).toMatch(/^ +96 +2785 +0\.3500 +0\.3800$/m);
  });
});
