/**
 * The container images for both architectures: buildah builds the last stage of deploy/Containerfile as it is written. The build stage
 * is replaced by the files of the Debian package, which it makes with the same script. The base image has the C library and what
 * belongs to it, and nothing else: the images need no shell. Run as the image says: amd64 up to a forecast on a topic, arm64 under
 * emulation.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startMosquitto, watch } from '../support/mosquitto.ts';
import { waitFor } from '../support/wait.ts';

const MINUTE = 60_000;
const FOLDER = resolve('.cache/package/container');
const BASE = 'docker.io/library/debian:bookworm-slim';
const EMULATOR = resolve('.cache/arm64/root/usr/bin/qemu-aarch64-static');
const LIBRARIES = ['libc', 'libm', 'libdl', 'libpthread', 'librt', 'libstdc++', 'libgcc_s'];

const ready = process.getuid?.() === 0 && spawnSync('buildah', ['--version']).status === 0;
if (!ready) console.warn('SKIPPED: the container images need root and buildah');

/** With a storage of its own: the images of the machine stay as they are. */
function buildah(...args: readonly string[]): string {
  const storage = [
    '--root',
    join(FOLDER, 'images'),
    '--runroot',
    join(FOLDER, 'run'),
    '--storage-driver',
    'vfs',
  ];
  const { status, stdout, stderr } = spawnSync('buildah', [...storage, ...args], {
    encoding: 'utf8',
    timeout: 15 * MINUTE,
  });
  expect(status, `buildah ${args.join(' ')}\n${stdout}${stderr}`).toBe(0);
  return stdout.trim();
}

/** Where this machine keeps the C library of an architecture, and where an image has it. */
const PLACES = {
  amd64: { from: '/lib/x86_64-linux-gnu', to: 'lib/x86_64-linux-gnu', loader: 'lib64/ld-linux-x86-64.so.2' },
  arm64: {
    from: resolve('.cache/arm64/boards/pi4/lib'),
    to: 'lib/aarch64-linux-gnu',
    loader: 'lib/ld-linux-aarch64.so.1',
  },
} as const;
type Architecture = keyof typeof PLACES;

function makeBase(arch: Architecture): void {
  const root = join(FOLDER, `base-${arch}`);
  const { from, to, loader } = PLACES[arch];
  for (const name of [to, 'etc', 'var/lib', 'proc', 'tmp', 'dev', join(loader, '..')])
    mkdirSync(join(root, name), { recursive: true });
  chmodSync(join(root, 'tmp'), 0o1777);
  for (const name of readdirSync(from))
    if (LIBRARIES.some((library) => name.startsWith(`${library}.so.`)))
      cpSync(join(from, name), join(root, to, name), { dereference: true });
  cpSync(join(from, basename(loader)), join(root, loader), { dereference: true });
  writeFileSync(join(root, 'etc/ld.so.conf'), '');
  const container = buildah('from', '--arch', arch, 'scratch');
  buildah('copy', container, root, '/');
  buildah('commit', '--rm', container, BASE);
}

interface Image {
  /** Its files. */
  readonly root: string;
  readonly config: { User: string; Env: string[]; Entrypoint: string[]; Cmd: string[]; Volumes: object };
  readonly architecture: string;
}

function build(arch: Architecture): Image {
  makeBase(arch);
  const context = join(FOLDER, `context-${arch}`);
  const packaged = readdirSync('packages').find((name) => name.endsWith(`_${arch}.deb`)) ?? 'missing.deb';
  execFileSync('dpkg-deb', ['--extract', join('packages', packaged), context]);
  mkdirSync(join(context, 'var/lib/gatecast'), { recursive: true, mode: 0o750 });
  const stages = readFileSync('deploy/Containerfile', 'utf8').split(/^(?=FROM )/m);
  expect(stages.map((stage) => /^FROM .*/.exec(stage)?.[0])).toEqual([
    undefined,
    'FROM --platform=$BUILDPLATFORM docker.io/library/node:22-bookworm AS build',
    `FROM ${BASE}`,
  ]);
  const file = join(FOLDER, `Containerfile-${arch}`);
  writeFileSync(file, `FROM scratch AS build\nCOPY . /image/\n${stages[2]}`);
  buildah(
    'build',
    '--platform',
    `linux/${arch}`,
    '--pull-never',
    '-f',
    file,
    '-t',
    `gatecast-${arch}`,
    context,
  );
  const { OCIv1 } = JSON.parse(buildah('inspect', '--type', 'image', `gatecast-${arch}`)) as {
    OCIv1: { architecture: string; config: Image['config'] };
  };
  const root = buildah('mount', buildah('from', '--pull-never', `gatecast-${arch}`));
  return { root, config: OCIv1.config, architecture: OCIv1.architecture };
}

/** Runs the image: its files as root folder, its user, its environment and nothing else of this machine's. */
function start({ root, config }: Image, args: readonly string[], emulator: readonly string[] = []) {
  const script = `mount -t proc proc "${root}/proc" && mount --bind /dev "${root}/dev" && exec chroot --userspec=${config.User} "${root}" "$@"`;
  const command = [...emulator, ...config.Entrypoint, ...args];
  const options = ['--mount', 'sh', '-c', script, 'sh', ...command];
  const env = Object.fromEntries(
    config.Env.map((line) => line.split(/=(.*)/s).slice(0, 2) as [string, string]),
  );
  const child = spawn('unshare', options, {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const seen = { text: '' };
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data) => {
      seen.text += data;
    });
  const ended = new Promise<number | null>((done) => child.once('close', (code) => done(code)));
  return { child, seen, ended };
}

describe.skipIf(!ready)('the container image', () => {
  beforeAll(() => rmSync(FOLDER, { recursive: true, force: true }));
  afterAll(() => {
    buildah('umount', '--all');
    rmSync(FOLDER, { recursive: true, force: true });
  });

  it('for amd64 runs as its own user, keeps its data in its volume, and stops at SIGTERM', {
    timeout: 15 * MINUTE,
  }, async () => {
    const image = build('amd64');
    expect(image.architecture).toBe('amd64');
    expect(image.config).toMatchObject({ User: '10001:10001', Volumes: { '/var/lib/gatecast': {} } });
    const broker = await startMosquitto();
    const eyes = await watch(broker.url, 'gatecast/#');
    mkdirSync(join(image.root, 'etc/gatecast'));
    writeFileSync(
      join(image.root, 'etc/gatecast/gatecast.yaml'),
      `node: box\nmqtt: { url: "${broker.url}" }\nhttp: { listen: "off" }\nstreams: [{ match: "plant/{device}", fields: [level], interval: 1s, horizon: 10s }]\n`,
    );
    const { child, seen, ended } = start(image, image.config.Cmd);
    const sender = setInterval(() => eyes.client.publish('plant/tank', '{"level": 5}'), 300);
    try {
      await waitFor(
        'a forecast',
        () => {
          if (child.exitCode !== null) throw new Error(`it ended:\n${seen.text}`);
          return eyes.on('gatecast/box/forecast/tank/level').length > 0;
        },
        4 * MINUTE,
      );
      child.kill('SIGTERM');
      expect(await ended, seen.text).toBe(0);
      expect(seen.text).toContain('stopped');
      expect(existsSync(join(image.root, 'var/lib/gatecast/gatecast.db')), seen.text).toBe(true);
    } finally {
      clearInterval(sender);
      child.kill('SIGKILL');
      await eyes.close();
      await broker.stop();
    }
  });

  it('for arm64 runs on the processor of a Raspberry Pi 4, emulated', { timeout: 15 * MINUTE }, async () => {
    const image = build('arm64');
    expect(image.architecture).toBe('arm64');
    cpSync(EMULATOR, join(image.root, 'emulator'));
    const { seen, ended } = start(image, ['doctor'], ['/emulator', '-cpu', 'cortex-a72']);
    await ended;
    expect(seen.text).toMatch(/^ok +system +Node \d+\.\d+\.\d+, linux arm64$/m);
    expect(seen.text).toMatch(/^ok +model +base/m);
  });
});
