/** Tries a step model in a separate process, which is killed when it takes too long or too much memory. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, GatecastError } from '../errors.ts';

/** Of the graph: what it takes and gives, and what is wrong with its answers, in words. */
export interface TrialShape {
  readonly inputs: number;
  readonly layers: number;
  readonly hidden: number;
  readonly leads: number;
  readonly wrong: string | null;
  /** Its answer to the fixed input of `golden.ts`; null stands for a number that is not finite. */
  readonly golden: readonly (number | null)[];
  /** What a step of one stream takes on this processor, ms; the shortest of some. */
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

/** @throws GatecastError MODEL_INVALID, also when it takes too long or too much memory, or crashes the runtime */
export async function tryInChild(model: Uint8Array, limits = LIMITS): Promise<TrialShape> {
  const child = spawn(process.execPath, childArguments(), {
    // Where the loader of the sources is found, wherever the caller stands.
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
    if (residentMb(child.pid) > limits.memoryMb) end(`it takes more than ${limits.memoryMb} MB of memory`);
  }, LOOK_MS);
  child.stdout.on('data', (data) => {
    output += data;
  });
  // A child that ended early does not read all of it.
  child.stdin.on('error', () => {});
  child.stdin.end(model);
  const how = await new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) => resolve(`it ended the runtime (${signal ?? `code ${code}`})`));
  });
  clearTimeout(timer);
  clearInterval(looks);
  const result = exceeded === null ? parsed(output) : null;
  if (result === null)
    throw new GatecastError('MODEL_INVALID', `This is no step model: ${exceeded ?? how}.`, {
      hint: 'It was run on small inputs in a process of its own.',
    });
  if ('code' in result)
    throw new GatecastError(result.code, result.message, result.hint === null ? {} : { hint: result.hint });
  return result;
}

/** Forecasts go first. */
function yieldTo(pid: number | undefined): void {
  try {
    if (pid !== undefined) setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // It has ended already.
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

/** The bundle stands beside, or one folder above, the chunk that this is in; the sources run through tsx. */
function childArguments(): string[] {
  for (const beside of ['./model-trial.js', '../model-trial.js']) {
    const path = fileURLToPath(new URL(beside, import.meta.url));
    if (existsSync(path)) return [path];
  }
  return ['--import', 'tsx', fileURLToPath(new URL('./trial-child.ts', import.meta.url))];
}
