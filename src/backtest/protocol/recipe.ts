/**
 * The recipes for the public protocols. Every number was chosen on the validation part of ETTh1 (docs/accuracy.md).
 */
import { GatecastError } from '../../errors.ts';
import type { ModelRegistry } from '../../model/registry.ts';
import { createRandom } from '../../network/random.ts';
import { initialWeights } from '../../network/weights.ts';
import { FEATURE_FORMAT } from '../../series/features.ts';
import { forecastSpec } from '../../training/job.ts';
import type { MemoryOptions } from './memory.ts';
import type { ProtocolName } from './split.ts';
import type { ProtocolNetwork, ProtocolTraining } from './train.ts';
import type { ProtocolTuning } from './tune.ts';

/** Initial weights of a network, and its own training settings. */
interface RecipeNetwork {
  /** The base model, or fresh weights of a size. */
  readonly start: 'base' | { readonly hidden: number; readonly width: number };
  readonly training?: Partial<ProtocolTraining>;
}

export interface ProtocolRecipe {
  readonly memory: Omit<MemoryOptions, 'horizon'>;
  /** Their forecasts are averaged, with weights from the validation part. */
  readonly networks: readonly RecipeNetwork[];
  readonly training: ProtocolTraining;
  /** null: no fine-tuning during the test. */
  readonly tuning: ProtocolTuning | null;
}

const TRAINING: ProtocolTraining = {
  steps: 100,
  batch: 32,
  chunks: 8,
  rate: 2e-3,
  weightDecay: 0.01,
  averaging: 0.99,
  maxSteps: 500,
  validateEvery: 50,
  patience: Number.POSITIVE_INFINITY,
};

/** A small network trained from random weights. */
const SMALL: RecipeNetwork = { start: { hidden: 16, width: 16 } };
const BASE: RecipeNetwork = { start: 'base', training: { rate: 5e-4, maxSteps: 200 } };
/** The base model without fine-tuning: it was trained on more kinds of series than any training part holds. */
const SHIPPED: RecipeNetwork = { start: 'base', training: { maxSteps: 0 } };
const MEMORY = { stride: 5, leadsPerOrigin: 6 };

export const RECIPES: Readonly<Record<ProtocolName, ProtocolRecipe>> = {
  ltsf: { memory: MEMORY, networks: [SMALL, SMALL, BASE, SHIPPED], training: TRAINING, tuning: null },
  online: {
    memory: MEMORY,
    networks: [SMALL, SMALL],
    training: TRAINING,
    tuning: { every: 24, steps: 4, rate: 5e-4, anchorPull: 0, window: 10_000 },
  },
};

/** @throws GatecastError MODEL_UNKNOWN, MODEL_INVALID if the base model has no weights or another feature format */
export function startOf({ start }: RecipeNetwork, registry: ModelRegistry, seed: number): ProtocolNetwork {
  if (start === 'base') {
    const { manifest, weights } = registry.open('base');
    if (!manifest.spec || !weights || manifest.features !== FEATURE_FORMAT) {
      throw new GatecastError(
        'MODEL_INVALID',
        "The recipe starts from the model 'base', which cannot be trained further.",
        { hint: "Remove the model 'base' from the data directory, so that the shipped one is used." },
      );
    }
    return { spec: manifest.spec, weights };
  }
  const spec = forecastSpec({ cell: 'gru', layers: 1, ...start });
  return { spec, weights: initialWeights(spec, createRandom(seed)) };
}
