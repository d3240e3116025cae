/**
 * A process of its own that tries a step model whose user brings it: reads the model from standard input, prints the result as
 * JSON. A graph that never ends, or takes all memory, ends with this process; see `trial.ts`.
 */
import { readFileSync } from 'node:fs';
import { GatecastError } from '../errors.ts';
import { refuseTelemetry } from '../system/telemetry.ts';
import { goldenOutput } from './golden.ts';
import { createStepper } from './sessions.ts';
import { tryStepModel } from './step-trial.ts';
import type { TrialResult } from './trial.ts';

refuseTelemetry();

async function run(): Promise<TrialResult> {
  try {
    const stepper = await createStepper(readFileSync(0));
    const { inputs, layers, hidden, leads } = stepper;
    const wrong = await tryStepModel(stepper);
    return { inputs, layers, hidden, leads, wrong, golden: await goldenOutput(stepper) };
  } catch (error) {
    if (!(error instanceof GatecastError)) throw error;
    return { code: error.code, message: error.message, hint: error.hint ?? null };
  }
}

process.stdout.write(`${JSON.stringify(await run())}\n`, () => process.exit());
