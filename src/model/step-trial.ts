/**
 * Checks the behaviour of a user's step model: it must return finite numbers for varied inputs
 * over many steps, and the forecast of a stream does not depend on the other streams of the same run.
 */
import { createRandom } from '../network/random.ts';
import { goldenOutput } from './golden.ts';
import { createStepper } from './sessions.ts';
import type { Stepper } from './stepper.ts';
import type { TrialShape } from './trial.ts';

const ROWS = 3;
const STEPS = 64;
/** Relative tolerance: results may depend on the batch in their last bits, but not by this much. */
const TOLERANCE = 0.05;

/** @throws GatecastError as `createStepper` */
export async function tryStepModel(model: Uint8Array): Promise<TrialShape> {
  const stepper = await createStepper(model);
  const { inputs, layers, hidden, leads } = stepper;
  const wrong = await problemOf(stepper);
  const stepMs = await shortestStepMs(stepper);
  return { inputs, layers, hidden, leads, wrong, golden: await goldenOutput(stepper), stepMs };
}

/** Minimum of several runs, because others may have waited for the processor. */
async function shortestStepMs(stepper: Stepper): Promise<number> {
  const { inputs, layers, hidden } = stepper;
  const h = new Float32Array(layers * hidden);
  let shortest = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 5; run++) {
    const startedMs = performance.now();
    await stepper.run(1, new Float32Array(inputs), h);
    shortest = Math.min(shortest, performance.now() - startedMs);
  }
  return shortest;
}

/** @returns null if there is none */
async function problemOf(stepper: Stepper): Promise<string | null> {
  const { inputs, layers, hidden } = stepper;
  const random = createRandom(1);
  let h: Float32Array = new Float32Array(layers * ROWS * hidden);
  let x = new Float32Array(ROWS * inputs);
  for (let step = 0; step < STEPS; step++) {
    x = Float32Array.from({ length: ROWS * inputs }, () => random.normal());
    const next = await stepper.run(ROWS, x, h);
    if (!next.quantiles.every(Number.isFinite) || !next.h.every(Number.isFinite)) {
      return `its output for ordinary inputs is not finite, at step ${step + 1}`;
    }
    if (step < STEPS - 1) h = next.h.slice();
  }
  const together = copyOf(await stepper.run(ROWS, x, h));
  const row = ROWS - 1;
  const alone = await stepper.run(1, x.subarray(row * inputs), rowOf(h, layers, hidden, row));
  const width = alone.quantiles.length;
  const same =
    near(together.quantiles.subarray(row * width, (row + 1) * width), alone.quantiles) &&
    near(rowOf(together.h, layers, hidden, row), alone.h);
  return same ? null : 'its output depends on the other streams in the same run';
}

const copyOf = ({ quantiles, h }: { quantiles: Float32Array; h: Float32Array }) => ({
  quantiles: quantiles.slice(),
  h: h.slice(),
});

/** One stream's state, [layers, 1, hidden], of [layers, ROWS, hidden]. */
function rowOf(h: Float32Array, layers: number, hidden: number, row: number): Float32Array {
  const own = new Float32Array(layers * hidden);
  for (let layer = 0; layer < layers; layer++) {
    const at = (layer * ROWS + row) * hidden;
    own.set(h.subarray(at, at + hidden), layer * hidden);
  }
  return own;
}

function near(a: Float32Array, b: Float32Array): boolean {
  const size = 1 + Math.max(...a.map(Math.abs));
  return a.every((value, i) => Math.abs(value - b[i]) <= TOLERANCE * size);
}
