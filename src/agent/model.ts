/** The model the engine runs. Without a usable one the agent still serves: the naive forecasters need none. */
import { GatecastError } from '../errors.ts';
import type { Model } from '../forecast/model.ts';
import { type LoadedModel, loadModel } from '../model/pack.ts';
import type { ModelRegistry } from '../model/registry.ts';
import { AHEAD, FEATURE_FORMAT, I } from '../series/features.ts';

export interface ChosenModel {
  readonly name: string;
  readonly model: Model | null;
  /** Why there is no model; null when there is one. */
  readonly problem: string | null;
}

/** What the features of this version give a network. */
const FEATURES = { format: FEATURE_FORMAT, inputs: I, leadWidth: AHEAD } as const;

export function chooseModel(registry: Pick<ModelRegistry, 'open'>, name: string): ChosenModel {
  try {
    const model: LoadedModel = loadModel(registry.open(name), FEATURES);
    return { name, model, problem: null };
  } catch (error) {
    if (!(error instanceof GatecastError)) throw error;
    return { name, model: null, problem: error.message };
  }
}
