/**
 * Evaluates one horizon of a protocol: features, networks, states and scores. Walks the file once, in order, bucket by
 * bucket; no step reads a later bucket.
 */
import type { Model } from '../../forecast/model.ts';
import { loadModel } from '../../model/pack.ts';
import type { ModelRegistry } from '../../model/registry.ts';
import { FEATURES } from '../../series/features.ts';
import { Random } from '../../training/random.ts';
import { ProtocolMemory } from './memory.ts';
import { type ProtocolRecipe, startOf } from './recipe.ts';
import { ProtocolRunner } from './runner.ts';
import { type HorizonScore, ProtocolScore } from './score.ts';
import { type ProtocolPlan, type ScaledSeries, windowsIn } from './split.ts';
import { protocolModel, type TrainedNetwork, trainProtocol } from './train.ts';
import { ProtocolTuner } from './tune.ts';

interface EvaluateOptions {
  readonly registry: ModelRegistry;
  /** Model used without training; undefined: the recipe is trained. */
  readonly model?: string;
  readonly float32?: boolean;
  readonly seed: number;
  readonly progress?: (done: number, what: string) => void;
  /** Called with each scored forecast. */
  readonly onForecast?: (column: number, origin: number, point: Float64Array) => void;
}

export interface HorizonResult extends HorizonScore {
  /** Windows of each column. */
  readonly windows: number;
  /** Of each network: optimiser steps, validation loss and weight in the forecast; null without training. */
  readonly networks:
    | readonly { readonly steps: number; readonly validation: number | null; readonly share: number }[]
    | null;
  /** Fine-tuning runs on matured windows during the test. */
  readonly turns: number;
  /** Time of training and fine-tuning. */
  readonly seconds: number;
}

/** Throws MODEL_UNKNOWN, MODEL_INVALID */
export async function evaluateHorizon(
  columns: readonly ScaledSeries[],
  plan: ProtocolPlan,
  horizon: number,
  recipe: ProtocolRecipe,
  options: EvaluateOptions,
): Promise<HorizonResult> {
  const { seed } = options;
  const quantized = options.float32 !== true;
  const memories = columns.map(
    (column, c) => new ProtocolMemory(column, { ...recipe.memory, horizon }, new Random(seed + 1000 * c)),
  );
  // the first origin of the test is the last bucket of the validation part
  while (memories[0].known < plan.validation.to - 1) {
    for (const memory of memories) memory.advance();
    options.progress?.((0.2 * memories[0].known) / plan.validation.to, 'features');
  }
  const networks = options.model === undefined ? await learn(memories, plan, recipe, options) : null;
  let seconds = networks?.seconds ?? 0;
  const tuners: ProtocolTuner[] = [];
  const runner = new ProtocolRunner(memories);
  const score = new ProtocolScore(plan.test, [horizon]);
  let turns = 0;
  let shares: readonly number[] = [];
  try {
    const models = networks?.trained.map((one) => protocolModel(one, quantized)) ?? [
      fixed(options, quantized),
    ];
    options.progress?.(0.5, 'states');
    await runner.start(models, plan.test.from - 1, plan.validation);
    shares = runner.weights;
    if (recipe.tuning) {
      for (const one of networks?.trained ?? [])
        tuners.push(await ProtocolTuner.create(memories, one, recipe.training, recipe.tuning, seed + 100));
    }
    for (let origin = plan.test.from - 1; origin + horizon < plan.test.to; origin++) {
      for (const memory of memories) memory.advance();
      if (tuners.length > 0 && (origin + 1) % recipe.tuning!.every === 0) {
        const started = performance.now();
        const models: Model[] = [];
        for (const tuner of tuners) models.push(protocolModel(await tuner.learn(), quantized));
        await runner.load(models);
        turns++;
        seconds += (performance.now() - started) / 1000;
      }
      const points = await runner.forecast();
      memories.forEach(({ series }, c) => {
        const point = points.subarray(c * horizon, (c + 1) * horizon);
        score.add(series.values, origin, point);
        options.onForecast?.(c, origin, point);
      });
      const share = (origin + 1 - plan.test.from) / (plan.test.to - plan.test.from);
      options.progress?.(0.5 + 0.5 * share, 'test');
    }
  } finally {
    await runner.release();
    for (const tuner of tuners) await tuner.release();
  }
  return {
    ...score.scores[0],
    windows: windowsIn(plan.test, horizon),
    networks:
      networks?.trained.map(({ steps, loss }, k) => ({ steps, validation: loss, share: shares[k] })) ?? null,
    turns,
    seconds,
  };
}

async function learn(
  memories: readonly ProtocolMemory[],
  plan: ProtocolPlan,
  recipe: ProtocolRecipe,
  { seed, registry, progress }: EvaluateOptions,
): Promise<{ trained: TrainedNetwork[]; seconds: number }> {
  const started = performance.now();
  const trained: TrainedNetwork[] = [];
  const count = recipe.networks.length;
  for (const [at, one] of recipe.networks.entries()) {
    const own = seed + at;
    const training = { ...recipe.training, ...one.training };
    trained.push(
      await trainProtocol(memories, plan, startOf(one, registry, own), training, own, ({ done }) =>
        progress?.(0.2 + (0.3 * (at + done)) / count, `training network ${at + 1} of ${count}`),
      ),
    );
  }
  return { trained, seconds: (performance.now() - started) / 1000 };
}

function fixed({ registry, model }: EvaluateOptions, quantized: boolean): Model {
  return loadModel(registry.open(model!), FEATURES, quantized);
}
