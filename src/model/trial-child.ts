/**
 * A separate process that tries a user's step model: reads the model from standard input, prints the result as JSON.
 * A graph that never ends or uses all memory ends only this process; see `trial.ts`.
 */
import { readFileSync } from 'node:fs';
import { GatecastError } from '../errors.ts';
import { refuseTelemetry } from '../system/telemetry.ts';
import { goldenOutput } from './golden.ts';
import { createStepper } from './sessions.ts';
import { tryStepModel } from './step-trial.ts';
import type { Stepper } from './stepper.ts';
import type { TrialResult } from './trial.ts';

refuseTelemetry();

async function run(): Promise<TrialResult> {
  try {
    const stepper = await createStepper(readFileSync(0));
    const { inputs, layers, hidden, leads } = stepper;
    const wrong = await tryStepModel(stepper);
    const stepMs = await shortestStepMs(stepper);
    return { inputs, layers, hidden, leads, wrong, golden: await goldenOutput(stepper), stepMs };
  } catch (error) {
    if (!(error instanceof GatecastError)) throw error;
    return { code: error.code, message: error.message, hint: error.hint ?? null };
  }
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

process.stdout.write(`${JSON.stringify(await run())}\n`, () => process.exit());
