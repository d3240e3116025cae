// The arithmetic on each board: int8 products are exact, the int8 step equals a reference in integers, and a training
// step's gradients equal this machine's.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { NamedArray } from '../../src/model/sessions.ts';
import { Graph } from '../../src/network/graph/graph.ts';
import { WEIGHT_LIMIT } from '../../src/network/quantize.ts';
import { createRandom } from '../../src/network/random.ts';
import type { NetworkSpec } from '../../src/network/spec.ts';
import { buildStepGraph } from '../../src/network/step-graph.ts';
import { buildTrainingGraph } from '../../src/network/training-graph.ts';
import { BARE, LEAD, livelyWeights, trainingFeeds, uniform } from '../network/support.ts';
import { APP, BOARDS, runGuest } from './board.ts';
import { codesOf, integerGruStep, integerProduct } from './integer-gru.ts';
import { type PackedArrays, packArrays, unpackArrays } from './pack.ts';

interface Job {
  readonly model: Uint8Array;
  readonly feeds: Readonly<Record<string, NamedArray>>;
}

/** The product of the step graph, with scales of 1: the sums themselves. States at the ends of their range included. */
const K = 96;
const COLUMNS = 40;
const N = 17;
const product = (() => {
  const random = createRandom(11);
  const extreme = (limit: number) => (random.next() < 0.5 ? limit : -limit);
  const values = Int8Array.from({ length: K * COLUMNS }, (_, i) =>
    i % COLUMNS < 8 ? extreme(WEIGHT_LIMIT) : random.integer(2 * WEIGHT_LIMIT + 1) - WEIGHT_LIMIT,
  );
  // Column 0 at +63 and row 0 at the largest code: the sum that saturates 16 bits, were it ever kept in 16.
  for (let k = 0; k < K; k++) values[k * COLUMNS] = WEIGHT_LIMIT;
  const h = Float32Array.from({ length: N * K }, (_, i) =>
    i < K ? 1 : i < 4 * K ? extreme(1) : 2 * random.next() - 1,
  );
  const g = new Graph();
  const state = g.input('h', ['N', K]);
  const zero = g.uint8(Uint8Array.of(128), []);
  const codes = g.emit(
    'QuantizeLinear',
    [state, g.scalar(Math.fround(1 / 127)), zero],
    ['N', K],
    {},
    'uint8',
  );
  const ones = g.constant(new Float32Array(COLUMNS).fill(1), [COLUMNS]);
  g.output(
    'sums',
    g.emit(
      'MatMulIntegerToFloat',
      [codes, g.int8(values, [K, COLUMNS]), g.scalar(1), ones, zero, null, null],
      ['N', COLUMNS],
      {},
      'float32',
      'com.microsoft',
    ),
  );
  return {
    values,
    h,
    job: { model: g.toModel('product', 'int8 product'), feeds: { h: { shape: [N, K], data: h } } },
  };
})();

const stepSpec: NetworkSpec = { ...BARE, hidden: 64, inputs: 13 };
const stepWeights = livelyWeights(stepSpec, 21);
const step: Job = (() => {
  const random = createRandom(22);
  return {
    model: buildStepGraph(stepSpec, stepWeights, { leads: 1, quantized: true }),
    feeds: { x: uniform(random, [N, 13], 3), h: uniform(random, [1, N, 64]) },
  };
})();

const trainingSpec: NetworkSpec = {
  ...BARE,
  layers: 2,
  hidden: 32,
  inputs: 13,
  head: { ...LEAD, width: 16 },
};
const training: Job = (() => {
  const options = { steps: 24, originStride: 8, leads: 6 };
  return {
    model: buildTrainingGraph(trainingSpec, options),
    feeds: trainingFeeds(trainingSpec, livelyWeights(trainingSpec, 31), options, 8, 32),
  };
})();

const jobs = [product.job, step, training];
const jobsFile = join(APP, '..', 'guest', 'jobs.json');
const run = async (board: (typeof BOARDS)[number] | null) =>
  (await runGuest<PackedArrays[]>(board, 'run-graphs', [jobsFile])).map(unpackArrays);

let here: Record<string, NamedArray>[];
beforeAll(async () => {
  mkdirSync(join(APP, '..', 'guest'), { recursive: true });
  const packed = jobs.map(({ model, feeds }) => ({
    model: Buffer.from(model).toString('base64'),
    feeds: packArrays(feeds),
  }));
  writeFileSync(jobsFile, JSON.stringify(packed));
  here = await run(null);
});

/** Largest difference, over the largest value of `b`. */
function difference(a: Float32Array, b: Float32Array | Float64Array): number {
  expect(a.length).toBe(b.length);
  let worst = 0;
  let size = 0;
  for (const [i, value] of b.entries()) {
    worst = Math.max(worst, Math.abs(a[i]! - value));
    size = Math.max(size, Math.abs(value));
  }
  return size === 0 ? worst : worst / size;
}

describe.each([null, ...BOARDS])('numbers on %s', (board) => {
  let there: Record<string, NamedArray>[];
  beforeAll(async () => {
    there = board ? await run(board) : here;
  });

  it('multiplies int8 without error, at the ends of the range too', () => {
    const exact = integerProduct(codesOf(product.h), product.values, N, COLUMNS);
    expect(exact[0]).toBe(127 * WEIGHT_LIMIT * K);
    expect([...there[0]!.sums!.data]).toEqual([...exact]);
  });

  it('steps the int8 GRU as the reference in integers', () => {
    const { x, h } = step.feeds;
    const exact = integerGruStep(stepWeights, N, x!.data, h!.data);
    expect(difference(there[1]!.h_next!.data, exact)).toBeLessThan(2e-6);
  });

  it('gives the same loss and gradients as this machine, to 1e-5', () => {
    const names = Object.keys(here[2]!);
    expect(names.filter((name) => name.startsWith('gradient.')).length).toBeGreaterThan(12);
    const worst = names.map(
      (name) => [name, difference(there[2]![name]!.data, here[2]![name]!.data)] as const,
    );
    expect(worst.filter(([, value]) => !(value < 1e-5))).toEqual([]);
    expect(here[2]!.loss!.data[0]).toBeGreaterThan(0);
  });
});
