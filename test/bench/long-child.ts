/**
 * One pass of training over a sequence of so many steps (first argument), in chunks with carried state, in a process of its
 * own, so that its peak in memory is the pass's. Inputs are made chunk by chunk: what is measured is the training, not its data.
 */
import { readFileSync } from 'node:fs';
import { createRandom } from '../../src/network/random.ts';
import type { NetworkSpec } from '../../src/network/spec.ts';
import { initialWeights } from '../../src/network/weights.ts';
import { createGradientSource, parametersOf } from '../../src/training/gradient-source.ts';
import { AdamW, clipFactor, globalNorm } from '../../src/training/optimiser.ts';
import { Random } from '../../src/training/random.ts';

const CHUNK = 100;
const BATCH = 32;
/** Chunks before the clock starts, alike for all lengths: compilation and the heap's first growth are not the sequence's. */
const WARM_UP = 200;

const spec: NetworkSpec = {
  cell: 'gru',
  layers: 1,
  hidden: 64,
  inputs: 12,
  dropout: 0,
  convolution: null,
  attention: null,
  head: { kind: 'direct', leads: 24, shortcut: false },
};
const leads = 24;
const chunks = Math.ceil(Number(process.argv[2]) / CHUNK);
const random = createRandom(1);
const weights = initialWeights(spec, random);
const parameters = parametersOf(weights);
const shape = { steps: CHUNK, stride: CHUNK, leads, batch: BATCH };
const source = await createGradientSource(spec, weights, parameters, shape, new Random(1));
const optimiser = new AdamW(parameters);
const batch = {
  x: new Float32Array(CHUNK * BATCH * spec.inputs),
  h0: new Float32Array(BATCH * spec.hidden),
  z: new Float32Array(0),
  target: new Float32Array(BATCH * leads),
  weight: new Float32Array(BATCH * leads).fill(1),
};

async function chunk(): Promise<void> {
  for (let i = 0; i < batch.x.length; i++) batch.x[i] = random.next() - 0.5;
  for (let i = 0; i < batch.target.length; i++) batch.target[i] = random.next() - 0.5;
  const { gradients, hT } = await source.run(batch, true);
  optimiser.step(gradients, 1e-3, {
    scale: clipFactor(globalNorm(gradients), 1),
    value: Number.POSITIVE_INFINITY,
  });
  batch.h0.set(hT);
}

for (let i = 0; i < WARM_UP; i++) await chunk();
batch.h0.fill(0);
const started = performance.now();
for (let i = 0; i < chunks; i++) await chunk();
const seconds = (performance.now() - started) / 1000;
const peak = Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]) / 1024;
console.log(JSON.stringify({ seconds, peak }));
await source.release();
