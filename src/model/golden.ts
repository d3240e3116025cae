/**
 * The golden vector: a step model's output for a fixed input, computed when the model is signed and again on the
 * gateway. A processor or runtime that computes something else is detected before the model forecasts.
 */
import { createRandom } from '../network/random.ts';
import type { Stepper } from './stepper.ts';

const STEPS = 8;
const SEED = 20_260_101;
/** Maximum number of compared numbers, taken evenly from the outputs of the last step. */
const MOST = 512;
const DIGITS = 7;

/** Outputs of the last of several steps on a fixed input: at most 512 of the quantiles and hidden states. */
export async function goldenOutput(stepper: Stepper): Promise<number[]> {
  const { inputs, layers, hidden } = stepper;
  const random = createRandom(SEED);
  let h = new Float32Array(layers * hidden);
  let all: number[] = [];
  for (let step = 0; step < STEPS; step++) {
    const x = Float32Array.from({ length: inputs }, () => random.normal());
    const next = await stepper.run(1, x, h);
    h = next.h.slice(0, h.length);
    all = [...next.quantiles, ...h];
  }
  const count = Math.min(MOST, all.length);
  return Array.from({ length: count }, (_, at) =>
    Number((all[Math.floor((at * all.length) / count)] ?? 0).toPrecision(DIGITS)),
  );
}

/**
 * @param tolerance relative to the largest expected magnitude
 * @returns a description of the difference; null if within the tolerance
 */
export function goldenDifference(
  expected: readonly number[],
  found: readonly (number | null)[],
  tolerance: number,
): string | null {
  if (found.length !== expected.length) return `has ${found.length} numbers, expected ${expected.length}`;
  const size = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
  let worst = 0;
  for (const [at, value] of expected.entries()) {
    const other = found[at] ?? Number.NaN;
    if (!Number.isFinite(other)) return 'has numbers that are not finite';
    worst = Math.max(worst, Math.abs(other - value) / size);
  }
  if (worst <= tolerance) return null;
  return `differs by ${(worst * 100).toPrecision(3)} %, ${(tolerance * 100).toPrecision(2)} % are allowed`;
}
