// Whether the build in dist/ is that of the sources: a hash of the sources is kept beside the installed packages.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

export const digest = (files) => {
  const hash = createHash('sha256').update(process.version);
  for (const file of files) hash.update(file).update(readFileSync(join(root, file)));
  return hash.digest('hex');
};

const stamp = (name) => join(root, 'node_modules', '.cache', `gatecast-${name}`);
export const fresh = (name, value) => existsSync(stamp(name)) && readFileSync(stamp(name), 'utf8') === value;
export const mark = (name, value) => {
  mkdirSync(dirname(stamp(name)), { recursive: true });
  writeFileSync(stamp(name), value);
};

const walk = (folder) =>
  readdirSync(join(root, folder))
    .sort()
    .flatMap((name) => {
      const path = join(folder, name);
      return statSync(join(root, path)).isDirectory() ? walk(path) : [path];
    });

export const sourcesDigest = () =>
  digest([
    'package-lock.json',
    'deploy/rollup.config.mjs',
    'deploy/bundled.mjs',
    'deploy/page-script.mjs',
    'tsconfig.json',
    ...walk('src'),
  ]);

export const isBuilt = (sources = sourcesDigest()) =>
  existsSync(join(root, 'dist', 'gatecast.js')) && fresh('build', sources);
