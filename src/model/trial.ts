/** Tries a step model in a separate process, which is killed if it takes too long or too much memory. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, GatecastError } from '../errors.ts';

/** Sizes of the graph, and problems of its output. */
export interface TrialShape {
  readonly inputs: number;
  readonly layers: number;
  readonly hidden: number;
  readonly leads: number;
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
  const child = spawn(process.execPath, childArguments(), {
    // the folder where tsx is found, independent of the caller's folder
    cwd: dirname(fileURLToPath(import.meta.url)),
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  yieldTo(child.pid);
  let output = '';
  let exceeded: string | null = null;
  const end = (why: string): void => {
    exceeded ??= why;
    child.kill('SIGKILL');
  };
  const timer = setTimeout(() => end(`it did not end within ${limits.timeMs / 1000} s`), limits.timeMs);
  const looks = setInterval(() => {
    if (residentMb(child.pid) > limits.memoryMb) end(`it needs more than ${limits.memoryMb} MB of memory`);
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
  const result = exceeded === null ? parsed(output) : null;
  if (result === null)
    throw new GatecastError('MODEL_INVALID', `This is not a valid step model: ${exceeded ?? how}.`, {
      hint: 'It was run on small inputs in a separate process.',
    });
  if ('code' in result)
    throw new GatecastError(result.code, result.message, result.hint === null ? {} : { hint: result.hint });
  return result;
}

/** Lowers the priority of the child, so that forecasts go first. */
function yieldTo(pid: number | undefined): void {
  try {
    if (pid !== undefined) setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // the child has already exited
  }
}

function parsed(output: string): TrialResult | null {
  try {
    return JSON.parse(output) as TrialResult;
  } catch {
    return null;
  }
}

function residentMb(pid: number | undefined): number {
  try {
    const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return Number(found?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

/** The script is next to this chunk of the bundle or one folder above; the sources run with tsx. */
function childArguments(): string[] {
  for (const beside of ['./model-trial.js', '../model-trial.js']) {
    const path = fileURLToPath(new URL(beside, import.meta.url));
    if (existsSync(path)) return [path];
  }
  return ['--import', 'tsx', fileURLToPath(new URL('./trial-child.ts', import.meta.url))];
}
