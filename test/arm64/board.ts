/** Runs programs of `guest/` on an emulated board, and on this machine for comparison. See deploy/arm64/setup.sh. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

export const BOARDS = ['pi4', 'pi5'] as const;
export type Board = (typeof BOARDS)[number];

const cache = join(import.meta.dirname, '../../.cache/arm64');
/** gatecast as installed on a board: `dist/gatecast.js`, `models/`, `node_modules/`. */
export const APP = join(cache, 'app');

/** Starts Node as on the board. */
export function spawnOn(board: Board, args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  return spawn(join(import.meta.dirname, '../../deploy/arm64/node.sh'), [board, ...args], {
    cwd: APP,
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

/**
 * Bundles `guest/<name>.ts` and runs it on the board, or on this machine where `board` is null. The program prints its
 * result as one line of JSON, which is returned.
 */
export async function runGuest<Result>(
  board: Board | null,
  name: string,
  args: readonly string[] = [],
): Promise<Result> {
  if (!existsSync(APP))
    throw new Error('run this suite with `npm run test:arm64`, which sets up the emulation');
  // Packages resolve from where the bundle lies: the board's app, or this repository.
  const outfile = join(board ? APP : cache, 'guest', `${name}.mjs`);
  await build({
    entryPoints: [join(import.meta.dirname, 'guest', `${name}.ts`)],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    logLevel: 'error',
  });
  const child = board ? spawnOn(board, [outfile, ...args]) : spawn(process.execPath, [outfile, ...args]);
  const { code, out, err } = await finished(child);
  if (code !== 0) throw new Error(`${name} on ${board ?? 'this machine'} exited with ${code}:\n${err}`);
  return JSON.parse(out.trimEnd().split('\n').at(-1) ?? '') as Result;
}

/** Waits until the program ends; `code` is its exit code, or the signal that ended it. */
export async function finished(
  child: ChildProcess,
): Promise<{ code: number | string; out: string; err: string }> {
  let out = '';
  let err = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code: code ?? signal ?? 'unknown', out, err }));
  });
}
