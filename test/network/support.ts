/** What the network room's tests share: small specs, seeded inputs, finite differences. */
import type { NamedArray } from '../../src/model/sessions.ts';
import { createRandom, type Random } from '../../src/network/random.ts';
import { leadWidth, type NetworkSpec, stateRows } from '../../src/network/spec.ts';
import type { TrainingGraphOptions } from '../../src/network/training-graph.ts';
import { initialWeights, type Weights } from '../../src/network/weights.ts';

export const BARE: NetworkSpec = {
  cell: 'gru',
  layers: 1,
  hidden: 16,
  inputs: 3,
  dropout: 0,
  convolution: null,
  attention: null,
  head: { kind: 'none' },
};
export const DIRECT = { kind: 'direct', leads: 3, shortcut: true } as const;
export const LEAD = { kind: 'lead', experts: 3, features: 2, width: 4 } as const;

export function uniform(random: Random, shape: readonly number[], limit = 1): NamedArray {
  const size = shape.reduce((a, b) => a * b, 1);
  return { shape, data: Float32Array.from({ length: size }, () => (2 * random.next() - 1) * limit) };
}

/** First weights, with something in every bias and shortcut so that no gradient is trivially 0. */
export function livelyWeights(spec: NetworkSpec, seed: number): Map<string, NamedArray> {
  const random = createRandom(seed);
  const weights = new Map(initialWeights(spec, random));
  for (const [name, { shape, data }] of weights) {
    const shifted = data.map((value) => value + 0.2 * (2 * random.next() - 1));
    weights.set(name, { shape, data: shifted });
  }
  return weights;
}

/**
 * Everything a training graph reads. Targets lie well outside the forecasts, some above and some below, and one in five
 * is unobserved: the loss is smooth there, so finite differences converge.
 */
export function trainingFeeds(
  spec: NetworkSpec,
  weights: Weights,
  { steps, originStride, leads }: TrainingGraphOptions,
  batch: number,
  seed: number,
): Record<string, NamedArray> {
  const random = createRandom(seed);
  const origins = steps / originStride;
  const M = spec.head.kind === 'direct' ? spec.head.leads : leads;
  const target = uniform(random, [origins, batch, M]);
  const feeds: Record<string, NamedArray> = {
    ...Object.fromEntries(weights),
    x: uniform(random, [steps, batch, spec.inputs]),
    h0: uniform(random, [stateRows(spec), batch, spec.hidden], 0.5),
    target: { shape: target.shape, data: target.data.map((value) => Math.sign(value) * 3.5 + 0.5 * value) },
    weight: {
      shape: target.shape,
      data: target.data.map(() => (random.next() < 0.2 ? 0 : 0.5 + random.next())),
    },
  };
  if (spec.head.kind === 'lead') feeds.z = uniform(random, [origins, batch, M, leadWidth(spec)]);
  for (let layer = 1; spec.dropout > 0 && layer < spec.layers; layer++) {
    const shape = [1, batch, spec.hidden];
    const draws = uniform(random, shape).data;
    feeds[`mask.${layer}`] = {
      shape,
      data: draws.map((value) => (value < 2 * spec.dropout - 1 ? 0 : 1 / (1 - spec.dropout))),
    };
  }
  return feeds;
}
