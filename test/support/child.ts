/** A TypeScript file in a process of its own, to be killed, traced or starved. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { renameSync } from 'node:fs';
import { basename, join } from 'node:path';
import { buildSync } from 'esbuild';

const ROOT = new URL('../..', import.meta.url).pathname;
const bundles = new Map<string, string>();

/**
 * The file and what it imports, as one script: tsx would translate every file again in each process, which takes most of a second of
 * processor time. Below the root of the repository, where it finds its packages and models.
 */
function bundled(file: string): string {
  let path = bundles.get(file);
  if (path === undefined) {
    path = join(ROOT, '.cache/children', `${basename(file, '.ts')}.mjs`);
    // Another test may start the same child.
    const outfile = `${path}.${process.pid}`;
    buildSync({
      entryPoints: [file],
      outfile,
      bundle: true,
      packages: 'external',
      platform: 'node',
      format: 'esm',
    });
    renameSync(outfile, path);
    bundles.set(file, path);
  }
  return path;
}

export interface Child {
  readonly process: ChildProcess;
  /** Whole lines it has printed so far. */
  readonly lines: string[];
  /** What it wrote to stderr. */
  errors(): string;
  /** Resolves with how it ended. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** @param wrap words put before the command, such as `['strace', '-f']` */
export function startChild(file: string, args: readonly string[], wrap: readonly string[] = []): Child {
  const [command, ...rest] = [...wrap, process.execPath, bundled(file), ...args];
  const child = spawn(command!, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: string[] = [];
  let open = '';
  let errors = '';
  child.stdout.on('data', (data) => {
    const parts = (open + data).split('\n');
    open = parts.pop()!;
    lines.push(...parts);
  });
  child.stderr.on('data', (data) => {
    errors += data;
  });
  return {
    process: child,
    lines,
    errors: () => errors,
    ended: new Promise((resolve) => {
      child.on('close', (code, signal) => resolve({ code, signal }));
    }),
  };
}

/** Whether this machine can do it; says so loudly where it cannot. CI installs what it takes. */
export function canRun(command: string, args: readonly string[], what: string): boolean {
  const able = spawnSync(command, [...args], { stdio: 'ignore' }).status === 0;
  if (!able) console.warn(`SKIPPED: ${what} needs ${command}`);
  return able;
}
