import { describe, expect, it } from 'vitest';
import { createSession, type NamedArray } from '../../src/model/sessions.ts';
import { createRandom } from '../../src/network/random.ts';
import { buildSequenceGraph } from '../../src/network/sequence-graph.ts';
import { type NetworkSpec, stateRows } from '../../src/network/spec.ts';
import { BARE, DIRECT, livelyWeights, uniform } from './support.ts';

const spec: NetworkSpec = {
  ...BARE,
  cell: 'lstm',
  layers: 2,
  hidden: 4,
  attention: { memory: 3 },
  convolution: { kernel: 3, channels: 4 },
  head: DIRECT,
};
const weights = livelyWeights(spec, 1);
const states = { leads: null, splitState: false };

async function run(bytes: Uint8Array, feeds: Record<string, NamedArray>) {
  const session = await createSession(bytes);
  const result = await session.run(feeds);
  const ports = { inputs: session.inputs, outputs: session.outputs };
  await session.release();
  return { result, ports };
}

describe('sequence graph', () => {
  const random = createRandom(2);
  const x = uniform(random, [5, 2, 3]);
  const h0 = uniform(random, [stateRows(spec), 2, 4], 0.5);

  it('gives the same result with a split state', async () => {
    const whole = await run(buildSequenceGraph(spec, weights, states), { x, h0 });
    const bytes = buildSequenceGraph(spec, weights, { ...states, splitState: true });
    const row = (from: number, to: number) => ({
      shape: [to - from, 2, 4],
      data: h0.data.slice(from * 8, to * 8),
    });
    const pieces = { h0: row(0, 2), c0: row(2, 4), memory0: row(4, 6), past0: row(6, 8) };
    const { result, ports } = await run(bytes, { x, ...pieces });
    expect(ports.inputs).toEqual(['x', 'h0', 'c0', 'memory0', 'past0']);
    expect(ports.outputs).toEqual(['states', 'hT', 'cT', 'memoryT', 'pastT']);
    expect(result.states).toEqual(whole.result.states);
    const joined = ['hT', 'cT', 'memoryT', 'pastT'].flatMap((name) => [...result[name]!.data]);
    expect(joined).toEqual([...whole.result.hT!.data]);
  });

  it('accepts weights as inputs and as constants', async () => {
    const baked = await run(buildSequenceGraph(spec, weights, { ...states, leads: 1 }), { x, h0 });
    const feeds = { x, h0, ...Object.fromEntries(weights) };
    const fed = await run(buildSequenceGraph(spec, null, { ...states, leads: 1 }), feeds);
    for (const [name, { data }] of Object.entries(baked.result)) {
      const other = fed.result[name]!.data;
      for (const [index, value] of data.entries()) expect(other[index]).toBeCloseTo(value, 6);
    }
  });

  it('a bare GRU has x, h0 and its states, as in PyTorch', async () => {
    const bytes = buildSequenceGraph(BARE, livelyWeights(BARE, 1), { ...states, splitState: true });
    const h = { shape: [1, 2, 16], data: new Float32Array(32) };
    const { result, ports } = await run(bytes, { x, h0: h });
    expect(ports).toEqual({ inputs: ['x', 'h0'], outputs: ['states', 'hT'] });
    expect(result.states!.shape).toEqual([5, 2, 16]);
    expect(result.hT!.data).toEqual(result.states!.data.slice(4 * 32));
  });
});
