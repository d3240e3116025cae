/** Tries a step model in a separate process, which is killed if it takes too long or too much memory. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { type ErrorCode, GatecastError } from '../errors.ts';
import { lowerPriority, scriptArguments } from '../system/child.ts';
import { residentMb } from '../system/facts.ts';
import { jsonOrNull } from '../system/json.ts';
import type { Stepper } from './stepper.ts';

/** Sizes of the graph, and problems of its output. */
export interface TrialShape extends Pick<Stepper, 'inputs' | 'layers' | 'hidden' | 'leads'> {
  readonly wrong: string | null;
  /** Output for the fixed input of `golden.ts`; null for a number that is not finite. */
  readonly golden: readonly (number | null)[];
  /** Duration of a step of one stream on this processor, ms; minimum of several. */
  readonly stepMs: number;
}

export type TrialResult =
  | TrialShape
  | { readonly code: ErrorCode; readonly message: string; readonly hint: string | null };

export interface TrialLimits {
  readonly timeMs: number;
  readonly memoryMb: number;
}

const LIMITS: TrialLimits = { timeMs: 60_000, memoryMb: 1024 };
const LOOK_MS = 100;

/** @throws GatecastError MODEL_INVALID, also if it takes too long or too much memory, or crashes the runtime */
export async function tryInChild(model: Uint8Array, limits = LIMITS): Promise<TrialShape> {
  const { args, cwd } = scriptArguments(import.meta.url, 'model-trial.js', './trial-child.ts');
  const child = spawn(process.execPath, args, { cwd, stdio: ['pipe', 'pipe', 'ignore'] });
  lowerPriority(child.pid, constants.priority.PRIORITY_BELOW_NORMAL);
  let output = '';
  let exceeded: string | null = null;
  const end = (why: string): void => {
    exceeded ??= why;
    child.kill('SIGKILL');
  };
  const timer = setTimeout(() => end(`it did not end within ${limits.timeMs / 1000} s`), limits.timeMs);
  const looks = setInterval(() => {
    if ((residentMb(child.pid) ?? 0) > limits.memoryMb)
      end(`it needs more than ${limits.memoryMb} MB of memory`);
  }, LOOK_MS);
  child.stdout.on('data', (data) => {
    output += data;
  });
  // ignored: a child that ends early does not read all input
  child.stdin.on('error', () => {});
  child.stdin.end(model);
  const how = await new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) => resolve(`it crashed the runtime (${signal ?? `code ${code}`})`));
  });
  clearTimeout(timer);
  clearInterval(looks);
  const result = exceeded === null ? (jsonOrNull(output) as TrialResult | null) : null;
  if (result === null)
    throw new GatecastError('MODEL_INVALID', `This is not a valid step model: ${exceeded ?? how}.`, {
      hint: 'It was run on small inputs in a separate process.',
    });
  if ('code' in result)
    throw new GatecastError(result.code, result.message, result.hint === null ? {} : { hint: result.hint });
  return result;
}
