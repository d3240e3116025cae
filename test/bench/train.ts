/**
 * Training: windows a second of whole optimiser steps (forward, backward, clipping, AdamW) on one thread, beside PyTorch
 * doing the same where it is installed. GATECAST_BENCH_PYTHON names the python that has it.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { createRandom } from '../../src/network/random.ts';
import { type NetworkSpec, stateRows } from '../../src/network/spec.ts';
import { initialWeights } from '../../src/network/weights.ts';
import { createGradientSource, parametersOf } from '../../src/training/gradient-source.ts';
import { AdamW, clipFactor, globalNorm } from '../../src/training/optimiser.ts';
import { Random } from '../../src/training/random.ts';
import { type Bench, type Figure, median } from './report.ts';

const T = 96;
const INPUTS = 12;
const LEADS = 24;
const SECONDS = 3;

type Cell = NetworkSpec['cell'];

/** Cell, H, batch. */
const CASES: readonly (readonly [Cell, number, number])[] = [
  ...(['rnn-tanh', 'rnn-relu', 'lstm', 'gru'] as const).flatMap((cell) =>
    [32, 64, 128].map((hidden) => [cell, hidden, 32] as const),
  ),
  ['gru', 64, 128],
];
/** Windows a second, of the GRU that ships. */
const PROMISED = 1500;

/** How many times as fast as PyTorch a step must be. */
const againstPeer = (cell: Cell, hidden: number): number => (cell === 'gru' && hidden <= 64 ? 1.5 : 1);

async function windowsPerSecond(cell: Cell, hidden: number, batch: number): Promise<number> {
  const random = createRandom(1);
  const spec: NetworkSpec = {
    cell,
    layers: 1,
    hidden,
    inputs: INPUTS,
    dropout: 0,
    convolution: null,
    attention: null,
    head: { kind: 'direct', leads: LEADS, shortcut: false },
  };
  const weights = initialWeights(spec, random);
  const parameters = parametersOf(weights);
  const shape = { steps: T, stride: T, leads: LEADS, batch };
  const source = await createGradientSource(spec, weights, parameters, shape, new Random(1));
  const optimiser = new AdamW(parameters);
  const normal = (size: number) => Float32Array.from({ length: size }, () => random.normal());
  const data = {
    x: normal(T * batch * INPUTS),
    h0: new Float32Array(stateRows(spec) * batch * hidden),
    z: new Float32Array(0),
    target: normal(batch * LEADS),
    weight: new Float32Array(batch * LEADS).fill(1),
  };
  const step = async () => {
    const { gradients } = await source.run(data, true);
    const norm = globalNorm(gradients);
    if (!Number.isFinite(norm)) throw new Error('the training step gave no finite gradient');
    optimiser.step(gradients, 1e-3, { scale: clipFactor(norm, 1), value: Number.POSITIVE_INFINITY });
  };
  for (let i = 0; i < 3; i++) await step();
  const rates: number[] = [];
  const deadline = performance.now() + SECONDS * 1000;
  while (performance.now() < deadline) {
    const started = performance.now();
    for (let i = 0; i < 10; i++) await step();
    rates.push((10 * batch * 1000) / (performance.now() - started));
  }
  await source.release();
  return median(rates);
}

/** Windows a second of the same step in PyTorch, one thread; null where it is not installed. */
function pytorch(cell: string, hidden: number, batch: number): { name: string; value: number } | null {
  const python = process.env.GATECAST_BENCH_PYTHON ?? 'python3';
  const script = join(import.meta.dirname, 'train_peer.py');
  const { status, stdout } = spawnSync(python, [script, cell, `${hidden}`, `${batch}`, `${SECONDS}`], {
    encoding: 'utf8',
  });
  if (status !== 0) return null;
  const [version, rate] = stdout.trim().split(' ');
  return { name: `PyTorch ${version}`, value: Number(rate) };
}

export const train: Bench = {
  name: 'train',
  async run() {
    const figures: Figure[] = [];
    for (const [cell, hidden, batch] of CASES) {
      const value = await windowsPerSecond(cell, hidden, batch);
      const peer = pytorch(cell, hidden, batch);
      const promised = cell === 'gru' && hidden === 64 && batch === 32;
      figures.push({
        what: `training step, ${cell}, H = ${hidden}, T = ${T}, batch ${batch}`,
        value,
        unit: 'windows/s',
        limit: promised ? { side: 'least', value: PROMISED } : null,
        ...(peer && { peer: { ...peer, ...(batch === 32 && { least: againstPeer(cell, hidden) }) } }),
      });
    }
    return figures;
  },
};
