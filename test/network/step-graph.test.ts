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
