/** Untrained models: networks with random weights, packed like trained ones. */
import { type PackOptions, packModel } from '../../src/model/pack.ts';
import type { ModelFiles } from '../../src/model/registry.ts';
import { createRandom } from '../../src/network/random.ts';
import type { NetworkSpec } from '../../src/network/spec.ts';
import { initialWeights } from '../../src/network/weights.ts';
import { FEATURE_FORMAT } from '../../src/series/features.ts';

/** The network with the random weights of a seed. */
export const randomNetwork = (spec: NetworkSpec, seed = 1) => ({
  spec,
  weights: initialWeights(spec, createRandom(seed)),
});

export function untrainedModel(
  spec: NetworkSpec,
  { seed = 1, ...change }: { readonly seed?: number } & Partial<PackOptions> = {},
): ModelFiles {
  return packModel({
    name: 'base',
    version: '1',
    createdMs: 0,
    ...randomNetwork(spec, seed),
    leads: 12,
    features: FEATURE_FORMAT,
    parent: null,
    training: null,
    scores: {},
    ...change,
  });
}

type Weights = PackOptions['weights'];

/** The weights with those of the head times `factor`: far from 1 the forecasts are nonsense. */
export const spoiltHead = (weights: Weights, factor: number): Weights =>
  new Map(
    [...weights].map(([part, { shape, data }]) => [
      part,
      { shape, data: part.startsWith('head.') ? data.map((weight) => weight * factor) : data },
    ]),
  );
