import { describe, expect, it } from 'vitest';
import { fromPyTorch, toPyTorch } from '../../src/network/pytorch.ts';
import { CELLS, type NetworkSpec } from '../../src/network/spec.ts';
import type { Tensor } from '../../src/network/weights.ts';
import { BARE, livelyWeights } from './support.ts';

const spec: NetworkSpec = { ...BARE, layers: 3, hidden: 5 };
const gru = toPyTorch('gru', livelyWeights(spec, 1));
const renamed = (from: RegExp, to: string) =>
  new Map([...gru].map(([name, t]) => [name.replace(from, to), t]));
const without = (pattern: RegExp) => new Map([...gru].filter(([name]) => !pattern.test(name)));

describe('PyTorch weights', () => {
  it.each(CELLS)('%s: there and back', (cell) => {
    const weights = livelyWeights({ ...spec, cell }, 1);
    const back = fromPyTorch(cell, toPyTorch(cell, weights));
    expect(back.spec).toEqual({ ...spec, cell });
    expect(back.weights).toEqual(weights);
  });

  it('reorders gates: r z n becomes z r n', () => {
    const rows = (name: string) => gru.get(name)!.data;
    const ours = livelyWeights(spec, 1).get('layers.0.hidden.bias')!.data;
    expect([...rows('bias_hh_l0').slice(0, 5)]).toEqual([...ours.slice(5, 10)]);
    expect([...rows('bias_hh_l0').slice(5, 10)]).toEqual([...ours.slice(0, 5)]);
    expect([...rows('bias_hh_l0').slice(10)]).toEqual([...ours.slice(10)]);
  });

  it('accepts names with a prefix and layers without biases', () => {
    const prefixed = fromPyTorch('gru', renamed(/^/, 'model.rnn.'));
    expect(prefixed.weights).toEqual(livelyWeights(spec, 1));
    const unbiased = fromPyTorch('gru', without(/bias/));
    expect(unbiased.weights.get('layers.2.input.bias')!.data).toEqual(new Float32Array(15));
  });

  it.each<[string, Map<string, Tensor>, Parameters<typeof fromPyTorch>[0], string]>([
    [
      'another layer',
      new Map([...gru, ['fc.weight', gru.get('bias_ih_l0')!]]),
      'gru',
      'fc.weight is not a weight',
    ],
    [
      'two modules',
      new Map([...gru, ['b.bias_ih_l0', gru.get('bias_ih_l0')!]]),
      'gru',
      'belongs to another module',
    ],
    ['both directions', renamed(/^(weight_ih_l0)$/, '$1_reverse'), 'gru', 'runs backwards in time'],
    ['a projection', renamed(/^weight_ih_l2$/, 'weight_hr_l2'), 'gru', 'is a projection'],
    ['a missing layer', without(/_l1$/), 'gru', 'weight_ih_l1 is missing'],
    ['a missing matrix', without(/^weight_hh_l2$/), 'gru', 'weight_hh_l2 is missing'],
    ['nothing', new Map(), 'gru', 'weight_ih_l0 and weight_hh_l0 are needed'],
    ['the wrong cell', gru, 'lstm', 'has 3 gates; a lstm has 4'],
  ])('refuses %s', (_name, tensors, cell, message) => {
    expect(() => fromPyTorch(cell, tensors)).toThrow(expect.objectContaining({ code: 'WEIGHTS_INVALID' }));
    expect(() => fromPyTorch(cell, tensors)).toThrow(message);
  });
});
