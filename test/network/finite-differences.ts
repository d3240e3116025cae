/** Gradients of a training graph against finite differences of its loss. */
import { createSession, type NamedArray, type Session } from '../../src/model/sessions.ts';
import { createRandom, type Random } from '../../src/network/random.ts';
import type { NetworkSpec } from '../../src/network/spec.ts';
import { buildTrainingGraph, type TrainingGraphOptions } from '../../src/network/training-graph.ts';
import { livelyWeights, trainingFeeds } from './support.ts';

/** Wide first, for float32's sake; narrower where the loss bends. */
const EPSILONS = [0.04, 0.01, 0.0025];

/**
 * Largest error of the gradient, relative to the largest slope of the same parameter.
 * @param probes every weight by itself, or each parameter along two random directions
 */
export async function gradientError(
  spec: NetworkSpec,
  options: TrainingGraphOptions,
  seed: number,
  probes: 'every weight' | 'directions',
): Promise<{ worst: number; where: string; checked: number }> {
  const weights = livelyWeights(spec, seed);
  avoidKinks(spec, weights);
  const feeds = trainingFeeds(spec, weights, options, 2, seed + 1);
  const random = createRandom(seed + 2);
  const session = await createSession(buildTrainingGraph(spec, options));
  const outcome = { worst: 0, where: '', checked: 0 };
  try {
    const analytic = await session.run(feeds);
    for (const name of weights.keys()) {
      const gradient = analytic[`gradient.${name}`]!.data;
      const scale = Math.max(0.01, ...gradient.map(Math.abs));
      for (const [where, direction] of directions(gradient.length, probes, random)) {
        const expected = gradient.reduce((total, value, index) => total + value * direction[index]!, 0);
        let error = Number.POSITIVE_INFINITY;
        for (const epsilon of EPSILONS) {
          if (error < 1e-3) break;
          const numeric = await slope(session, feeds, name, direction, epsilon);
          error = Math.min(error, Math.abs(numeric - expected) / scale);
        }
        outcome.checked++;
        if (!(error <= outcome.worst)) Object.assign(outcome, { worst: error, where: `${name} ${where}` });
      }
    }
  } finally {
    await session.release();
  }
  return outcome;
}

/** Unit vectors in the space of one parameter. */
function* directions(
  size: number,
  probes: 'every weight' | 'directions',
  random: Random,
): Iterable<[string, Float32Array]> {
  if (probes === 'every weight') {
    for (let index = 0; index < size; index++) {
      const direction = new Float32Array(size);
      direction[index] = 1;
      yield [`[${index}]`, direction];
    }
    return;
  }
  for (let draw = 0; draw < 2; draw++) {
    const direction = new Float32Array(size).map(() => random.normal());
    const norm = Math.hypot(...direction);
    yield [`along direction ${draw}`, direction.map((value) => value / norm)];
  }
}

/** Fourth-order central difference. */
async function slope(
  session: Session,
  feeds: Record<string, NamedArray>,
  name: string,
  direction: Float32Array,
  epsilon: number,
): Promise<number> {
  const data = feeds[name]!.data;
  const original = data.slice();
  const lossAt = async (shift: number) => {
    for (const [index, value] of original.entries()) data[index] = value + shift * direction[index]!;
    return (await session.run(feeds, ['loss'])).loss!.data[0]!;
  };
  const near = (await lossAt(epsilon)) - (await lossAt(-epsilon));
  const far = (await lossAt(2 * epsilon)) - (await lossAt(-2 * epsilon));
  data.set(original);
  return (8 * near - far) / (12 * epsilon);
}

/** Moves every relu well to one side of its kink, some to each: there is no derivative to compare with at 0. */
function avoidKinks(spec: NetworkSpec, weights: Map<string, NamedArray>): void {
  const tame = (matrices: string[], bias: string) => {
    for (const name of matrices) {
      const { data } = weights.get(name)!;
      for (let i = 0; i < data.length; i++) data[i]! *= 0.25;
    }
    const { data } = weights.get(bias)!;
    for (let i = 0; i < data.length; i++) data[i] = i % 3 === 2 ? -2.5 : 2;
  };
  if (spec.convolution) tame(['convolution.weight'], 'convolution.bias');
  for (let layer = 0; spec.cell === 'rnn-relu' && layer < spec.layers; layer++) {
    const of = (name: string) => `layers.${layer}.${name}`;
    tame([of('input.weight'), of('hidden.weight')], of('input.bias'));
  }
}
