/** Trains the networks of a protocol on the training part; the validation part selects the best weights. */
import type { Model } from '../../forecast/model.ts';
import { type NetworkSpec, stateRows } from '../../network/spec.ts';
import type { Weights } from '../../network/weights.ts';
import { createGradientSource, parametersOf, weightsOf } from '../../training/gradient-source.ts';
import type { TrainingSettings } from '../../training/job.ts';
import { type Progress, trainLoop } from '../../training/loop.ts';
import { Random } from '../../training/random.ts';
import { networkModel } from '../../training/replay.ts';
import { type BatchShape, WindowSampler } from '../../training/sampler.ts';
import { ValidationPass } from '../../training/validation.ts';
import type { ProtocolMemory } from './memory.ts';
import type { ProtocolPlan } from './split.ts';

export interface ProtocolNetwork {
  readonly spec: NetworkSpec;
  readonly weights: Weights;
}

export interface TrainedNetwork extends ProtocolNetwork {
  /** On the validation part; null if it has no scorable target. */
  readonly loss: number | null;
  /** Optimiser steps made. */
  readonly steps: number;
}

/** `steps` is a multiple of the origins' stride. */
export type ProtocolTraining = Pick<
  TrainingSettings,
  | 'steps'
  | 'batch'
  | 'chunks'
  | 'rate'
  | 'weightDecay'
  | 'averaging'
  | 'maxSteps'
  | 'validateEvery'
  | 'patience'
>;

/** Steps after a zero state that do not contribute to the loss. */
export const BURN_IN = 24;
/** Gradients are scaled to at most this norm. */
export const CLIP_NORM = 1;

/** The int8 step graph (or float32) of a network, for any number of leads. */
export function protocolModel({ spec, weights }: ProtocolNetwork, quantized: boolean): Model {
  return networkModel({ spec, weights }, quantized);
}

export function shapeOf(memory: ProtocolMemory, { steps, batch }: ProtocolTraining): BatchShape {
  return { steps, stride: memory.options.stride, leads: memory.options.leadsPerOrigin, batch };
}

/** Trains on `plan.train` only and returns the weights with the lowest validation loss. */
export async function trainProtocol(
  memories: readonly ProtocolMemory[],
  plan: ProtocolPlan,
  start: ProtocolNetwork,
  training: ProtocolTraining,
  seed: number,
  onProgress?: (progress: Progress) => void,
): Promise<TrainedNetwork> {
  const { spec, weights } = start;
  const rng = new Random(seed);
  const shape = shapeOf(memories[0], training);
  const sizes = { ...shape, stateLayers: stateRows(spec), hidden: spec.hidden };
  const stream = new WindowSampler(
    memories.map((memory) => memory.until(plan.train.to)),
    memories.map(() => plan.train),
    { ...sizes, chunks: training.chunks, burnIn: BURN_IN },
    rng.child(),
  );
  const pass = new ValidationPass(
    memories.map((memory) => memory.until(plan.validation.to)),
    memories.map(() => plan.validation),
    { ...sizes, warmUp: 10 * training.steps },
  );
  const parameters = parametersOf(weights);
  const source = await createGradientSource(spec, weights, parameters, shape, rng.child());
  try {
    const result = await trainLoop(parameters, source, stream, pass, {
      maxSteps: training.maxSteps,
      maxTimeMs: null,
      schedule: { peak: training.rate, warmUp: 0.05, floor: 0.02 },
      adam: { weightDecay: training.weightDecay },
      clipNorm: CLIP_NORM,
      clipValue: Number.POSITIVE_INFINITY,
      validateEvery: training.validateEvery,
      patience: training.patience,
      averaging: training.averaging,
      now: () => performance.now(),
      ...(onProgress && { onProgress }),
    });
    const best = weightsOf(weights, parameters, result.best);
    return { spec, weights: best, loss: result.bestLoss, steps: result.steps };
  } finally {
    await source.release();
  }
}
