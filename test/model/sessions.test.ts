import { afterEach, describe, expect, it } from 'vitest';
import { createSession, createStepper } from '../../src/model/sessions.ts';
import type { Stepper } from '../../src/model/stepper.ts';
import { Graph, type Value } from '../../src/network/graph/graph.ts';
import { matmul, reshape, slice } from '../../src/network/graph/ops.ts';
import { createRandom } from '../../src/network/random.ts';
import { type NetworkSpec, stateRows, stepInputs } from '../../src/network/spec.ts';
import { buildStepGraph } from '../../src/network/step-graph.ts';
import { BARE, LEAD, livelyWeights, uniform } from '../network/support.ts';

const spec: NetworkSpec = { ...BARE, cell: 'lstm', layers: 2, attention: { memory: 3 }, head: LEAD };
const leads = 4;
const model = buildStepGraph(spec, livelyWeights(spec, 1), { leads, quantized: true });
const width = stepInputs(spec, leads);
const S = stateRows(spec);
const H = spec.hidden;

const opened: Stepper[] = [];
async function open(bytes = model): Promise<Stepper> {
  const stepper = await createStepper(bytes);
  opened.push(stepper);
  return stepper;
}
afterEach(async () => {
  for (const stepper of opened.splice(0)) await stepper.release();
});

describe('stepper', () => {
  it('reads its sizes off the model', async () => {
    const { inputs, layers, hidden, leads: K } = await open();
    expect({ inputs, layers, hidden, K }).toEqual({ inputs: width, layers: S, hidden: H, K: leads });
  });

  it('a batch larger than one run equals its rows', async () => {
    const n = 600;
    const random = createRandom(2);
    const x = uniform(random, [n, width]).data;
    const h = uniform(random, [S, n, H]).data;
    const stepper = await open();
    const all = await stepper.run(n, x, h);
    const quantiles = all.quantiles.slice();
    const next = all.h.slice();
    expect(quantiles.length).toBe(n * leads * 9);
    for (const row of [0, 255, 256, 511, 512, 599]) {
      const rowOf = (state: Float32Array) =>
        Float32Array.from({ length: S * H }, (_, i) => state[(Math.floor(i / H) * n + row) * H + (i % H)]!);
      const one = await stepper.run(1, x.slice(row * width, (row + 1) * width), rowOf(h));
      expect(one.quantiles).toEqual(quantiles.slice(row * leads * 9, (row + 1) * leads * 9));
      expect(one.h).toEqual(rowOf(next));
    }
  });

  it('may be fed the very state it returned', async () => {
    const n = 3;
    const random = createRandom(2);
    const xs = Array.from({ length: 5 }, () => uniform(random, [n, width]).data);
    const stepper = await open();
    let copied = new Float32Array(S * n * H);
    for (const x of xs) copied = (await stepper.run(n, x, copied)).h.slice();
    let returned = new Float32Array(S * n * H);
    for (const x of xs) returned = (await stepper.run(n, x, returned)).h as Float32Array<ArrayBuffer>;
    expect(returned).toEqual(copied);
  });

  it("does not change the caller's inputs", async () => {
    const x = uniform(createRandom(1), [2, width]).data;
    const h = uniform(createRandom(2), [S, 2, H]).data;
    const [xBefore, hBefore] = [x.slice(), h.slice()];
    await (await open()).run(2, x, h);
    expect(x).toEqual(xBefore);
    expect(h).toEqual(hBefore);
  });
});

/** A model nobody trained: quantiles are x repeated, h passes through. */
function foreign(
  change: (g: Graph, x: Value, h: Value, quantiles: Value) => void,
  rows: string | number = 'N',
) {
  const g = new Graph();
  const x = g.input('x', [rows, 2]);
  const h = g.input('h', [1, rows, 4]);
  const spread = g.constant(new Float32Array(36).fill(0.5), [2, 18]);
  change(g, x, h, reshape(g, matmul(g, x, spread), [rows, 2, 9]));
  return g.toModel('foreign', '');
}
const keep = (g: Graph, _x: Value, h: Value, quantiles: Value) => {
  g.output('quantiles', quantiles);
  g.output('h_next', h);
};

describe('models of others', () => {
  it('are taken when they keep the contract', async () => {
    const stepper = await open(foreign(keep));
    expect(stepper.leads).toBe(2);
    const { quantiles } = await stepper.run(1, Float32Array.of(2, 4), new Float32Array(4));
    expect([...quantiles]).toEqual(Array(18).fill(3));
  });

  it.each<[string, Uint8Array, string]>([
    ['not ONNX at all', Uint8Array.of(1, 2, 3), 'cannot load the model'],
    ['empty', new Uint8Array(0), 'cannot load the model'],
    [
      'a bare stack',
      buildStepGraph(BARE, livelyWeights(BARE, 1), { leads: 1, quantized: true }),
      'quantiles [N,K,9] is missing',
    ],
    ['a fixed batch', foreign(keep, 5), 'x must be [N,I] with N open'],
    [
      'without a next state',
      foreign((g, _x, _h, quantiles) => g.output('quantiles', quantiles)),
      'h_next [L,N,H] is missing',
    ],
    [
      'another number of quantiles',
      foreign((g, _x, h, quantiles) => {
        g.output('quantiles', slice(g, quantiles, 2, 0, 5));
        g.output('h_next', h);
      }),
      'quantiles must be [N,K,9]',
    ],
    [
      'a state that shrinks',
      foreign((g, _x, h, quantiles) => {
        g.output('quantiles', quantiles);
        g.output('h_next', slice(g, h, 2, 0, 3));
      }),
      'h and h_next must have the same shape',
    ],
    [
      'a further input',
      foreign((g, x, h, quantiles) => {
        keep(g, x, h, quantiles);
        g.output('echo', g.input('temperature', [1]));
      }),
      'input temperature is not part of the contract',
    ],
    [
      'not finite',
      foreign((g, x, h, quantiles) => {
        keep(g, x, h, g.emit('Div', [quantiles, quantiles], quantiles.shape));
      }),
      'not finite',
    ],
  ])('are refused when they are %s', async (_name, bytes, message) => {
    await expect(createStepper(bytes)).rejects.toMatchObject({ code: 'MODEL_INVALID' });
    await expect(createStepper(bytes)).rejects.toThrow(message);
  });
});

describe('session', () => {
  it('names inputs and outputs, and runs only the requested outputs', async () => {
    const session = await createSession(foreign(keep));
    expect(session.inputs).toEqual(['x', 'h']);
    expect(session.outputs).toEqual(['quantiles', 'h_next']);
    const h = uniform(createRandom(1), [1, 1, 4]);
    const result = await session.run({ x: { data: Float32Array.of(1, 1), shape: [1, 2] }, h }, ['h_next']);
    await session.release();
    expect(Object.keys(result)).toEqual(['h_next']);
    expect(result.h_next).toEqual(h);
  });
});
