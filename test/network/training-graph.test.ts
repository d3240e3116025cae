import { describe, expect, it } from 'vitest';
import { createSession } from '../../src/model/sessions.ts';
import { CELLS, type NetworkSpec } from '../../src/network/spec.ts';
import { buildTrainingGraph } from '../../src/network/training-graph.ts';
import { gradientError } from './finite-differences.ts';
import { BARE, DIRECT, LEAD, livelyWeights, trainingFeeds } from './support.ts';

const small: NetworkSpec = { ...BARE, hidden: 5, head: DIRECT };
const options = { steps: 6, originStride: 2, leads: 4 };

describe('gradients equal finite differences for every weight', () => {
  const attention = { memory: 3 };
  const convolution = { kernel: 2, channels: 4 };
  const cases: [string, NetworkSpec][] = [
    ...CELLS.map((cell): [string, NetworkSpec] => [cell, { ...small, cell, layers: 2, dropout: 0.4 }]),
    ['direct head without shortcut', { ...small, head: { ...DIRECT, shortcut: false } }],
    ['lead head', { ...small, head: LEAD }],
    ['attention', { ...small, attention }],
    ['convolution', { ...small, convolution }],
  ];
  it.each(cases)('%s', async (_name, spec) => {
    const { worst, where, checked } = await gradientError(spec, options, 7, 'every weight');
    expect(checked).toBeGreaterThan(150);
    expect(worst, where).toBeLessThan(3e-3);
  });
});

describe('loss', () => {
  it('is the weighted mean quantile loss of observed targets', async () => {
    const spec: NetworkSpec = { ...small, head: { ...DIRECT, shortcut: false } };
    const weights = livelyWeights(spec, 1);
    // nothing comes from the state, so the bias is the forecast: medians 1, 2, 3, distances 1
    weights.get('head.weight')!.data.fill(0);
    const bias = weights.get('head.bias')!.data.fill(0);
    bias.set([1, 2, 3]);
    const feeds = trainingFeeds(spec, weights, options, 2, 1);
    const session = await createSession(buildTrainingGraph(spec, options));
    const { loss } = await session.run(feeds, ['loss']);
    await session.release();

    let total = 0;
    let observed = 0;
    for (const [index, target] of feeds.target!.data.entries()) {
      const share = feeds.weight!.data[index]!;
      observed += share;
      for (let level = 1; level <= 9; level++) {
        const error = target - ((index % 3) + 1 + (level - 5));
        total += (share * 2 * Math.max((level / 10) * error, (level / 10 - 1) * error)) / 9;
      }
    }
    expect(loss!.data[0]).toBeCloseTo(total / observed, 5);
  });

  it('is 0, and so is every gradient, when nothing was observed', async () => {
    const feeds = trainingFeeds(small, livelyWeights(small, 1), options, 2, 1);
    feeds.weight!.data.fill(0);
    const session = await createSession(buildTrainingGraph(small, options));
    const results = await session.run(feeds);
    await session.release();
    expect(results.loss!.data[0]).toBe(0);
    for (const [name, { data }] of Object.entries(results)) {
      if (name.startsWith('gradient.')) expect(data.every((value) => value === 0 || value === 0)).toBe(true);
    }
  });
});

describe('diagnosis', () => {
  /** Size of dLoss/dh at the first step of 80 relative to the last, with the loss on the last step alone. */
  async function reach(cell: NetworkSpec['cell']): Promise<number> {
    const spec: NetworkSpec = { ...BARE, cell, hidden: 16, head: DIRECT };
    const long = { steps: 80, originStride: 80, leads: 3, diagnose: true };
    const weights = livelyWeights(spec, 4);
    // gates that remember, as they are once trained; the vanilla network has none
    const bias = weights.get('layers.0.input.bias')!.data;
    if (cell === 'gru') bias.fill(4, 0, 16);
    if (cell === 'lstm') bias.fill(4, 32, 48);
    const session = await createSession(buildTrainingGraph(spec, long));
    const { state_gradient_norms } = await session.run(trainingFeeds(spec, weights, long, 4, 1));
    await session.release();
    expect(state_gradient_norms!.shape).toEqual([1, 80]);
    return state_gradient_norms!.data[0]! / state_gradient_norms!.data[79]!;
  }

  it('vanishes in the vanilla network and persists in GRU and LSTM', async () => {
    expect(await reach('rnn-tanh')).toBeLessThan(1e-3);
    expect(await reach('gru')).toBeGreaterThan(1e-2);
    expect(await reach('lstm')).toBeGreaterThan(1e-2);
  });

  it('has a row for each layer', async () => {
    const spec: NetworkSpec = { ...small, layers: 3 };
    const session = await createSession(buildTrainingGraph(spec, { ...options, diagnose: true }));
    const results = await session.run(trainingFeeds(spec, livelyWeights(spec, 1), options, 2, 1));
    await session.release();
    expect(results.state_gradient_norms!.shape).toEqual([3, 6]);
    expect(results.state_gradient_norms!.data.every((norm) => norm > 0)).toBe(true);
  });
});

describe('bad settings', () => {
  it.each([
    [{ ...options, originStride: 4 }, 'originStride must divide the 6 steps'],
    [{ ...options, steps: 0 }, 'steps must be a positive whole number'],
    [{ ...options, leads: 0 }, 'leads must be a positive whole number'],
  ])('%o', (wrong, message) => {
    expect(() => buildTrainingGraph(small, wrong)).toThrow(message);
  });
  it('a bare stack has nothing to train', () => {
    expect(() => buildTrainingGraph(BARE, options)).toThrow('head must forecast something');
  });
});
