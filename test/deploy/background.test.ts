/** Scripts that work in the background meanwhile: it ends with them, also when they fail. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { tempDirs } from '../support/temp.ts';

const tempDir = tempDirs();

/** The work: a process in the foreground of another, which leaves a file if nothing ends it. */
const WORK = "sh -c 'echo $$ >work; sleep 100; echo >done'";

/** A folder with copies of `scripts`, with `programs`, which come first on the path, and with `files`. */
function scratch(
  scripts: readonly string[],
  programs: Readonly<Record<string, string>>,
  files: Readonly<Record<string, string>> = {},
): string {
  const dir = tempDir();
  for (const script of scripts) cpSync(script, join(dir, script));
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  };
  for (const [path, text] of Object.entries(files)) write(path, text);
  for (const [name, text] of Object.entries(programs)) {
    write(`bin/${name}`, `#!/bin/sh\n${text}\n`);
    chmodSync(join(dir, 'bin', name), 0o755);
  }
  onTestFinished(() => {
    try {
      process.kill(Number(readFileSync(join(dir, 'work'), 'utf8')));
    } catch {
      // it has ended
    }
  });
  return dir;
}

/** Waits for all processes, which inherit one of the pipes; returns the exit code. */
async function ended(dir: string, command: string, args: readonly string[]): Promise<number | null> {
  const child: ChildProcess = spawn(command, args, {
    cwd: dir,
    env: { ...process.env, PATH: `${join(dir, 'bin')}:${process.env.PATH}` },
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  });
  child.stderr?.resume();
  await once(child, 'close');
  expect(existsSync(join(dir, 'work'))).toBe(true);
  expect(existsSync(join(dir, 'done'))).toBe(false);
  return child.exitCode;
}

/** Begun work is there to be ended. */
const WHEN_BEGUN = 'until [ -s work ]; do sleep 0.05; done';

it.skipIf(process.arch !== 'x64')('the compile for arm64 ends when the package for amd64 fails', async () => {
  const dir = scratch(
    ['deploy/package/build.mjs', 'deploy/package/node-version', 'deploy/bundled.mjs'],
    { npm: `${WHEN_BEGUN}; exit 1` },
    {
      'package.json': '{ "version": "1", "dependencies": {}, "description": "" }',
      'package-lock.json': '{ "packages": {} }',
      'node_modules/tsx/dist/cli.mjs': '',
      'deploy/arm64/setup.sh': `${WORK}\necho on\n`,
    },
  );
  expect(await ended(dir, process.execPath, [join(dir, 'deploy/package/build.mjs')])).toBe(1);
});

it('the set-up in the background ends when CI is ended', async () => {
  const tools = /^tools=\(\n([^)]+)\)/m.exec(readFileSync('.ci/run', 'utf8'))?.[1]?.trim().split(/\s+/) ?? [];
  const programs = Object.fromEntries(tools.map((tool) => [tool.split('=')[0] ?? '', '']));
  expect(Object.keys(programs)).toContain('mosquitto');
  // The set-up is what node runs; npm, in the foreground, is interrupted.
  const dir = scratch(['.ci/run'], {
    ...programs,
    node: `${WORK}\necho on`,
    npm: `${WHEN_BEGUN}; kill $PPID`,
  });
  expect(await ended(dir, 'bash', [join(dir, '.ci/run')])).toBeNull();
});
