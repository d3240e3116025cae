import { describe, expect, it } from 'vitest';
import { createStepper } from '../../src/model/sessions.ts';
import { createRandom } from '../../src/network/random.ts';
import { type NetworkSpec, stateRows, stepInputs } from '../../src/network/spec.ts';
import { buildStepGraph } from '../../src/network/step-graph.ts';
import { BARE, DIRECT, LEAD, livelyWeights, uniform } from './support.ts';

const direct: NetworkSpec = { ...BARE, hidden: 32, inputs: 13, head: { ...DIRECT, leads: 24 } };
const lead: NetworkSpec = { ...BARE, hidden: 32, inputs: 13, head: { ...LEAD, experts: 7, width: 24 } };
const heads: [string, NetworkSpec][] = [
  ['direct', direct],
  ['lead', lead],
];

async function stepOnce(spec: NetworkSpec, quantized: boolean, n: number, x: Float32Array, h: Float32Array) {
  const stepper = await createStepper(buildStepGraph(spec, livelyWeights(spec, 3), { leads: 6, quantized }));
  const { quantiles, h: next } = await stepper.run(n, x, h);
  const result = { quantiles: quantiles.slice(), next: next.slice(), leads: stepper.leads };
  await stepper.release();
  return result;
}

function inputsFor(spec: NetworkSpec, leads: number, n: number) {
  const random = createRandom(5);
  const x = uniform(random, [n, stepInputs(spec, leads)], 3).data;
  const h = uniform(random, [stateRows(spec), n, spec.hidden]).data;
  return { x, h };
}

describe.each(heads)('step with a %s head', (_name, spec) => {
  const leads = spec.head.kind === 'direct' ? spec.head.leads : 6;
  const width = stepInputs(spec, leads);
  const H = spec.hidden;

  it('gives quantiles that never cross', async () => {
    const { x, h } = inputsFor(spec, leads, 50);
    const { quantiles } = await stepOnce(spec, true, 50, x, h);
    for (let i = 0; i < quantiles.length; i++) {
      if (i % 9 > 0) expect(quantiles[i]).toBeGreaterThanOrEqual(quantiles[i - 1]!);
    }
  });

  it('in int8 stays near float32', async () => {
    const { x, h } = inputsFor(spec, leads, 50);
    const float = await stepOnce(spec, false, 50, x, h);
    const int8 = await stepOnce(spec, true, 50, x, h);
    const rms = (a: Float32Array, b: Float32Array) =>
      Math.sqrt(a.reduce((total, value, i) => total + (value - b[i]!) ** 2, 0) / a.length);
    expect(rms(float.next, int8.next)).toBeLessThan(0.01);
    expect(rms(float.next, int8.next)).toBeGreaterThan(0);
    expect(rms(float.quantiles, int8.quantiles)).toBeLessThan(0.03);
  });

  it.each([true, false])('no row depends on the others, to the last bit (int8: %s)', async (quantized) => {
    const total = 256;
    const { x, h } = inputsFor(spec, leads, total);
    const stepper = await createStepper(
      buildStepGraph(spec, livelyWeights(spec, 3), { leads: 6, quantized }),
    );
    const all = await stepper.run(total, x, h);
    const quantiles = all.quantiles.slice();
    const next = all.h.slice();
    for (const n of [1, 2, 3, 17]) {
      for (let from = 0; from + n <= total; from += n) {
        const some = await stepper.run(
          n,
          x.slice(from * width, (from + n) * width),
          h.slice(from * H, (from + n) * H),
        );
        expect(some.h).toEqual(next.slice(from * H, (from + n) * H));
        expect(some.quantiles).toEqual(quantiles.slice(from * leads * 9, (from + n) * leads * 9));
      }
    }
    await stepper.release();
  });
});

describe('two networks in one graph', () => {
  const own: NetworkSpec = { ...lead, hidden: 16, head: { ...lead.head, width: 8 } as NetworkSpec['head'] };
  const deep: NetworkSpec = { ...lead, layers: 2 };
  const LEADS = 6;

  it.each([
    ['as wide', lead, true],
    ['with more rows of state', deep, false],
  ] as const)('forecast what each forecasts alone, to the last bit: %s', async (_, first, quantized) => {
    const [a, b] = [livelyWeights(first, 3), livelyWeights(own, 4)];
    const graphs = [
      buildStepGraph(first, a, { leads: LEADS, quantized }),
      buildStepGraph(own, b, { leads: LEADS, quantized }),
      buildStepGraph(first, a, { leads: LEADS, quantized, own: { spec: own, weights: b } }),
    ];
    const [alone, second, pair] = await Promise.all(graphs.map(createStepper));
    expect(pair).toMatchObject({ layers: first.layers, hidden: 48, hasOwn: true });
    expect(alone!.hasOwn).toBe(false);
    const n = 5;
    const { x } = inputsFor(first, LEADS, n);
    let [h1, h2, h] = [alone!, second!, pair!].map((one) => new Float32Array(one.layers * n * one.hidden));
    for (let step = 0; step < 4; step++) {
      const one = await alone!.run(n, x, h1!);
      const two = await second!.run(n, x, h2!);
      const both = await pair!.run(n, x, h!);
      expect(both.quantiles).toEqual(one.quantiles);
      expect(both.own).toEqual(two.quantiles);
      expect(one.own).toBeUndefined();
      [h1, h2, h] = [one.h.slice(), two.h.slice(), both.h.slice()];
    }
    for (const one of [alone!, second!, pair!]) await one.release();
  });

  it('must read the same inputs and leads', () => {
    const other: NetworkSpec = { ...own, inputs: 12 };
    const pair = (first: NetworkSpec, two: NetworkSpec) => () =>
      buildStepGraph(first, livelyWeights(first, 3), {
        leads: LEADS,
        quantized: true,
        own: { spec: two, weights: livelyWeights(two, 4) },
      });
    const wrong = expect.objectContaining({ code: 'NETWORK_INVALID' });
    expect(pair(lead, other)).toThrow(wrong);
    expect(pair(direct, own)).toThrow(wrong);
    expect(pair(lead, own)).not.toThrow();
  });
});
