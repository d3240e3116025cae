// `npm run package [-- --arch amd64]`: Debian packages of gatecast for amd64 and arm64, in packages/. Each holds its own
// Node, the compiled better-sqlite3 and this platform's onnxruntime: installing one compiles and downloads nothing.
// `--unpacked DIR`: its files in DIR, for the container image. Runs on Debian with dpkg-deb, g++ and make: on x86-64 for both
// architectures (deploy/arm64/setup.sh fetches the arm64 compiler), on arm64 for arm64.
import { execFileSync } from 'node:child_process';
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

/** The Node that the packages carry. */
const NODE_VERSION = '22.23.3';
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

function fetchNode(arch) {
  const folder = join(cache, `node-${arch}`);
  once(`node-${arch}`, NODE_VERSION, () => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const name = `node-linux-${arch}`;
    run('npm', ['pack', '--silent', `${name}@${NODE_VERSION}`, '--pack-destination', cache]);
    const archive = join(cache, `${name}-${NODE_VERSION}.tgz`);
    run('tar', ['xzf', archive, '-C', folder, '--strip-components=1']);
    rmSync(archive);
  });
  return folder;
}

/** better-sqlite3 for the packaged Node. @returns the compiled module */
function compileSqlite(arch, node) {
  const source = 'node_modules/better-sqlite3';
  const folder = join(cache, `sqlite-${arch}`);
  const { version: sqlite } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8'));
  once(`sqlite-${arch}`, `${sqlite} ${NODE_VERSION}`, () => {
    rmSync(folder, { recursive: true, force: true });
    cpSync(source, folder, { recursive: true, filter: (path) => !path.endsWith('/better-sqlite3/build') });
    // npm may have a folder of headers configured, for the Node that runs this; the environment would win over the option.
    const env = { ...process.env, npm_config_nodedir: node };
    if (arch !== process.arch) {
      const cross = join(root, '.cache/arm64/root/usr');
      Object.assign(env, {
        PATH: `${cross}/bin:${env.PATH}`,
        LD_LIBRARY_PATH: `${cross}/lib/x86_64-linux-gnu`,
        CC: 'aarch64-linux-gnu-gcc-12',
        CXX: 'aarch64-linux-gnu-g++-12',
        AR: 'aarch64-linux-gnu-ar',
      });
    }
    const globals = execFileSync('npm', ['root', '--global'], { encoding: 'utf8' }).trim();
    const gyp = join(globals, 'npm/node_modules/node-gyp/bin/node-gyp.js');
    run(process.execPath, [gyp, 'rebuild', '--release', `--arch=${arch}`, `--nodedir=${node}`], {
      cwd: folder,
      env,
      stdio: ['ignore', 'ignore', 'ignore'],
    });
  });
  return join(folder, 'build/Release/better_sqlite3.node');
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

function copyModules(app, arch, sqliteModule) {
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
  copyFileSync(sqliteModule, join(release, 'better_sqlite3.node'));
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

function build(debian) {
  const arch = ARCHITECTURES[debian];
  if (arch === undefined) throw new Error(`--arch: amd64 or arm64, not ${debian}`);
  if (arch === 'x64' && process.arch !== 'x64')
    throw new Error('the package for amd64 can only be built on x86-64');
  const node = fetchNode(arch);
  if (arch !== process.arch) run('bash', ['deploy/arm64/setup.sh', 'tools']);
  const sqliteModule = compileSqlite(arch, node);

  const stage = join(cache, `stage-${debian}`);
  const app = join(stage, 'usr/lib/gatecast');
  rmSync(stage, { recursive: true, force: true });
  mkdirSync(join(app, 'bin'), { recursive: true });
  copyFileSync(join(node, 'bin/node'), join(app, 'bin/node'));
  chmodSync(join(app, 'bin/node'), 0o755);
  cpSync('dist', join(app, 'dist'), { recursive: true, filter: (path) => !path.endsWith('.map') });
  cpSync('models', join(app, 'models'), { recursive: true });
  copyFileSync('package.json', join(app, 'package.json'));
  copyModules(app, arch, sqliteModule);
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
for (const debian of values.arch.split(',')) build(debian);
