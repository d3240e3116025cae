import { describe, expect, it } from 'vitest';
import { createSession, createStepper, type NamedArray } from '../../src/model/sessions.ts';
import { CELL_OPS } from '../../src/network/cells/cells.ts';
import { Graph } from '../../src/network/graph/graph.ts';
import { quantizeColumns, STATE_ZERO, WEIGHT_LIMIT } from '../../src/network/quantize.ts';
import { createRandom } from '../../src/network/random.ts';
import { CELLS, type NetworkSpec, stateRows, stepInputs } from '../../src/network/spec.ts';
import { buildStepGraph } from '../../src/network/step-graph.ts';
import { createStepMaps } from '../../src/network/step-maps.ts';
import { BARE, DIRECT, LEAD, livelyWeights, uniform } from './support.ts';

const OUT = 40;

/** One int8 product of states [N, 64] with a matrix [64, 40], without bias. */
async function product(matrix: NamedArray, states: NamedArray, bounded: boolean): Promise<Float32Array> {
  const g = new Graph();
  const spec: NetworkSpec = { ...BARE, hidden: 64 };
  const maps = createStepMaps(g, spec, new Map([['matrix', matrix]]), true, bounded);
  g.output('y', maps.state(g.input('h', ['N', 64]), 'matrix', null));
  const session = await createSession(g.toModel('product', ''));
  const { y } = await session.run({ h: states });
  await session.release();
  return y!.data;
}

/** The same in whole numbers. */
function expectExact(
  y: Float32Array,
  matrix: NamedArray,
  states: NamedArray,
  rowScale: (row: number) => number,
) {
  const { values, scales } = quantizeColumns(matrix.data, 64, OUT);
  for (let row = 0; row < states.shape[0]!; row++) {
    for (let column = 0; column < OUT; column++) {
      let sum = 0;
      for (let i = 0; i < 64; i++) {
        const code = Math.round((states.data[row * 64 + i]! / rowScale(row)) * 127) + STATE_ZERO;
        sum += (code - STATE_ZERO) * values[i * OUT + column]!;
      }
      const unit = (scales[column]! * rowScale(row)) / 127;
      // one float32 rounding or two apart, and never a whole unit
      expect(Math.abs(y[row * OUT + column]! / unit - sum)).toBeLessThan(0.1);
    }
  }
}

describe('int8 product', () => {
  const random = createRandom(1);
  it('is exact where u8 x s8 would saturate first', async () => {
    const matrix = {
      shape: [64, OUT],
      data: new Float32Array(64 * OUT).map((_, i) => ((i % OUT) % 2 ? 1 : -1)),
    };
    const states = { shape: [3, 64], data: new Float32Array(3 * 64).map((_, i) => (i < 128 ? 1 : -1)) };
    expectExact(await product(matrix, states, true), matrix, states, () => 1);
  });

  it('is exact on random numbers', async () => {
    const matrix = uniform(random, [64, OUT]);
    // states that are codes, so that rounding to them is not in question
    const states = uniform(random, [19, 64]);
    states.data.forEach((value, i) => {
      states.data[i] = Math.round(value * 127) / 127;
    });
    expectExact(await product(matrix, states, true), matrix, states, () => 1);
  });

  it('gives each row its own scale if states are not bounded', async () => {
    const matrix = uniform(random, [64, OUT]);
    const scales = [1000, 1, 0.001];
    const states = { shape: [3, 64], data: new Float32Array(3 * 64) };
    for (let i = 0; i < states.data.length; i++) {
      const code = i % 64 === 0 ? 127 : Math.round((2 * random.next() - 1) * 127);
      states.data[i] = (code / 127) * scales[Math.floor(i / 64)]!;
    }
    expectExact(await product(matrix, states, false), matrix, states, (row) => scales[row]!);
  });

  it('of zeros is zero', async () => {
    const zeros = { shape: [2, 64], data: new Float32Array(128) };
    for (const bounded of [true, false]) {
      expect((await product(uniform(random, [64, OUT]), zeros, bounded)).every((value) => value === 0)).toBe(
        true,
      );
    }
  });
});

describe('quantised columns', () => {
  it('stay within the range in which sums of pairs cannot saturate, at the smallest error', () => {
    const matrix = uniform(createRandom(2), [30, 7], 3).data;
    const { values, scales } = quantizeColumns(matrix, 30, 7);
    for (const [i, value] of values.entries()) {
      expect(Math.abs(value)).toBeLessThanOrEqual(WEIGHT_LIMIT);
      expect(Math.abs(value * scales[i % 7]! - matrix[i]!)).toBeLessThanOrEqual(scales[i % 7]! * 0.501);
    }
    for (let column = 0; column < 7; column++) {
      expect(Math.max(...values.filter((_, i) => i % 7 === column).map(Math.abs))).toBe(WEIGHT_LIMIT);
    }
  });
  it('of zeros are zeros', () => {
    expect(quantizeColumns(new Float32Array(6), 3, 2)).toEqual({
      values: new Int8Array(6),
      scales: new Float32Array(2),
    });
  });
});

const extras = { attention: { memory: 4 }, convolution: { kernel: 3, channels: 8 } };
const networks: [string, NetworkSpec][] = CELLS.flatMap((cell): [string, NetworkSpec][] => [
  [cell, { ...BARE, cell, layers: 2, head: DIRECT }],
  [`${cell} with everything`, { ...BARE, cell, layers: 2, ...extras, head: LEAD }],
]);

describe.each(networks)('int8 step of %s', (_name, spec) => {
  const leads = 3;
  const weights = livelyWeights(spec, 5);
  const width = stepInputs(spec, leads);
  const S = stateRows(spec);
  const H = spec.hidden;

  it('keeps rows independent to the last bit, at any position in a batch', async () => {
    const n = 64;
    const random = createRandom(6);
    const x = uniform(random, [n, width], 2).data;
    const h = uniform(random, [S, n, H]).data;
    const pick = (source: Float32Array, layers: number, rows: number, size: number, chosen: number[]) =>
      Float32Array.from({ length: layers * chosen.length * size }, (_, i) => {
        const layer = Math.floor(i / (chosen.length * size));
        const row = chosen[Math.floor(i / size) % chosen.length]!;
        return source[(layer * rows + row) * size + (i % size)]!;
      });
    const stepper = await createStepper(buildStepGraph(spec, weights, { leads, quantized: true }));
    const all = await stepper.run(n, x, h);
    const quantiles = all.quantiles.slice();
    const next = all.h.slice();
    for (const chosen of [[0], [41], [63, 2], [9, 8, 7], Array.from({ length: 17 }, (_, i) => 62 - 3 * i)]) {
      const some = await stepper.run(chosen.length, pick(x, 1, n, width, chosen), pick(h, S, n, H, chosen));
      expect(some.quantiles).toEqual(pick(quantiles, 1, n, leads * 9, chosen));
      expect(some.h).toEqual(pick(next, S, n, H, chosen));
    }
    await stepper.release();
  });
});

describe('int8 state', () => {
  it('does not drift from float32 over 10,000 steps', async () => {
    const spec: NetworkSpec = { ...BARE, head: DIRECT };
    const weights = livelyWeights(spec, 8);
    const random = createRandom(9);
    const build = (quantized: boolean) =>
      createStepper(buildStepGraph(spec, weights, { leads: 3, quantized }));
    const [float, int8] = [await build(false), await build(true)];
    let [a, b] = [new Float32Array(16), new Float32Array(16)];
    let early = 0;
    let late = 0;
    for (let t = 0; t < 10_000; t++) {
      const x = uniform(random, [1, 3], 1.5).data;
      a = (await float.run(1, x, a)).h.slice();
      b = (await int8.run(1, x, b)).h.slice();
      const error = Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
      if (t < 5_000) early = Math.max(early, error);
      else late = Math.max(late, error);
    }
    await float.release();
    await int8.release();
    expect(early).toBeGreaterThan(0);
    expect(late).toBeLessThan(0.06);
    expect(late).toBeLessThan(1.5 * early);
  });
});

describe('bounds', () => {
  it('only the relu cell leaves [-1, 1]', () => {
    expect(CELLS.filter((cell) => !CELL_OPS[cell].bounded)).toEqual(['rnn-relu']);
  });
});
