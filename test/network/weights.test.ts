import { describe, expect, it } from 'vitest';
import { createRandom } from '../../src/network/random.ts';
import { CELLS, type NetworkSpec } from '../../src/network/spec.ts';
import {
  checkWeights,
  countWeights,
  initialWeights,
  type Tensor,
  weightShapes,
} from '../../src/network/weights.ts';
import { BARE, DIRECT, LEAD } from './support.ts';

const spec: NetworkSpec = { ...BARE, layers: 2, hidden: 8, head: LEAD };

describe('first weights', () => {
  it('are the same for the same seed and others for another', () => {
    expect(initialWeights(spec, createRandom(1))).toEqual(initialWeights(spec, createRandom(1)));
    expect(initialWeights(spec, createRandom(1))).not.toEqual(initialWeights(spec, createRandom(2)));
  });

  it.each(CELLS)('%s: recurrent matrices are orthogonal gate by gate', (cell) => {
    const { data } = initialWeights({ ...spec, cell }, createRandom(3)).get('layers.1.hidden.weight')!;
    for (let block = 0; block < data.length; block += 64) {
      for (let a = 0; a < 8; a++) {
        for (let b = 0; b < 8; b++) {
          let product = 0;
          for (let i = 0; i < 8; i++) product += data[block + a * 8 + i]! * data[block + b * 8 + i]!;
          expect(product).toBeCloseTo(a === b ? 1 : 0, 5);
        }
      }
    }
  });

  it('bias gates towards remembering', () => {
    const bias = (cell: NetworkSpec['cell']) => [
      ...initialWeights({ ...spec, cell, hidden: 2 }, createRandom(1)).get('layers.0.input.bias')!.data,
    ];
    expect(bias('gru')).toEqual([1, 1, 0, 0, 0, 0]);
    expect(bias('lstm')).toEqual([0, 0, 0, 0, 1, 1, 0, 0]);
    expect(bias('rnn-tanh')).toEqual([0, 0]);
  });

  it('fill every shape of the network and pass its own check', () => {
    for (const head of [DIRECT, LEAD, BARE.head]) {
      const full = { ...spec, head, attention: { memory: 3 }, convolution: { kernel: 2, channels: 4 } };
      const weights = initialWeights(full, createRandom(1));
      checkWeights(full, weights);
      expect([...weights.keys()]).toEqual([...weightShapes(full).keys()]);
      expect(countWeights(full)).toBe([...weights.values()].reduce((n, { data }) => n + data.length, 0));
    }
  });
});

describe('check', () => {
  const altered = (change: (weights: Map<string, Tensor>) => void) => {
    const weights = initialWeights(spec, createRandom(1));
    change(weights);
    return () => checkWeights(spec, weights);
  };
  const one = { shape: [1], data: new Float32Array(1) };
  it.each<[string, (weights: Map<string, Tensor>) => void, string]>([
    ['missing', (w) => w.delete('head.bias'), 'head.bias is missing; expected shape [4]'],
    ['unknown', (w) => w.set('fc.weight', one), 'fc.weight is not part of this network'],
    ['misshapen', (w) => w.set('head.bias', one), 'head.bias has shape [1]; expected [4]'],
    ['NaN', (w) => w.get('head.bias')!.data.set([Number.NaN]), 'head.bias contains NaN or infinite values'],
  ])('refuses a tensor that is %s', (_name, change, message) => {
    expect(altered(change)).toThrow(expect.objectContaining({ code: 'WEIGHTS_INVALID' }));
    expect(altered(change)).toThrow(message);
  });
  it('reports all of them', () => {
    const check = altered((w) => {
      w.delete('head.bias');
      w.set('fc.weight', one);
    });
    expect(check).toThrow(expect.objectContaining({ issues: [expect.anything(), expect.anything()] }));
  });
});
