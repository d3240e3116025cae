import { describe, expect, it } from 'vitest';
import { createSession } from '../../src/model/sessions.ts';
import { gradients } from '../../src/network/graph/autodiff.ts';
import { broadcast, multiply } from '../../src/network/graph/dims.ts';
import { Graph, type Value } from '../../src/network/graph/graph.ts';
import * as ops from '../../src/network/graph/ops.ts';
import { createRandom } from '../../src/network/random.ts';
import { uniform } from './support.ts';

describe('sizes', () => {
  it('multiply to one canonical form', () => {
    expect(multiply('B', 4, 'T', 3)).toBe('12*B*T');
    expect(multiply('12*B', 'T')).toBe('12*B*T');
    expect(multiply(2, 3)).toBe(6);
  });
  it('broadcast as in numpy', () => {
    expect(broadcast(['B', 1, 3], [5, 1])).toEqual(['B', 5, 3]);
    expect(() => broadcast([2, 3], [2])).toThrow('do not fit');
  });
});

describe('operations refuse shapes that do not fit', () => {
  const g = new Graph();
  const x = g.input('x', ['B', 3]);
  it.each<[string, () => unknown]>([
    ['matmul', () => ops.matmul(g, x, g.input('w', [4, 2]))],
    ['gemm', () => ops.gemm(g, x, x, null)],
    ['reshape', () => ops.reshape(g, x, ['B', 4])],
    ['split', () => ops.split(g, x, 2)],
    ['slice of an open axis', () => ops.slice(g, x, 0, 0, 1)],
    ['constant', () => g.constant(new Float32Array(3), [2, 2])],
  ])('%s', (_name, build) => expect(build).toThrow());
});

describe('nodes no output needs', () => {
  it('are left out, with their constants', () => {
    const build = (waste: boolean) => {
      const g = new Graph();
      const x = g.input('x', [2]);
      if (waste) ops.matmul(g, ops.reshape(g, x, [1, 2]), g.constant(new Float32Array(1000), [2, 500]));
      g.output('y', ops.negate(g, x));
      return g.toModel('m', '').length;
    };
    // node names carry a running number
    expect(Math.abs(build(true) - build(false))).toBeLessThan(10);
  });
});

/** Each maps a [3, 4] (and b [4] or [3, 4]) to something of any shape; all smooth where the inputs lie. */
const functions: Record<string, (g: Graph, a: Value, b: Value) => Value> = {
  add: (g, a, b) => ops.add(g, a, b),
  sub: (g, a, b) => ops.sub(g, b, a),
  mul: (g, a, b) => ops.mul(g, a, b),
  div: (g, a, b) => ops.div(g, a, ops.add(g, b, g.scalar(3))),
  'a value used twice': (g, a, b) => ops.mul(g, ops.add(g, a, b), ops.sub(g, a, b)),
  sigmoid: (g, a, b) => ops.sigmoid(g, ops.mul(g, a, b)),
  tanh: (g, a, b) => ops.tanh(g, ops.mul(g, a, b)),
  relu: (g, a, b) =>
    ops.add(g, ops.relu(g, ops.add(g, a, g.scalar(2))), ops.relu(g, ops.sub(g, b, g.scalar(2)))),
  positive: (g, a, b) => ops.positive(g, ops.add(g, a, b)),
  softmax: (g, a, b) => ops.softmax(g, ops.add(g, a, b)),
  matmul: (g, a, b) => ops.matmul(g, a, ops.reshape(g, b, [4, 1])),
  affine: (g, a, b) =>
    ops.affine(g, a, ops.transpose(g, a), ops.reshape(g, ops.slice(g, b, 0, 0, 3), [3, 1])),
  transpose: (g, a, b) => ops.mul(g, ops.transpose(g, a), ops.reshape(g, b, [4, 1])),
  'slice and pad': (g, a, b) => ops.pad(g, ops.slice(g, ops.mul(g, a, b), 1, 1, 3), 0, 1, 2),
  concat: (g, a, b) => ops.concat(g, [ops.tanh(g, a), ops.mul(g, a, b)], 1),
  'sum of an axis': (g, a, b) => ops.mul(g, ops.sum(g, a, [0]), b),
};

describe('gradient of', () => {
  it.each(Object.entries(functions))('%s', async (_name, build) => {
    const g = new Graph();
    const a = g.input('a', [3, 4]);
    const b = g.input('b', [4]);
    const y = build(g, a, b);
    // a weighted sum of squares, so that every element of y has a slope of its own
    const size = y.shape.reduce<number>((n, dim) => n * (dim as number), 1);
    const weights = uniform(createRandom(2), [size]).data.map((value) => value + 1.5);
    const flat = ops.reshape(g, y, [size]);
    const loss = ops.sum(g, ops.mul(g, ops.mul(g, flat, flat), g.constant(weights, [size])));
    const [da, db] = gradients(g, loss, [a, b]);
    g.output('loss', loss);
    g.output('da', da!);
    g.output('db', db!);
    const session = await createSession(g.toModel('gradient', ''));
    const random = createRandom(1);
    const feeds = { a: uniform(random, [3, 4], 0.9), b: uniform(random, [4], 0.9) };
    const analytic = await session.run(feeds);
    for (const name of ['a', 'b'] as const) {
      const { data } = feeds[name];
      for (let i = 0; i < data.length; i++) {
        const value = data[i]!;
        const at = async (shift: number) => {
          data[i] = value + shift;
          return (await session.run(feeds, ['loss'])).loss!.data[0]!;
        };
        const slope =
          (8 * ((await at(0.01)) - (await at(-0.01))) - ((await at(0.02)) - (await at(-0.02)))) / 0.12;
        data[i] = value;
        expect(Math.abs(analytic[`d${name}`]!.data[i]! - slope), `${name}[${i}]`).toBeLessThan(4e-3);
      }
    }
    await session.release();
  });
});
