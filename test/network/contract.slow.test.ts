/**
 * One contract for every network that can be described: the step graph run sample by sample gives what the sequence graph
 * gives, chunks with carried state give the whole, and gradients equal finite differences.
 */
import { describe, expect, it } from 'vitest';
import { createSession, type NamedArray } from '../../src/model/sessions.ts';
import { createRandom } from '../../src/network/random.ts';
import { buildSequenceGraph } from '../../src/network/sequence-graph.ts';
import { CELLS, leadWidth, type NetworkSpec, stateRows } from '../../src/network/spec.ts';
import { buildStepGraph } from '../../src/network/step-graph.ts';
import { gradientError } from './finite-differences.ts';
import { DIRECT, LEAD, livelyWeights, uniform } from './support.ts';

const T = 7;
const B = 3;
const K = 3;

/** Both heads appear with everything else; they do not touch what lies below them. */
const table: [string, NetworkSpec][] = [];
for (const cell of CELLS) {
  for (const layers of [1, 2, 3, 4]) {
    for (const attention of [null, { memory: 4 }]) {
      for (const convolution of [null, { kernel: 3, channels: 4 }]) {
        const head = table.length % 2 === layers % 2 ? DIRECT : LEAD;
        const spec = { cell, layers, hidden: 4, inputs: 3, dropout: 0, attention, convolution, head };
        const extras = `${attention ? ', attention' : ''}${convolution ? ', convolution' : ''}`;
        table.push([`${cell}, ${layers} layers${extras}, ${head.kind} head`, spec]);
      }
    }
  }
}

/** Steps `from` to `to` of an array whose first axis is time. */
function window({ data, shape }: NamedArray, from: number, to: number): NamedArray {
  const width = data.length / shape[0]!;
  return { data: data.slice(from * width, to * width), shape: [to - from, ...shape.slice(1)] };
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((worst, value, index) => Math.max(worst, Math.abs(value - b[index]!)), 0);
}

async function runSequence(spec: NetworkSpec, seed: number) {
  const random = createRandom(seed);
  const weights = livelyWeights(spec, seed);
  const x = uniform(random, [T, B, spec.inputs]);
  const z = uniform(random, [T, B, K, Math.max(1, leadWidth(spec))]);
  const h0 = uniform(random, [stateRows(spec), B, spec.hidden], 0.5);
  const session = await createSession(buildSequenceGraph(spec, weights, { leads: K, splitState: false }));
  const run = (from: number, to: number, h: NamedArray) => {
    const feeds: Record<string, NamedArray> = { x: window(x, from, to), h0: h };
    if (spec.head.kind === 'lead') feeds.z = window(z, from, to);
    return session.run(feeds);
  };
  const whole = await run(0, T, h0);
  return { weights, x, z, h0, whole, run, release: session.release };
}

describe.each(table)('%s', (_name, spec) => {
  it('step by step equals the window', async () => {
    const { weights, x, z, h0, whole, release } = await runSequence(spec, 11);
    await release();
    const step = await createSession(buildStepGraph(spec, weights, { leads: K, quantized: false }));
    let h = h0;
    const quantiles: number[] = [];
    for (let t = 0; t < T; t++) {
      const rows: number[] = [];
      for (let b = 0; b < B; b++) {
        const at = t * B + b;
        rows.push(...x.data.slice(at * spec.inputs, (at + 1) * spec.inputs));
        const width = K * leadWidth(spec);
        if (spec.head.kind === 'lead') rows.push(...z.data.slice(at * width, (at + 1) * width));
      }
      const result = await step.run({ x: { data: Float32Array.from(rows), shape: [B, rows.length / B] }, h });
      quantiles.push(...result.quantiles!.data);
      h = result.h_next!;
    }
    await step.release();
    expect(largestDifference(Float32Array.from(quantiles), whole.quantiles!.data)).toBeLessThan(2e-5);
    expect(largestDifference(h.data, whole.hT!.data)).toBeLessThan(2e-5);
  });

  it('chunks with carried state equal the whole', async () => {
    const { h0, whole, run, release } = await runSequence(spec, 12);
    // a chunk shorter than kernel and memory among them
    let h = h0;
    const states: number[] = [];
    for (const [from, to] of [
      [0, 1],
      [1, 3],
      [3, T],
    ] as const) {
      const part = await run(from, to, h);
      states.push(...part.states!.data);
      h = part.hT!;
    }
    await release();
    expect(largestDifference(Float32Array.from(states), whole.states!.data)).toBeLessThan(1e-5);
    expect(largestDifference(h.data, whole.hT!.data)).toBeLessThan(1e-5);
  });

  it('gradients equal finite differences', async () => {
    const options = { steps: 6, originStride: 2, leads: K };
    const { worst, where } = await gradientError(spec, options, 13, 'directions');
    expect(worst, where).toBeLessThan(5e-3);
  });
});
