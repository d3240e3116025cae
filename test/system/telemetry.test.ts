/** That the runtime's telemetry stays off: run as a user would run it, the program leaves nothing in the home folder. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { ensureBuilt } from '../support/daemon.ts';
import { tempDirs } from '../support/temp.ts';

const temp = tempDirs();
const PROGRAM = new URL('../../dist/gatecast.js', import.meta.url).pathname;

beforeAll(ensureBuilt);

/** A bare environment: the variables of a test run, or of CI, would have the runtime keep quiet by itself. */
function leftBehind(args: readonly string[]): string[] {
  const home = temp();
  const { status, stderr } = spawnSync(process.execPath, [PROGRAM, ...args], {
    env: { PATH: process.env.PATH!, HOME: home },
    cwd: home,
    encoding: 'utf8',
  });
  expect(stderr).not.toMatch(/telemetry/i);
  expect(status, stderr).toBe(0);
  return readdirSync(home, { recursive: true }).map(String).sort();
}

test('a session in the main thread leaves nothing behind', () => {
  expect(leftBehind(['doctor'])).toEqual([]);
});

test('neither does a training, whose sessions are in a worker thread', () => {
  const out = join(temp(), 'tiny');
  const size = [
    '--generated',
    '2',
    '--generated-steps',
    '400',
    '--hidden',
    '8',
    '--steps',
    '16',
    '--chunks',
    '1',
  ];
  expect(leftBehind(['train', ...size, '--batch', '2', '--max-steps', '1', '--out', out])).toEqual([]);
});
