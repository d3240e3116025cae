/** A stored model as the engine's `Model`: step graphs are built for each horizon that is asked for. */
import { GatecastError } from '../errors.ts';
import type { Model } from '../forecast/model.ts';
import { type NetworkSpec, stateRows } from '../network/spec.ts';
import { buildStepGraph } from '../network/step-graph.ts';
import type { Weights } from '../network/weights.ts';
import type { StoredModel } from './registry.ts';
import { createStepper } from './sessions.ts';

export interface NetworkModelOptions {
  readonly id: string;
  readonly version: string;
  /** Of weights, network and feature format. */
  readonly hash: string;
  readonly spec: NetworkSpec;
  readonly weights: Weights;
  /** int8 (as shipped) or float32 (for comparison). */
  readonly quantized: boolean;
}

export function networkModel(options: NetworkModelOptions): Model {
  const { id, version, hash, spec, weights, quantized } = options;
  return {
    id,
    version,
    hash: quantized ? hash : `${hash}-float32`,
    stateRows: stateRows(spec),
    hidden: spec.hidden,
    stepper: (leads) => createStepper(buildStepGraph(spec, weights, { leads, quantized })),
  };
}

/** Throws MODEL_INVALID for a model that is not a forecasting network on gatecast's features. */
export function modelOf(stored: StoredModel, quantized = true): Model {
  const { manifest, weights, step, hash } = stored;
  const { name: id, version, spec, dimensions } = manifest;
  if (spec !== null && weights !== null && spec.head.kind !== 'none') {
    return networkModel({ id, version, hash, spec, weights, quantized });
  }
  if (step === null) {
    throw new GatecastError('MODEL_INVALID', `The model ${id} has no step graph: it cannot forecast.`, {
      hint: 'A bare cell stack can be exported and trained on, but it has no head.',
    });
  }
  return {
    id,
    version,
    hash,
    stateRows: dimensions.stateRows,
    hidden: dimensions.hidden,
    stepper: (leads) => {
      if (leads !== dimensions.leads) {
        throw new GatecastError(
          'MODEL_INVALID',
          `The model ${id} forecasts ${dimensions.leads} leads, ${leads} are asked for.`,
          {
            hint: `Set the horizon to ${dimensions.leads} intervals.`,
          },
        );
      }
      return createStepper(step);
    },
  };
}
