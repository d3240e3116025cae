/** The set-up that tests run before they start the built program. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { tempDirs } from '../support/temp.ts';

const tempDir = tempDirs();

it('leaves packages alone that another Node has installed, if it may not install', () => {
  const dir = tempDir();
  const packages = join(dir, 'node_modules');
  mkdirSync(join(packages, '.cache'), { recursive: true });
  mkdirSync(join(dir, 'deploy'));
  for (const name of [
    'package.json',
    'package-lock.json',
    '.npmrc',
    'deploy/setup.mjs',
    'deploy/build-stamp.mjs',
  ])
    cpSync(name, join(dir, name));
  writeFileSync(join(packages, 'mine'), 'in use');
  writeFileSync(join(packages, '.cache', 'gatecast-install'), 'of another Node');
  const { status, stderr } = spawnSync(process.execPath, [join(dir, 'deploy', 'setup.mjs'), '--no-install'], {
    encoding: 'utf8',
    // npm, if it were run, would fetch nothing.
    env: { ...process.env, npm_config_offline: 'true', npm_config_cache: join(dir, 'cache') },
  });
  expect(stderr).toContain(`node_modules is not what Node ${process.versions.node} installs`);
  expect(status).toBe(1);
  expect(readFileSync(join(packages, 'mine'), 'utf8')).toBe('in use');
});
