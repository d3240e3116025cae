import { describe, expect, it } from 'vitest';
import { createRandom } from '../../src/network/random.ts';
import type { NetworkSpec } from '../../src/network/spec.ts';
import { stateRows } from '../../src/network/spec.ts';
import { initialWeights } from '../../src/network/weights.ts';
import {
  createGradientSource,
  parametersOf,
  type RuntimeGradients,
  weightsOf,
} from '../../src/training/gradient-source.ts';
import { trainLoop } from '../../src/training/loop.ts';
import { Random } from '../../src/training/random.ts';
import { type TrainingBatch, WindowSampler } from '../../src/training/sampler.ts';
import { ValidationPass } from '../../src/training/validation.ts';
import { plainSeries } from './synthetic.ts';

const spec: NetworkSpec = {
  cell: 'gru',
  layers: 2,
  hidden: 8,
  inputs: 3,
  dropout: 0.2,
  convolution: null,
  attention: null,
  head: { kind: 'lead', experts: 1, features: 0, width: 8 },
};
const shape = { steps: 12, stride: 4, leads: 2, batch: 4 };
const sizes = { ...shape, stateLayers: stateRows(spec), hidden: spec.hidden };

/** The step input of `plainSeries` grows with time; a wave needs none of it. */
const rng = new Random(1);
const wave = plainSeries(
  'wave',
  Array.from({ length: 300 }, (_, t) => Math.sin(t / 3) + 0.02 * rng.normal()),
);
const series = [
  {
    ...wave,
    input(step: number, out: Float32Array, offset: number) {
      wave.input(step, out, offset);
      out[offset + 2] = 0;
    },
  },
];

async function set(seed = 1) {
  const weights = initialWeights(spec, createRandom(seed));
  const parameters = parametersOf(weights);
  const source = await createGradientSource(spec, weights, parameters, shape, new Random(seed));
  const stream = new WindowSampler(
    series,
    [{ from: 0, to: 220 }],
    { ...sizes, chunks: 4, burnIn: 0 },
    new Random(seed),
  );
  const pass = new ValidationPass(series, [{ from: 224, to: 300 }], { ...sizes, warmUp: 24 });
  return { weights, parameters, source, stream, pass };
}

const options = {
  maxSteps: 250,
  maxTimeMs: null,
  schedule: { peak: 0.01, warmUp: 0.05, floor: 0.02 },
  adam: {},
  clipNorm: 1,
  clipValue: Number.POSITIVE_INFINITY,
  validateEvery: 50,
  patience: Number.POSITIVE_INFINITY,
  averaging: 0,
  now: () => 0,
};

describe('training on the runtime', () => {
  it('trains a small network on a wave, with repeatable results', async () => {
    const run = async () => {
      const { parameters, source, stream, pass } = await set();
      const result = await trainLoop(parameters, source, stream, pass, options);
      await source.release();
      return result;
    };
    const first = await run();
    expect(first.bestLoss!).toBeLessThan(0.35 * first.baseLoss!);
    expect((await run()).best).toEqual(first.best);
  });

  it('sees weights that change in place, and uses no dropout in validation', async () => {
    const { parameters, source, stream } = await set();
    const batch = stream.next();
    const first = (await source.run(batch, false)).loss;
    expect((await source.run(batch, false)).loss).toBe(first);
    expect((await source.run(batch, true)).loss).not.toBe(first);
    const bias = parameters.find((one) => one.name === 'head.median.bias')!;
    bias.data[0]! += 3;
    expect((await source.run(batch, false)).loss).toBeGreaterThan(first + 1);
    await source.release();
  });

  it('draws the dropout masks of a skipped batch, and none in validation', async () => {
    const lossAfter = async (former: (source: RuntimeGradients, batch: TrainingBatch) => unknown) => {
      const { source, stream } = await set();
      const batch = stream.next();
      await former(source, batch);
      const { loss } = await source.run(batch, true);
      await source.release();
      return loss;
    };
    const first = await lossAfter(() => undefined);
    const second = await lossAfter((source, batch) => source.run(batch, true));
    expect(second).not.toBe(first);
    expect(await lossAfter((source) => source.skip?.())).toBe(second);
    expect(await lossAfter((source, batch) => source.run(batch, false))).toBe(first);
  });

  it('returns one gradient per parameter, in order, and descends along it', async () => {
    const { parameters, source, stream } = await set();
    const batch = stream.next();
    const { gradients } = await source.run(batch, true);
    expect(gradients.map((g) => g.length)).toEqual(parameters.map((one) => one.data.length));
    const before = (await source.run(batch, false)).loss;
    parameters.forEach(({ data }, k) => {
      for (let i = 0; i < data.length; i++) data[i]! -= 0.01 * gradients[k]![i]!;
    });
    expect((await source.run(batch, false)).loss).toBeLessThan(before);
    await source.release();
  });
});

describe('parametersOf', () => {
  it('copies weights, applies no decay to biases, and converts back', () => {
    const weights = initialWeights(spec, createRandom(1));
    const parameters = parametersOf(weights, true);
    const byName = new Map(parameters.map((one) => [one.name, one]));
    expect(byName.get('layers.0.hidden.weight')).toMatchObject({ decay: true });
    expect(byName.get('layers.0.input.bias')).toMatchObject({ decay: false });
    parameters[0]!.data.fill(7);
    expect(parameters[0]!.anchor).toEqual(weights.get(parameters[0]!.name)!.data);
    const back = weightsOf(
      weights,
      parameters,
      parameters.map((one) => one.data),
    );
    expect(back.get(parameters[0]!.name)!.data[0]).toBe(7);
    expect(back.get('head.bias')!.shape).toEqual([8]);
  });
});
