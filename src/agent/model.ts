/**
 * Loads the model that the engine runs. Without a usable model the agent publishes naive forecasts, which need none.
 */
import { GatecastError } from '../errors.ts';
import type { Model } from '../forecast/model.ts';
import { loadModel } from '../model/pack.ts';
import type { ModelRegistry } from '../model/registry.ts';
import type { ModelSlots } from '../model/slots.ts';
import type { Stepper } from '../model/stepper.ts';
import type { ModelName } from '../outputs/output.ts';
import { FEATURES } from '../series/features.ts';

export interface ChosenModel {
  readonly name: string;
  readonly model: Model | null;
  /** When the model was made, ISO 8601; null: unknown. */
  readonly trainedAt: string | null;
  /** Time range of the readings that it was fine-tuned on, ISO 8601; null: not fine-tuned here. */
  readonly trainedOn?: { readonly from: string; readonly to: string } | null;
  /** Why there is no model; null when there is one. */
  readonly problem: string | null;
  /** Whether it may be read later: the system cannot read it now. */
  readonly isUnread?: boolean;
}

/** The models on this gateway, and the one that forecasts. */
export interface AgentModels {
  readonly registry: ModelRegistry;
  readonly slots: ModelSlots;
  /** The config's `model.name`. A config change replaces it. */
  configured: string;
  /** The model that forecasts. Fine-tuning and a config change replace it. */
  current: ChosenModel;
  /** Configured models that remote config may go back to. */
  readonly keep: () => ReadonlySet<string>;
  /** Whether a pushed model is on probation. */
  readonly pushOnTrial: () => boolean;
}

/** The model name in forecasts. @param version of the agent, used if there is no model */
export function publishedName({ model, trainedOn }: ChosenModel, version: string): ModelName {
  return {
    id: model?.id ?? 'naive',
    version: model?.version ?? version,
    hash: model?.hash ?? null,
    trainedOn,
  };
}

export function chooseModel(registry: Pick<ModelRegistry, 'open'>, name: string): ChosenModel {
  try {
    return openModel(registry, name);
  } catch (error) {
    if (!(error instanceof GatecastError)) throw error;
    return {
      name,
      model: null,
      trainedAt: null,
      trainedOn: null,
      problem: `${error.message} ${error.hint}`.trim(),
      isUnread: error.code === 'FILE_UNREADABLE',
    };
  }
}

/** @throws GatecastError MODEL_UNKNOWN, MODEL_INVALID, FILE_UNREADABLE */
export function openModel(
  registry: Pick<ModelRegistry, 'open'>,
  name: string,
): ChosenModel & { readonly model: Model } {
  const stored = registry.open(name);
  const { created, training } = stored.manifest;
  const trainedOn = training?.span ?? null;
  return { name, model: loadModel(stored, FEATURES), trainedAt: created, trainedOn, problem: null };
}

/** Loads the model's sessions in advance, because loading is slow and a switch should be fast. */
export async function prepared(
  model: Model,
  leads: Iterable<number>,
): Promise<{ readonly model: Model; readonly release: () => Promise<void> }> {
  const ready = new Map<number, Stepper>();
  const release = async (): Promise<void> => {
    for (const stepper of ready.values()) await stepper.release();
    ready.clear();
  };
  try {
    for (const one of new Set(leads)) ready.set(one, await model.stepper(one));
  } catch (error) {
    await release();
    throw error;
  }
  const stepper = async (wanted: number): Promise<Stepper> => {
    const made = ready.get(wanted);
    ready.delete(wanted);
    return made ?? model.stepper(wanted);
  };
  return { model: { ...model, stepper }, release };
}
