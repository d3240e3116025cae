/** Forward and backward equal PyTorch's, on vectors made once (fixtures/README.md). */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createSession, type NamedArray } from '../../src/model/sessions.ts';
import { fromPyTorch, toPyTorch } from '../../src/network/pytorch.ts';
import { createRandom } from '../../src/network/random.ts';
import { buildSequenceGraph } from '../../src/network/sequence-graph.ts';
import { leadWidth, type NetworkSpec, stateLayout, stateRows } from '../../src/network/spec.ts';
import { buildTrainingGraph } from '../../src/network/training-graph.ts';
import { type Tensor, weightShapes } from '../../src/network/weights.ts';
import { uniform } from './support.ts';

interface Digest {
  readonly norm: number;
  readonly probe: number;
  readonly values: readonly number[];
}
interface Golden {
  readonly name: string;
  readonly spec: NetworkSpec;
  readonly steps: number;
  readonly batch: number;
  readonly originStride: number;
  readonly leads: number;
  readonly limit: number;
  readonly seed: number;
  readonly loss: number;
  readonly states: Digest;
  readonly last: Digest;
  readonly gradients: Readonly<Record<string, Digest>>;
}
const cases = JSON.parse(readFileSync(new URL('fixtures/pytorch.json', import.meta.url), 'utf8')) as Golden[];

function digest(data: Float32Array): Digest {
  const random = createRandom(99);
  let square = 0;
  let probe = 0;
  for (const value of data) {
    square += value * value;
    probe += value * Math.fround(2 * random.next() - 1);
  }
  const values = Array.from({ length: 8 }, (_, i) => data[Math.round((i * (data.length - 1)) / 7)]!);
  return { norm: Math.sqrt(square), probe, values };
}

/** Everything within 1e-5 of the whole's size, or for single values, of 1. */
function expectDigest(actual: Float32Array, expected: Digest, what: string): void {
  const found = digest(actual);
  const size = Math.max(expected.norm, 1e-3);
  expect(Math.abs(found.norm - expected.norm) / size, `${what} norm`).toBeLessThan(1e-5);
  expect(Math.abs(found.probe - expected.probe) / size, `${what} probe`).toBeLessThan(1e-5);
  for (const [index, value] of expected.values.entries()) {
    expect(Math.abs(found.values[index]! - value), `${what} value ${index}`).toBeLessThan(1e-5);
  }
}

/** The same draws as golden.py's, in the same order. */
function draw(golden: Golden) {
  const { spec, steps: T, batch: B, originStride, leads: M, limit } = golden;
  const random = createRandom(golden.seed);
  const shapes = toPyTorch(
    spec.cell,
    new Map([...weightShapes(spec)].map(([name, shape]) => [name, emptyTensor(shape)])),
  );
  const theirs = new Map<string, Tensor>();
  for (const name of Object.keys(golden.gradients)) {
    theirs.set(name, uniform(random, shapes.get(name)!.shape, limit));
  }
  const P = T / originStride;
  const x = uniform(random, [T, B, spec.inputs]);
  const { hidden, cell } = stateLayout(spec);
  const drawn = uniform(random, [hidden.to + cell.to - cell.from, B, spec.hidden], 0.5);
  // what lies behind attention and convolution starts at zero
  const h0 = emptyTensor([stateRows(spec), B, spec.hidden]);
  h0.data.set(drawn.data);
  const feeds: Record<string, NamedArray> = { x, h0 };
  if (spec.head.kind === 'lead') feeds.z = uniform(random, [P, B, M, leadWidth(spec)]);
  feeds.target = uniform(random, [P, B, M], 2);
  const weight = uniform(random, [P, B, M]);
  weight.data.forEach((value, index) => {
    weight.data[index] = Math.max(0, value);
  });
  feeds.weight = weight;
  return { theirs, feeds, rows: drawn.shape[0]! };
}

function emptyTensor(shape: readonly number[]): NamedArray {
  return { shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) };
}

describe.each(cases)('$name', (golden) => {
  const { spec, originStride, leads } = golden;
  const { theirs, feeds, rows } = draw(golden);
  const cellNames = [...theirs.keys()].filter((name) => /_l\d+$/.test(name));
  const imported = fromPyTorch(spec.cell, new Map(cellNames.map((name) => [name, theirs.get(name)!])));
  const weights = new Map([...theirs].filter(([name]) => !cellNames.includes(name)));
  for (const [name, tensor] of imported.weights) weights.set(name, tensor);

  it('states', async () => {
    const session = await createSession(
      buildSequenceGraph(spec, weights, { leads: null, splitState: false }),
    );
    const { states, hT } = await session.run({ x: feeds.x!, h0: feeds.h0! });
    await session.release();
    expectDigest(states!.data, golden.states, 'states');
    const size = rows * golden.batch * spec.hidden;
    expectDigest(hT!.data.slice(0, size), golden.last, 'last state');
  });

  it('loss and gradients', async () => {
    const session = await createSession(
      buildTrainingGraph(spec, { steps: golden.steps, originStride, leads }),
    );
    const results = await session.run({ ...Object.fromEntries(weights), ...feeds });
    await session.release();
    expect(results.loss!.data[0]).toBeCloseTo(golden.loss, 5);
    const gradients = toPyTorch(
      spec.cell,
      new Map([...weightShapes(spec).keys()].map((name) => [name, results[`gradient.${name}`]!])),
    );
    expect([...gradients.keys()].sort()).toEqual(Object.keys(golden.gradients).sort());
    for (const [name, tensor] of gradients) expectDigest(tensor.data, golden.gradients[name]!, name);
  });
});
