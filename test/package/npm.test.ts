/** What `npm pack` packs, and that its program runs as npm links it: by a name on the PATH, away from the repository. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { ensureBuilt } from '../support/daemon.ts';
import { tempDirs } from '../support/temp.ts';

interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string; readonly mode: number }[];
}

const tempDir = tempDirs();
beforeAll(ensureBuilt);

/** `npm pack` without its build step, which has been done. */
function pack(...options: readonly string[]): Packed {
  const text = execFileSync('npm', ['pack', '--json', '--ignore-scripts', ...options], { encoding: 'utf8' });
  const [packed] = JSON.parse(text) as Packed[];
  if (packed === undefined) throw new Error(`npm pack printed no package: ${text}`);
  return packed;
}

describe('the package of npm', () => {
  it('contains what the program needs, and nothing of the tests or the sources', () => {
    const { files } = pack('--dry-run');
    const paths = files.map(({ path }) => path);
    const needed = [
      'dist/gatecast.js',
      'dist/training-worker.js',
      'dist/model-trial.js',
      'models/base/manifest.json',
      'models/base/step.onnx',
      'models/base/weights.safetensors',
      'deploy/systemd/gatecast.service',
      'deploy/grafana/gatecast.json',
      'README.md',
      'LICENSE',
      'CHANGELOG.md',
    ];
    expect(paths).toEqual(expect.arrayContaining(needed));
    const rooms = new Set(paths.map((path) => path.split('/').slice(0, -1).join('/')));
    expect([...rooms].filter((room) => !/^(dist|models|deploy)?(\/|$)/.test(room))).toEqual([]);
    expect(
      paths.filter((path) => /(^|\/)test|\.test\.|\.ts$|node_modules|deploy\/(package|arm64)/.test(path)),
    ).toEqual([]);
    expect(files.find(({ path }) => path === 'dist/gatecast.js')?.mode).toBe(0o755);
  });

  it('may be installed: its program is in it, and npm does not refuse to publish it', () => {
    const { bin, private: isPrivate } = JSON.parse(readFileSync('package.json', 'utf8')) as {
      readonly bin: Readonly<Record<string, string>>;
      readonly private?: boolean;
    };
    expect(bin).toEqual({ gatecast: 'dist/gatecast.js' });
    expect(isPrivate).toBeUndefined();
    expect(readFileSync('dist/gatecast.js', 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
  });

  it('runs by its name, and finds its model', () => {
    const dir = tempDir();
    const { filename } = pack('--pack-destination', dir);
    execFileSync('tar', ['xzf', join(dir, filename), '-C', dir]);
    // The dependencies are those of the repository: nothing is downloaded.
    symlinkSync(resolve('node_modules'), join(dir, 'package/node_modules'));
    mkdirSync(join(dir, 'bin'));
    symlinkSync('../package/dist/gatecast.js', join(dir, 'bin/gatecast'));
    const env = { ...process.env, PATH: `${join(dir, 'bin')}:${process.env.PATH}` };
    const call = (...args: readonly string[]): string =>
      execFileSync('gatecast', args, { cwd: dir, env, encoding: 'utf8' });
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { readonly version: string };
    expect(call('--version').trim()).toContain(version);
    expect(call('model', 'list')).toMatch(/\bbase\b/);
  });
});
