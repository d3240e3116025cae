/** A network and its weights as a `Model` of the engine: step graphs are built for each horizon that is asked for. */
import type { Model } from '../forecast/model.ts';
import { type NetworkSpec, stateRows } from '../network/spec.ts';
import { buildStepGraph } from '../network/step-graph.ts';
import type { Weights } from '../network/weights.ts';
import { createStepper } from './sessions.ts';

export interface NetworkModelOptions {
  readonly id: string;
  readonly version: string;
  /** sha256 of the weights, hex. */
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
