/** The int8 step: microseconds a stream when 256 streams are due at once, beside the same network in 32-bit floats, and one alone. */
import { createStepper } from '../../src/model/sessions.ts';
import { createRandom } from '../../src/network/random.ts';
import { type NetworkSpec, stateRows, stepInputs } from '../../src/network/spec.ts';
import { buildStepGraph } from '../../src/network/step-graph.ts';
import { initialWeights } from '../../src/network/weights.ts';
import type { Bench, Figure } from './report.ts';
import { shippedSpec } from './shipped.ts';

const LEADS = 24;
const ROUNDS = 15;

/** The least over rounds of the mean time of a run, microseconds a stream: other work on the machine only adds. */
async function timeStep(spec: NetworkSpec, streams: number, quantized = true): Promise<number> {
  const random = createRandom(1);
  const model = buildStepGraph(spec, initialWeights(spec, random), { leads: LEADS, quantized });
  const stepper = await createStepper(model);
  const leads = spec.head.kind === 'direct' ? spec.head.leads : LEADS;
  const x = Float32Array.from({ length: streams * stepInputs(spec, leads) }, () => random.normal());
  let h: Float32Array = new Float32Array(streams * stateRows(spec) * spec.hidden);
  const runs = Math.max(20, Math.round(20_000 / (streams + 50)));
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const started = performance.now();
    for (let i = 0; i < runs; i++) h = (await stepper.run(streams, x, h)).h.slice();
    if (round > 0) times.push(((performance.now() - started) * 1000) / runs / streams);
  }
  await stepper.release();
  return Math.min(...times);
}

export const step: Bench = {
  name: 'step',
  async run() {
    const figures: Figure[] = [];
    const classic: NetworkSpec = {
      cell: 'gru',
      layers: 1,
      hidden: 64,
      inputs: 12,
      dropout: 0,
      convolution: null,
      attention: null,
      head: { kind: 'direct', leads: LEADS, shortcut: true },
    };
    const shipped = shippedSpec();
    const specs: [string, NetworkSpec][] = [['GRU, H = 64, 24 leads', classic]];
    if (shipped) specs.push([`shipped model, H = ${shipped.hidden}, 24 leads`, shipped]);
    for (const [name, spec] of specs) {
      figures.push({
        what: `int8 step, ${name}, 256 streams a run`,
        value: await timeStep(spec, 256),
        unit: 'us a stream',
        limit: null,
        lowerIsBetter: true,
        peer: { name: '32-bit floats', value: await timeStep(spec, 256, false), least: 0.9 },
      });
      figures.push({
        what: `int8 step, ${name}, one stream a run`,
        value: await timeStep(spec, 1),
        unit: 'us',
        limit: null,
      });
    }
    return figures;
  },
};
