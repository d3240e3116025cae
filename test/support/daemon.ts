/** The built program as a process of its own, for what only a process can do: be killed and started again. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { waitFor } from './wait.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
const PROGRAM = join(ROOT, 'dist', 'gatecast.js');

/** Builds `dist` when the sources are newer; `npm test` has done so already. Installs nothing: other tests use the packages. */
export function ensureBuilt(): void {
  const { status, stderr } = spawnSync(
    process.execPath,
    [join(ROOT, 'deploy', 'setup.mjs'), '--no-install'],
    {
      encoding: 'utf8',
    },
  );
  if (status !== 0) throw new Error(`the build failed:\n${stderr}`);
}

export interface Daemon {
  readonly process: ChildProcess;
  /** What it wrote so far, both streams. */
  output(): string;
  /** Whether it has ended, and all that it wrote is in `output`. */
  closed(): boolean;
  /** Resolves with the exit code, or the signal that ended it. */
  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals>;
}

export const spawnProgram = (
  args: readonly string[],
  env: Record<string, string> = {},
  cwd: string = process.cwd(),
): Daemon => spawnCommand(process.execPath, [PROGRAM, ...args], env, cwd);

export function spawnCommand(
  command: string,
  args: readonly string[],
  env: Record<string, string> = {},
  cwd: string = process.cwd(),
): Daemon {
  const child = spawn(command, [...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    cwd,
  });
  let output = '';
  let closed = false;
  child.on('close', () => {
    closed = true;
  });
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      output += chunk;
    });
  return {
    process: child,
    output: () => output,
    closed: () => closed,
    async end(signal) {
      child.kill(signal);
      await waitFor(`the end of the program after ${signal}\n${output}`, () => ended(child));
      // A process that it has started may hold the pipes for longer.
      await waitFor('the rest of its output', () => closed, 2000).catch(() => {});
      return child.exitCode ?? child.signalCode!;
    },
  };
}

const ended = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

/** Starts `gatecast run` and waits until it hears what is published. */
export async function startDaemon(
  dir: string,
  config: object,
  patienceMs = 200_000,
  env: Record<string, string> = {},
): Promise<Daemon> {
  const file = join(dir, 'gatecast.json');
  writeFileSync(file, JSON.stringify(config));
  const daemon = spawnProgram(['run', '-c', file], env);
  try {
    await waitFor(
      `the daemon`,
      () => {
        if (ended(daemon.process)) throw new Error(`the daemon ended: ${daemon.output()}`);
        return daemon.output().includes(' subscribed ');
      },
      patienceMs,
    );
  } catch (error) {
    daemon.process.kill('SIGKILL');
    throw error;
  }
  return daemon;
}
