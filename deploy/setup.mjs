// Set-up on a fresh machine, with Node alone: install what the lockfile names, then build.
// Does nothing, silently, when both are up to date. Says what it does while it does it.
// --no-install: only builds; installed packages that are not those of the lockfile and of this Node are an error.
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { digest, fresh, isBuilt, mark, sourcesDigest } from './build-stamp.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const SQLITE = 'node_modules/better-sqlite3/build/Release/better_sqlite3.node';
process.chdir(root);

const fail = (message) => {
  console.error(`gatecast set-up: ${message}`);
  process.exit(1);
};

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19))
  fail(`Node ${process.versions.node} is too old; 20.19 or newer is needed.`);

// onnxruntime-node's install step downloads hundreds of megabytes of CUDA libraries when it finds a toolkit.
if (
  !/^\s*onnxruntime-node-install\s*=\s*skip\s*$/m.test(
    existsSync('.npmrc') ? readFileSync('.npmrc', 'utf8') : '',
  )
)
  fail(
    '.npmrc has lost the line "onnxruntime-node-install=skip"; without it the install downloads GPU libraries. Put it back.',
  );

// CFLAGS and CXXFLAGS follow gyp's own flags. SQLite's C file compiles in two thirds of the time with -O2, which SQLite recommends,
// instead of gyp's -O3. CXXFLAGS: see deploy/object-wrap.h; quotes, because the folder may have spaces in its name.
const env = {
  ...process.env,
  CFLAGS: process.env.CFLAGS ?? '-O2',
  CXXFLAGS: `${process.env.CXXFLAGS ?? ''} -include '${join(root, 'deploy', 'object-wrap.h')}'`.trim(),
};

const run = (what, command, args, more = {}) => {
  const started = Date.now();
  console.error(`gatecast set-up: ${what} ...`);
  const result = spawnSync(command, args, {
    env: { ...env, ...more },
    stdio: ['ignore', 'inherit', 'inherit'],
    shell: process.platform === 'win32',
  });
  if (result.status !== 0) fail(`${what} failed (${command} ${args.join(' ')}).`);
  console.error(`gatecast set-up: ${what} done in ${((Date.now() - started) / 1000).toFixed(0)} s`);
};

const lock = digest(['package-lock.json', '.npmrc']);
if (!fresh('install', lock)) {
  if (process.argv.includes('--no-install'))
    fail(
      `node_modules is not what Node ${process.versions.node} installs from package-lock.json. Run node deploy/setup.mjs with this Node first; it installs all packages anew.`,
    );
  // `npm ci` would empty the folder behind the link, which others may be working with.
  if (lstatSync('node_modules', { throwIfNoEntry: false })?.isSymbolicLink())
    fail(
      'node_modules is a link, and its packages are not those of package-lock.json. Install where it points, or remove the link.',
    );
  run('installing dependencies (a minute or two if SQLite has to be compiled)', 'npm', [
    'ci',
    '--no-audit',
    '--no-fund',
  ]);
  // npm may have downloaded a module that was compiled without deploy/object-wrap.h.
  const isSafe = () => existsSync(SQLITE) && !readFileSync(SQLITE).includes('RemoveEnvironmentCleanupHook');
  if (!isSafe())
    run('compiling better-sqlite3', 'npm', ['rebuild', 'better-sqlite3'], {
      npm_config_build_from_source: 'true',
    });
  if (!isSafe())
    fail(
      `better-sqlite3 was not compiled with deploy/object-wrap.h and can crash Node ${process.versions.node}; use Node 20 or 22, then run this again.`,
    );
  mark('install', lock);
}
const sources = sourcesDigest();
if (!isBuilt(sources)) {
  run('building', 'npx', ['rollup', '-c', 'deploy/rollup.config.mjs', '--silent']);
  mark('build', sources);
}
