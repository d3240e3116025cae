import { describe, expect, it } from 'vitest';
import { createSession, type NamedArray } from '../../src/model/sessions.ts';
import { createRandom } from '../../src/network/random.ts';
import { buildSequenceGraph } from '../../src/network/sequence-graph.ts';
import { CELLS, leadWidth, type NetworkSpec, stateRows } from '../../src/network/spec.ts';
import { buildTrainingGraph } from '../../src/network/training-graph.ts';
import type { Weights } from '../../src/network/weights.ts';
import { widen } from '../../src/network/widen.ts';
import { BARE, DIRECT, LEAD, livelyWeights, trainingFeeds, uniform } from './support.ts';

const full: NetworkSpec = {
  ...BARE,
  layers: 2,
  hidden: 6,
  attention: { memory: 3 },
  convolution: { kernel: 3, channels: 4 },
  head: LEAD,
};
const cases: [string, NetworkSpec][] = [
  ...CELLS.map((cell): [string, NetworkSpec] => [cell, { ...full, cell }]),
  ['direct head', { ...full, head: DIRECT }],
  ['more inputs than hidden units', { ...full, inputs: 13, convolution: null }],
];

async function forecast(spec: NetworkSpec, weights: Weights) {
  const random = createRandom(4);
  const K = 3;
  const feeds: Record<string, NamedArray> = { x: uniform(random, [9, 2, spec.inputs]) };
  if (spec.head.kind === 'lead') feeds.z = uniform(random, [9, 2, K, leadWidth(spec)]);
  feeds.h0 = {
    shape: [stateRows(spec), 2, spec.hidden],
    data: new Float32Array(stateRows(spec) * 2 * spec.hidden),
  };
  const session = await createSession(buildSequenceGraph(spec, weights, { leads: K, splitState: false }));
  const { quantiles } = await session.run(feeds);
  await session.release();
  return quantiles!.data;
}

describe('widening', () => {
  it.each(cases)('%s: forecasts stay', async (_name, spec) => {
    const weights = livelyWeights(spec, 2);
    const wider = widen(spec, weights, 10, createRandom(3));
    const before = await forecast(spec, weights);
    const after = await forecast(wider.spec, wider.weights);
    expect(wider.spec.hidden).toBe(10);
    for (const [index, value] of before.entries()) expect(after[index]).toBeCloseTo(value, 5);
  });

  it('trains the new units', async () => {
    const spec: NetworkSpec = { ...BARE, hidden: 6, head: DIRECT };
    const wider = widen(spec, livelyWeights(spec, 2), 10, createRandom(3));
    const options = { steps: 6, originStride: 2, leads: 3 };
    const session = await createSession(buildTrainingGraph(wider.spec, options));
    const slopes = await session.run(trainingFeeds(wider.spec, wider.weights, options, 2, 1));
    await session.release();
    const ofHead = slopes['gradient.head.weight']!;
    const newRows = ofHead.data.slice(6 * ofHead.shape[1]!);
    expect(newRows.every((value) => value !== 0)).toBe(true);
  });

  it.each([6, 5, 2000, 7.5])('refuses %d hidden units', (hidden) => {
    const spec: NetworkSpec = { ...BARE, hidden: 6 };
    expect(() => widen(spec, livelyWeights(spec, 1), hidden, createRandom(1))).toThrow(
      expect.objectContaining({ code: 'NETWORK_INVALID' }),
    );
  });
});
