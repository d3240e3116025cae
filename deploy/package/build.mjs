// `npm run package [-- --arch amd64]`: Debian packages of gatecast for amd64 and arm64, in packages/. Each holds its own
// Node, the compiled better-sqlite3 and this platform's onnxruntime: installing one compiles and downloads nothing.
// `--unpacked DIR`: its files in DIR, for the container image. Runs on Debian with dpkg-deb, g++ and make: on x86-64 for both
// architectures (deploy/arm64/setup.sh compiles for arm64), on arm64 for arm64.
import { execFileSync, spawn } from 'node:child_process';
import { once as happened } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { BUNDLED } from '../bundled.mjs';

/** Debian's name of an architecture -> Node's. */
const ARCHITECTURES = { amd64: 'x64', arm64: 'arm64' };
/** onnxruntime-node's install step alone needs these. */
const INSTALL_ONLY = ['adm-zip', 'global-agent'];
const MAINTAINER = 'gatecast maintainers <maintainers@gatecast.invalid>';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
process.chdir(root);
const { values } = parseArgs({
  options: {
    arch: { type: 'string', default: process.arch === 'x64' ? 'amd64,arm64' : 'arm64' },
    out: { type: 'string', default: 'packages' },
    unpacked: { type: 'string' },
  },
});
const { version, dependencies, description } = JSON.parse(readFileSync('package.json', 'utf8'));
const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')).packages;
const cache = join(root, '.cache', 'package');
/** The Node that the packages carry. */
const NODE_VERSION = readFileSync('deploy/package/node-version', 'utf8').trim();

const say = (text) => console.error(`package: ${text}`);
const run = (command, args, options = {}) =>
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'], ...options });

/** Does `make` once for each key; a run that failed is done again. */
function once(name, key, make) {
  const stamp = join(cache, `.${name}`);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === key) return;
  rmSync(stamp, { force: true });
  say(name);
  make();
  writeFileSync(stamp, key);
}

/** Node and the compiled better-sqlite3, for the architecture of this machine. */
function nativeParts() {
  const { arch } = process;
  const node = join(cache, `node-${arch}`);
  once(`node-${arch}`, NODE_VERSION, () => {
    rmSync(node, { recursive: true, force: true });
    mkdirSync(node, { recursive: true });
    const name = `node-linux-${arch}`;
    run('npm', ['pack', '--silent', `${name}@${NODE_VERSION}`, '--pack-destination', cache]);
    const archive = join(cache, `${name}-${NODE_VERSION}.tgz`);
    run('tar', ['xzf', archive, '-C', node, '--strip-components=1']);
    rmSync(archive);
  });
  const source = 'node_modules/better-sqlite3';
  const sqlite = join(cache, `sqlite-${arch}`);
  const { version: sqliteVersion } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8'));
  once(`sqlite-${arch}`, `${sqliteVersion} ${NODE_VERSION}`, () => {
    rmSync(sqlite, { recursive: true, force: true });
    cpSync(source, sqlite, { recursive: true, filter: (path) => !path.endsWith('/better-sqlite3/build') });
    const globals = execFileSync('npm', ['root', '--global'], { encoding: 'utf8' }).trim();
    const gyp = join(globals, 'npm/node_modules/node-gyp/bin/node-gyp.js');
    run(process.execPath, [gyp, 'rebuild', '--release', `--nodedir=${node}`], {
      cwd: sqlite,
      // As in deploy/arm64/setup.sh.
      env: { ...process.env, npm_config_nodedir: node },
      stdio: ['ignore', 'ignore', 'ignore'],
    });
  });
  return { node, sqlite };
}

/** The same for arm64 on another machine, once they are compiled. Started at once: it needs one processor only. */
function beginCross() {
  const folder = join(root, '.cache/arm64');
  // A process group of its own: all of it ends when this process fails.
  const child = spawn('bash', ['deploy/arm64/setup.sh', 'parts'], {
    detached: true,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ended = happened(child, 'exit');
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
  process.once('exit', () => {
    try {
      if (child.exitCode === null) process.kill(-child.pid, 'SIGTERM');
    } catch {
      // it has just ended
    }
  });
  return async () => {
    const [code] = await ended;
    if (code !== 0) throw new Error(`deploy/arm64/setup.sh ended with ${code}`);
    return { node: join(folder, 'node'), sqlite: join(folder, 'sqlite') };
  };
}

/** Names of all packages that the bundle loads from node_modules. */
function runtimePackages() {
  const found = new Set();
  const add = (name) => {
    if (found.has(name) || INSTALL_ONLY.includes(name)) return;
    const entry = lock[`node_modules/${name}`];
    if (entry === undefined) throw new Error(`${name} is not in package-lock.json`);
    found.add(name);
    for (const inner of Object.keys(entry.dependencies ?? {})) add(inner);
  };
  for (const name of Object.keys(dependencies)) if (!BUNDLED.includes(name)) add(name);
  return [...found];
}

/** Source and build files, types, maps and documents, which nothing loads. */
const unused = (path) =>
  /\.(map|md|markdown|d\.[cm]?ts|ts|c|cc|cpp|h|hpp|gyp|gypi)$|\/(test|tests|\.github|deps|docs?|examples?|benchmarks?)$/.test(
    path,
  );

function copyModules(app, arch, sqlite) {
  for (const name of runtimePackages()) {
    const from = join('node_modules', name);
    cpSync(from, join(app, from), {
      recursive: true,
      dereference: true,
      filter: (path) => {
        if (path.startsWith(join('node_modules/better-sqlite3', 'build'))) return false;
        const platform = /onnxruntime-node\/bin\/napi-v\d+\/(.+)$/.exec(path)?.[1];
        if (
          platform !== undefined &&
          !`linux/${arch}/`.startsWith(`${platform}/`) &&
          !platform.startsWith(`linux/${arch}/`)
        )
          return false;
        return !unused(path);
      },
    });
  }
  const release = join(app, 'node_modules/better-sqlite3/build/Release');
  mkdirSync(release, { recursive: true });
  copyFileSync(join(sqlite, 'build/Release/better_sqlite3.node'), join(release, 'better_sqlite3.node'));
}

function sizeOf(folder) {
  let bytes = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).size;
  return bytes;
}

const write = (path, content, mode = 0o644) => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  chmodSync(path, mode);
};

/** Copyright and licences of gatecast and of the packages that the bundle in dist/ contains (machine-readable, DEP-5). */
function copyright() {
  const stanza = (files, holder, licence, text) =>
    `Files: ${files}\nCopyright: ${holder}\nLicense: ${licence}\n${text
      .trim()
      .split('\n')
      .map((line) => ` ${line.trim() || '.'}`)
      .join('\n')}\n`;
  const bundled = ['uplot', ...BUNDLED].map((name) => {
    const folder = join('node_modules', name);
    const file = readdirSync(folder).find((entry) => /^licen[cs]e(\.|$)/i.test(entry));
    if (file === undefined) throw new Error(`${name} has no licence file`);
    const text = readFileSync(join(folder, file), 'utf8');
    const holder = /^\W*Copyright (?:\(c\) )?(.+)$/im.exec(text)?.[1] ?? `the authors of ${name}`;
    const { license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    return stanza(`${folder}/*`, holder.trim(), license, text);
  });
  return [
    'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: gatecast\n',
    stanza('*', 'gatecast contributors', 'Expat', readFileSync('LICENSE', 'utf8')),
    ...bundled,
  ].join('\n');
}

/** Files that apt and the user see, beside the program. */
function documents(stage, manual) {
  const doc = join(stage, 'usr/share/doc/gatecast');
  write(join(doc, 'copyright'), copyright());
  write(join(doc, 'changelog.gz'), gzipSync(readFileSync('CHANGELOG.md'), { level: 9 }));
  write(join(doc, 'README.md'), readFileSync('README.md'));
  cpSync('docs', join(doc, 'docs'), { recursive: true });
  cpSync('deploy/examples', join(doc, 'examples'), { recursive: true });
  for (const one of ['grafana', 'prometheus'])
    cpSync(`deploy/${one}`, join(doc, 'examples', one), { recursive: true });
  write(
    join(stage, 'usr/share/man/man1/gatecast.1.gz'),
    gzipSync(readFileSync(join(manual, 'gatecast.1')), { level: 9 }),
  );
  for (const [path, shell] of [
    ['bash-completion/completions/gatecast', 'bash'],
    ['zsh/vendor-completions/_gatecast', 'zsh'],
    ['fish/vendor_completions.d/gatecast.fish', 'fish'],
  ])
    write(join(stage, 'usr/share', path), readFileSync(join(manual, `gatecast.${shell}`)));
}

function build(debian, { node, sqlite }) {
  const arch = ARCHITECTURES[debian];
  const stage = join(cache, `stage-${debian}`);
  const app = join(stage, 'usr/lib/gatecast');
  rmSync(stage, { recursive: true, force: true });
  mkdirSync(join(app, 'bin'), { recursive: true });
  copyFileSync(join(node, 'bin/node'), join(app, 'bin/node'));
  chmodSync(join(app, 'bin/node'), 0o755);
  cpSync('dist', join(app, 'dist'), { recursive: true, filter: (path) => !path.endsWith('.map') });
  cpSync('models', join(app, 'models'), { recursive: true });
  copyFileSync('package.json', join(app, 'package.json'));
  copyModules(app, arch, sqlite);
  write(join(stage, 'usr/bin/gatecast'), readFileSync('deploy/package/gatecast.sh'), 0o755);
  const unit = readFileSync('deploy/systemd/gatecast.service', 'utf8')
    .replace('/usr/bin/node /opt/gatecast/', '/usr/lib/gatecast/bin/node /usr/lib/gatecast/')
    .replace(/^Documentation=.*$/m, 'Documentation=man:gatecast(1)');
  write(join(stage, 'lib/systemd/system/gatecast.service'), unit);
  documents(stage, join(cache, 'manual'));

  if (values.unpacked !== undefined) {
    cpSync(stage, values.unpacked, { recursive: true });
    return;
  }
  for (const script of ['postinst', 'prerm', 'postrm'])
    write(join(stage, 'DEBIAN', script), readFileSync(`deploy/package/${script}`), 0o755);
  write(
    join(stage, 'DEBIAN/control'),
    [
      'Package: gatecast',
      `Version: ${version}`,
      `Architecture: ${debian}`,
      `Maintainer: ${MAINTAINER}`,
      `Installed-Size: ${Math.ceil(sizeOf(stage) / 1024)}`,
      'Depends: libc6 (>= 2.28), libstdc++6, libatomic1, passwd, init-system-helpers',
      'Recommends: mosquitto | mqtt-broker',
      'Suggests: nats-server',
      'Section: net',
      'Priority: optional',
      'Description: forecasts for the sensors on an MQTT broker',
      ` ${description.replaceAll('\n', ' ')}`,
      '',
    ].join('\n'),
  );
  mkdirSync(values.out, { recursive: true });
  const file = join(values.out, `gatecast_${version}_${debian}.deb`);
  run('dpkg-deb', ['--root-owner-group', '-Zxz', '--build', stage, file]);
  console.log(`${file} ${(statSync(file).size / 1e6).toFixed(1)} MB`);
}

mkdirSync(cache, { recursive: true });
run(process.execPath, ['node_modules/tsx/dist/cli.mjs', 'deploy/package/manual.ts', join(cache, 'manual')]);
const wanted = values.arch.split(',');
for (const debian of wanted) {
  const arch = ARCHITECTURES[debian];
  if (arch === undefined) throw new Error(`--arch: amd64 or arm64, not ${debian}`);
  if (arch === 'x64' && process.arch !== 'x64')
    throw new Error('the package for amd64 can only be built on x86-64');
}
const isNative = (debian) => ARCHITECTURES[debian] === process.arch;
const crossParts = wanted.every(isNative) ? null : beginCross();
for (const debian of wanted.sort()) build(debian, isNative(debian) ? nativeParts() : await crossParts());
