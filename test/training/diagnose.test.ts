import { describe, expect, it } from 'vitest';
import { createRandom } from '../../src/network/random.ts';
import type { Cell, NetworkSpec } from '../../src/network/spec.ts';
import { initialWeights } from '../../src/network/weights.ts';
import { gradientByLag, lagSvg, reachOf } from '../../src/training/diagnose.ts';
import { Random } from '../../src/training/random.ts';
import { plainSeries } from './synthetic.ts';

const rng = new Random(1);
const noise = plainSeries(
  'a',
  Array.from({ length: 400 }, () => rng.normal()),
);
const series = [
  {
    ...noise,
    input(step: number, out: Float32Array, offset: number) {
      noise.input(step, out, offset);
      out[offset + 2] = 0;
    },
  },
];
const options = { steps: 48, stride: 4, leads: 2, batch: 8, batches: 2 };
const spec = (cell: Cell): NetworkSpec => ({
  cell,
  layers: 1,
  hidden: 16,
  inputs: 3,
  dropout: 0,
  convolution: null,
  attention: null,
  head: { kind: 'lead', experts: 1, features: 0, width: 8 },
});

/** Recurrent weights scaled: below 1 the plain RNN forgets, above 1 it explodes. */
async function curve(cell: Cell, scale = 1): Promise<number[]> {
  const weights = initialWeights(spec(cell), createRandom(3));
  const recurrent = weights.get('layers.0.hidden.weight')!.data;
  for (let i = 0; i < recurrent.length; i++) recurrent[i]! *= scale;
  return gradientByLag(spec(cell), weights, series, options, new Random(2));
}

describe('gradientByLag', () => {
  it('vanishes earlier in the plain RNN than in GRU and LSTM', async () => {
    const [rnn, gru, lstm] = [
      await curve('rnn-tanh', 0.6),
      await curve('gru', 0.6),
      await curve('lstm', 0.6),
    ];
    expect(rnn[0]).toBe(1);
    expect(rnn).toHaveLength(48);
    expect(rnn[20]!).toBeLessThan(1e-3);
    expect(gru[20]!).toBeGreaterThan(10 * rnn[20]!);
    expect(lstm[20]!).toBeGreaterThan(rnn[20]!);
    expect(reachOf(rnn)!).toBeLessThan(reachOf(gru) ?? 48);
  });

  it('explodes in a relu RNN', async () => {
    const norms = await curve('rnn-relu', 1.5);
    expect(norms[30]!).toBeGreaterThan(4);
    expect(norms[30]!).toBeGreaterThan(5 * norms[10]!);
  });
});

describe('reachOf', () => {
  it('is the lag after which the gradient stays small', () => {
    expect(reachOf([1, 0.1, 0.005, 0.5, 0.001, 0.001])).toBe(4);
    expect(reachOf([1, 0.9, 0.8])).toBeNull();
  });
});

describe('lagSvg', () => {
  it('draws one curve per network, also for zero or very large values', () => {
    const svg = lagSvg([
      { name: 'rnn', norms: [1, 0.01, 0] },
      { name: 'gru', norms: [1, 1e9, 0.9] },
    ]);
    expect(svg).toContain('rnn: 2 steps');
    expect(svg).toContain('gru: beyond 2 steps');
    expect(svg).not.toMatch(/NaN|Infinity/);
  });
});
