/**
 * A separate process that tries a user's step model: reads the model from standard input, prints the result as JSON.
 * A graph that never ends or uses all memory ends only this process; see `trial.ts`.
 */
import { readFileSync } from 'node:fs';
import { GatecastError } from '../errors.ts';
import { refuseTelemetry } from '../system/telemetry.ts';
import { tryStepModel } from './step-trial.ts';
import type { TrialResult } from './trial.ts';

refuseTelemetry();

async function run(): Promise<TrialResult> {
  try {
    return await tryStepModel(readFileSync(0));
  } catch (error) {
    if (!(error instanceof GatecastError)) throw error;
    return { code: error.code, message: error.message, hint: error.hint ?? null };
  }
}

process.stdout.write(`${JSON.stringify(await run())}\n`, () => process.exit());
