/**
 * Loss and gradients from the training graph on the runtime. The parameters' arrays are fed without a copy, so the
 * optimiser can change them in place.
 */
import { createSession, type NamedArray } from '../model/sessions.ts';
import { leadWidth, type NetworkSpec, stateRows } from '../network/spec.ts';
import { buildTrainingGraph } from '../network/training-graph.ts';
import type { Tensor, Weights } from '../network/weights.ts';
import type { GradientSource } from './loop.ts';
import { isBias, type Parameter } from './optimiser.ts';
import type { Random } from './random.ts';
import type { BatchShape, TrainingBatch } from './sampler.ts';

export interface RuntimeGradients extends GradientSource {
  release(): Promise<void>;
}

/** A copy of the weights as parameters of the optimiser, in the network's order. */
export function parametersOf(weights: Weights, anchored = false): Parameter[] {
  return [...weights].map(([name, { shape, data }]) => ({
    name,
    data: data.slice(),
    decay: !isBias(name, shape),
    anchor: anchored ? data.slice() : null,
  }));
}

/** The inverse of `parametersOf`: weights from arrays in the order of `parameters`. */
export function weightsOf(
  weights: Weights,
  parameters: readonly Parameter[],
  data: readonly Float32Array[],
): Map<string, Tensor> {
  return new Map(parameters.map(({ name }, k) => [name, { shape: weights.get(name)!.shape, data: data[k] }]));
}

/**
 * @param parameters in any order; gradients are returned in the same order
 * @param dropoutRng source of the dropout masks
 * @param perTarget whether runs without learning return the loss of each target
 */
export async function createGradientSource(
  spec: NetworkSpec,
  weights: Weights,
  parameters: readonly Parameter[],
  shape: BatchShape,
  dropoutRng: Random,
  perTarget = false,
): Promise<RuntimeGradients> {
  const graph = buildTrainingGraph(spec, {
    steps: shape.steps,
    originStride: shape.stride,
    leads: shape.leads,
    losses: perTarget,
  });
  const session = await createSession(graph);
  const { steps: T, batch: B, leads: M } = shape;
  const P = T / shape.stride;
  const fixed: Record<string, NamedArray> = {};
  for (const { name, data } of parameters) fixed[name] = { data, shape: weights.get(name)!.shape };
  // results are written into the same arrays every time: no allocation per step
  const result = (...sizes: number[]): NamedArray => ({
    data: new Float32Array(sizes.reduce((a, b) => a * b, 1)),
    shape: sizes,
  });
  const always = { loss: result(), hT: result(stateRows(spec), B, spec.hidden) };
  const evaluated = perTarget ? { ...always, losses: result(P, B, M) } : always;
  const gradients = parameters.map(({ name }) => result(...weights.get(name)!.shape));
  const learnt = {
    ...always,
    ...Object.fromEntries(parameters.map(({ name }, k) => [`gradient.${name}`, gradients[k]])),
  };
  const masks = session.inputs.filter((name) => name.startsWith('mask.'));
  const z = session.inputs.includes('z');
  return {
    async run(batch: TrainingBatch, learning: boolean) {
      const feeds: Record<string, NamedArray> = {
        ...fixed,
        x: { data: batch.x, shape: [T, B, spec.inputs] },
        h0: { data: batch.h0, shape: [stateRows(spec), B, spec.hidden] },
        target: { data: batch.target, shape: [P, B, M] },
        weight: { data: batch.weight, shape: [P, B, M] },
      };
      if (z) feeds.z = { data: batch.z, shape: [P, B, M, leadWidth(spec)] };
      for (const name of masks) {
        feeds[name] = {
          data: mask(B * spec.hidden, learning ? spec.dropout : 0, dropoutRng),
          shape: [1, B, spec.hidden],
        };
      }
      const outputs = await session.run(feeds, learning ? learnt : evaluated);
      return {
        loss: outputs.loss.data[0],
        hT: outputs.hT.data,
        gradients: learning ? gradients.map(({ data }) => data) : [],
        ...(outputs.losses && { losses: outputs.losses.data }),
      };
    },
    skip() {
      for (const _ of masks) mask(B * spec.hidden, spec.dropout, dropoutRng);
    },
    release: () => session.release(),
  };
}

/** Inverted dropout: kept units are scaled up, so that inference needs no correction. */
function mask(size: number, dropout: number, rng: Random): Float32Array {
  const out = new Float32Array(size).fill(1 / (1 - dropout));
  if (dropout > 0) for (let i = 0; i < size; i++) if (rng.chance(dropout)) out[i] = 0;
  return out;
}
