/** Fine-tuning during the test of a protocol: a few optimiser steps at intervals, on windows that have matured since. */
import { stateRows } from '../../network/spec.ts';
import {
  createGradientSource,
  parametersOf,
  type RuntimeGradients,
  weightsOf,
} from '../../training/gradient-source.ts';
import { AdamW, clipFactor, globalNorm, type Parameter } from '../../training/optimiser.ts';
import { Random } from '../../training/random.ts';
import { WindowSampler } from '../../training/sampler.ts';
import type { ProtocolMemory } from './memory.ts';
import { BURN_IN, CLIP_NORM, type ProtocolNetwork, type ProtocolTraining, shapeOf } from './train.ts';

export interface ProtocolTuning {
  /** Buckets between two runs. */
  readonly every: number;
  /** Optimiser steps per run. */
  readonly steps: number;
  readonly rate: number;
  /** Strength of the pull towards the initial weights. */
  readonly anchorPull: number;
  /** Windows are drawn from this many of the newest buckets. */
  readonly window: number;
}

/** Fine-tunes a network during the test, only on windows whose targets have all been observed. */
export class ProtocolTuner {
  private constructor(
    private readonly memories: readonly ProtocolMemory[],
    private readonly network: ProtocolNetwork,
    private readonly parameters: readonly Parameter[],
    private readonly source: RuntimeGradients,
    private readonly adam: AdamW,
    private readonly training: ProtocolTraining,
    private readonly tuning: ProtocolTuning,
    private readonly rng: Random,
  ) {}

  static async create(
    memories: readonly ProtocolMemory[],
    network: ProtocolNetwork,
    training: ProtocolTraining,
    tuning: ProtocolTuning,
    seed: number,
  ): Promise<ProtocolTuner> {
    const { spec, weights } = network;
    const rng = new Random(seed);
    const parameters = parametersOf(weights, tuning.anchorPull > 0);
    const shape = shapeOf(memories[0], training);
    const source = await createGradientSource(spec, weights, parameters, shape, rng.child());
    const adam = new AdamW(parameters, { weightDecay: 0, anchorPull: tuning.anchorPull });
    return new ProtocolTuner(memories, network, parameters, source, adam, training, tuning, rng);
  }

  /** One fine-tuning run on the buckets known now. @returns the updated network */
  async learn(): Promise<ProtocolNetwork> {
    const { memories, parameters, source, adam, training, tuning, network } = this;
    const { spec, weights } = network;
    const now = memories[0].known;
    const range = { from: Math.max(0, now - tuning.window), to: now };
    const shape = shapeOf(memories[0], training);
    const stream = new WindowSampler(
      memories.map((memory) => memory.until(now)),
      memories.map(() => range),
      {
        ...shape,
        stateLayers: stateRows(spec),
        hidden: spec.hidden,
        chunks: training.chunks,
        burnIn: BURN_IN,
      },
      this.rng.child(),
    );
    for (let step = 0; step < tuning.steps; step++) {
      const { gradients, hT, loss } = await source.run(stream.next(), true);
      stream.carry(hT);
      const norm = globalNorm(gradients);
      if (!Number.isFinite(norm) || !Number.isFinite(loss)) continue;
      adam.step(gradients, tuning.rate, {
        scale: clipFactor(norm, CLIP_NORM),
        value: Number.POSITIVE_INFINITY,
      });
    }
    const now32 = parameters.map(({ data }) => data.slice());
    return { spec, weights: weightsOf(weights, parameters, now32) };
  }

  release(): Promise<void> {
    return this.source.release();
  }
}
