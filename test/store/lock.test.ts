import { spawn, spawnSync } from 'node:child_process';
import { chownSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { lockDataDir } from '../../src/store/lock.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

const temp = tempDirs();
/** Runs the text that follows. */
const MODULE = ['--import', 'tsx', '--input-type=module', '-e'];

it('refuses a second holder and names the first one', () => {
  const dir = join(temp(), 'made');
  const lock = lockDataDir(dir);
  // A journal of SQLite beside it would need space, so that no agent could start on a full disk.
  expect(readdirSync(dir).sort()).toEqual(['agent.lock', 'agent.pid']);
  expect(() => lockDataDir(dir)).toThrowError(
    expect.objectContaining({
      code: 'LOCKED',
      message: expect.stringContaining(`process ${process.pid}`),
      hint: expect.stringContaining('--data-dir'),
    }),
  );
  lock.release();
  lockDataDir(dir).release();
});

it('counts as held while its file cannot be looked at', () => {
  const file = join(temp(), 'agent.lock');
  const lock = lockDataDir(dirname(file));
  rmSync(file);
  symlinkSync(file, file);
  expect(lock.isHeld()).toBe(true);
  rmSync(file);
  lock.release();
});

it('is taken again when its file is removed or replaced, unless another agent was faster', () => {
  const dir = temp();
  const file = join(dir, 'agent.lock');
  const lock = lockDataDir(dir);
  expect(lock.isHeld()).toBe(true);
  rmSync(file);
  expect(lock.isHeld()).toBe(true);
  expect(() => lockDataDir(dir)).toThrowError(expect.objectContaining({ code: 'LOCKED' }));
  rmSync(file);
  const other = lockDataDir(dir);
  expect([lock.isHeld(), other.isHeld()]).toEqual([false, true]);
  lock.release();
  expect(() => lockDataDir(dir)).toThrowError(expect.objectContaining({ code: 'LOCKED' }));
  const pidFile = join(dir, 'agent.pid');
  writeFileSync(pidFile, '1\n');
  other.release();
  // It is of a third agent then.
  expect(readFileSync(pidFile, 'utf8')).toBe('1\n');
});

const isRoot = process.getuid?.() === 0;

it.runIf(isRoot)('names the file that belongs to another user', () => {
  const dir = temp();
  const file = join(dir, 'agent.lock');
  writeFileSync(file, '', { mode: 0o600 });
  chownSync(file, 65_534, 65_534);
  const code = `
    import { lockDataDir } from './src/store/lock.ts';
    try { lockDataDir(${JSON.stringify(dir)}); } catch ({ message }) { console.log(message); }
  `;
  // Root without its privileges.
  const none = ['--inh-caps=-all', '--bounding-set=-all'];
  const child = spawnSync('setpriv', [...none, process.execPath, ...MODULE, code], { encoding: 'utf8' });
  expect(child.stdout).toContain('permission denied');
  expect(child.stdout).toContain(file);
});

it('ends with its process: kill -9 releases it, although the pid file remains', async () => {
  const dir = temp();
  const code = `
    import { lockDataDir } from './src/store/lock.ts';
    lockDataDir(${JSON.stringify(dir)});
    // Nobody keeps what it returned.
    setTimeout(() => {
      gc();
      console.log('held');
    }, 10);
    setInterval(() => {}, 1000);
  `;
  const child = spawn(process.execPath, ['--expose-gc', ...MODULE, code]);
  let output = '';
  child.stdout.on('data', (data) => {
    output += data;
  });
  await waitFor('the other process', () => output.includes('held'));
  expect(() => lockDataDir(dir)).toThrowError(
    expect.objectContaining({ code: 'LOCKED', message: expect.stringContaining(`process ${child.pid}`) }),
  );
  child.kill('SIGKILL');
  await waitFor('its end', () => child.signalCode);
  lockDataDir(dir).release();
});

it('reports a folder that cannot be created', () => {
  const dir = temp();
  writeFileSync(join(dir, 'file'), '');
  expect(() => lockDataDir(join(dir, 'file', 'below'))).toThrowError(
    expect.objectContaining({ code: 'STORE_FAILED' }),
  );
});
