/**
 * The Debian packages as an owner gets them: built, installed into a fresh Debian, walked from nothing to a forecast on a topic,
 * upgraded, purged. For amd64 in a chroot without systemd, and in a Debian that systemd-nspawn boots; for arm64 in a chroot
 * on an emulated Raspberry Pi 4. `npm run test:package` builds the packages first. Needs root, debootstrap and systemd-nspawn.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ModelRegistry } from '../../src/model/registry.ts';
import { forecastSpec } from '../../src/training/job.ts';
import { recordMachines } from '../support/history.ts';
import { untrainedModel } from '../support/models.ts';
import { type Mosquitto, startMosquitto, type Watcher, watch } from '../support/mosquitto.ts';
import { waitFor } from '../support/wait.ts';
import { Booted, canBoot } from './booted.ts';

const MOST_BYTES = 60e6;
const MINUTE = 60_000;
const CACHE = resolve('.cache/package');
const ROOT = join(CACHE, 'debian');
const packages = existsSync('packages') ? readdirSync('packages') : [];
const file = (arch: string): string =>
  join('packages', packages.find((name) => name.endsWith(`_${arch}.deb`)) ?? 'missing.deb');

const ready = process.getuid?.() === 0 && spawnSync('debootstrap', ['--version']).error === undefined;
if (!ready) console.warn('SKIPPED: the walk through a fresh Debian needs root and debootstrap');

if (!canBoot) console.warn('SKIPPED: the service under systemd needs root and systemd-container');

/** What the package needs of Debian, an init system and a broker are there; all else comes from the package. */
const INCLUDED = 'systemd,systemd-sysv,mosquitto,mosquitto-clients,libstdc++6,libatomic1';

/** Makes the fresh Debian unless an earlier run did. */
function makeDebian(): void {
  const stamp = join(CACHE, '.debian');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === INCLUDED) return;
  rmSync(ROOT, { recursive: true, force: true });
  const sources = readdirSync('/etc/apt/sources.list.d').filter((name) => name.endsWith('.sources'));
  const texts = [
    ...sources.map((name) => readFileSync(join('/etc/apt/sources.list.d', name), 'utf8')),
    existsSync('/etc/apt/sources.list') ? readFileSync('/etc/apt/sources.list', 'utf8') : '',
  ].join('\n');
  const mirror = /^(?:URIs:|deb) +(?:\[[^\]]*\] +)?(https?:\S+)/m.exec(texts)?.[1];
  mkdirSync(CACHE, { recursive: true });
  const kind = ['--variant=minbase', `--include=${INCLUDED}`];
  const args = [...kind, 'bookworm', ROOT, ...(mirror === undefined ? [] : [mirror])];
  const made = spawnSync('debootstrap', args, { encoding: 'utf8', timeout: 15 * MINUTE });
  expect(made.status, made.stdout + made.stderr).toBe(0);
  writeFileSync(join(ROOT, 'usr/sbin/policy-rc.d'), '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  writeFileSync(stamp, INCLUDED);
}

/** Runs a command in the fresh Debian, with /proc, in a mount namespace that ends with it. */
const inside = (...command: readonly string[]): readonly string[] => [
  '--mount',
  '--fork',
  'sh',
  '-c',
  `mount -t proc proc "${ROOT}/proc" && exec chroot "${ROOT}" "$@"`,
  'sh',
  ...command,
];
function call(...command: readonly string[]): { code: number | null; text: string } {
  const { status, stdout, stderr } = spawnSync('unshare', inside(...command), {
    encoding: 'utf8',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
    timeout: 15 * MINUTE,
  });
  return { code: status, text: stdout + stderr };
}
function mustCall(...command: readonly string[]): string {
  const { code, text } = call(...command);
  expect(code, `${command.join(' ')}\n${text}`).toBe(0);
  return text;
}

/** A sensor that sends twice a second, in a process of its own: `call` blocks this one. */
function startSensor(port: number): () => void {
  const lines =
    'while sleep 0.5; do n=$((n + 1)); echo "{\\"temperature\\": $((20 + n % 7)).$((n % 10))}"; done';
  const script = `${lines} | exec mosquitto_pub -h 127.0.0.1 -p ${port} -q 1 -l -t zigbee2mqtt/cellar`;
  const child = spawn('sh', ['-c', script], { stdio: 'ignore', detached: true });
  return () => {
    if (child.pid !== undefined) process.kill(-child.pid);
  };
}

/** It has ended, and what it wrote to stderr is here. */
const stopped = (child: ChildProcess): Promise<void> =>
  new Promise((done) => {
    const ended = child.exitCode !== null || child.signalCode !== null;
    if (ended && child.stderr?.readableEnded !== false) done();
    else child.once('close', () => done());
  });

describe.each(['amd64', 'arm64'])('the package for %s', (arch) => {
  it('takes at most 60 MB and compiles, downloads and needs nothing at install', () => {
    expect(statSync(file(arch)).size).toBeLessThanOrEqual(MOST_BYTES);
    const listed = execFileSync('dpkg-deb', ['--contents', file(arch)], {
      encoding: 'utf8',
      maxBuffer: 64e6,
    });
    expect(listed).toContain('./usr/lib/gatecast/bin/node');
    expect(listed).toContain('/better_sqlite3.node');
    const other = arch === 'amd64' ? 'arm64' : 'x64';
    expect(listed).not.toMatch(new RegExp(`napi-v\\d+/(linux/${other}|darwin|win32)/.`));
    const scripts = execFileSync('dpkg-deb', ['--ctrl-tarfile', file(arch)], { maxBuffer: 64e6 }).toString();
    expect(scripts).not.toMatch(/\b(npm|curl|wget|node-gyp|make)\b/);
  });
});

describe.skipIf(!ready)('a fresh Debian 12, amd64', () => {
  let broker: Mosquitto;
  let eyes: Watcher;
  let silence: () => void = () => {};

  beforeAll(async () => {
    makeDebian();
    // A former run may have ended in between.
    call('sh', '-c', 'dpkg --purge gatecast; rm -f /root/*.deb');
    execFileSync('cp', [file('amd64'), join(ROOT, 'root/gatecast.deb')]);
    broker = await startMosquitto();
    eyes = await watch(broker.url, 'gatecast/#');
    silence = startSensor(broker.port);
  }, 10 * MINUTE);
  afterAll(async () => {
    silence();
    await eyes?.close();
    await broker?.stop();
  });

  it('needs three commands from nothing to a forecast on a topic', { timeout: 15 * MINUTE }, async () => {
    // 1: install. Nothing starts, for there is no config.
    const installed = mustCall(
      'apt-get',
      'install',
      '--yes',
      '--no-install-recommends',
      '/root/gatecast.deb',
    );
    expect(installed).toContain('sudo gatecast init');
    expect(mustCall('gatecast', '--version')).toMatch(/^\d+\.\d+\.\d+/);
    expect(mustCall('stat', '-c', '%U:%G %a', '/etc/gatecast', '/var/lib/gatecast')).toBe(
      'root:gatecast 750\ngatecast:gatecast 750\n',
    );
    // 2: a config from what the broker carries.
    const config = '/etc/gatecast/gatecast.yaml';
    const found = mustCall('gatecast', 'init', '--broker', broker.url, '--listen', '6s', '--yes');
    expect(found).toMatch(/^Zigbee2MQTT +1 +1$/m);
    expect(mustCall('stat', '-c', '%U:%G %a', config)).toBe('root:gatecast 640\n');
    // The port of the page may be taken on this machine, and a test cannot wait for minutes.
    const path = join(ROOT, config);
    const text = readFileSync(path, 'utf8').replace(/interval: \S+/g, 'interval: 2s');
    writeFileSync(path, `${text.replace(/horizon: \S+/g, 'horizon: 20s')}\nhttp: { listen: "off" }\n`);
    // 3: the service, as systemd would start it; with systemd, `init` starts it itself.
    const unit = readFileSync(join(ROOT, 'lib/systemd/system/gatecast.service'), 'utf8');
    expect(unit).toMatch(/^ConditionPathExists=\/etc\/gatecast\/gatecast.yaml$/m);
    const start = /^ExecStart=(.*)$/m.exec(unit)?.[1] ?? '';
    const child = spawn(
      'unshare',
      inside('setpriv', '--reuid=gatecast', '--regid=gatecast', '--init-groups', ...start.split(' ')),
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    let log = '';
    child.stderr?.on('data', (data) => {
      log += data;
    });
    const forecasts = () => eyes.seen.filter(({ topic }) => /^gatecast\/[^/]+\/forecast\//.test(topic));
    await waitFor(
      'a forecast',
      () => {
        if (child.exitCode !== null) throw new Error(`it ended:\n${log}`);
        return forecasts().length > 0;
      },
      4 * MINUTE,
    );
    const message = JSON.parse(forecasts().at(-1)?.text ?? '{}') as { p50: number[] };
    expect(message.p50.length).toBeGreaterThan(0);
    for (const value of message.p50) expect(value).toBeCloseTo(23, -1);
    spawnSync('pkill', ['-TERM', '-f', 'dist/gatecast.js run -c /etc/gatecast']);
    await stopped(child);
    expect(log).toContain('stopped');
  });

  it('has a manual page and completion', () => {
    expect(mustCall('sh', '-c', 'zcat /usr/share/man/man1/gatecast.1.gz')).toContain('.SH EXIT STATUS');
    const complete =
      '. /usr/share/bash-completion/completions/gatecast; COMP_WORDS=(gatecast model ex); COMP_CWORD=2; _gatecast; echo "$COMPREPLY"';
    expect(mustCall('bash', '-c', complete)).toBe('export\n');
  });

  it('keeps config and data in an upgrade and a removal, and a purge leaves nothing', {
    timeout: 15 * MINUTE,
  }, () => {
    const kept = () =>
      mustCall('sh', '-c', 'cat /etc/gatecast/gatecast.yaml | sha256sum; ls /var/lib/gatecast');
    const before = kept();
    expect(before).toContain('.db');
    mustCall('dpkg', '--install', '/root/gatecast.deb');
    expect(kept()).toBe(before);
    mustCall('dpkg', '--remove', 'gatecast');
    expect(kept()).toBe(before);
    expect(call('gatecast', '--version').code).not.toBe(0);
    mustCall('dpkg', '--purge', 'gatecast');
    for (const path of ['/etc/gatecast', '/var/lib/gatecast', '/usr/lib/gatecast', '/usr/bin/gatecast'])
      expect(existsSync(join(ROOT, path)), path).toBe(false);
    expect(call('id', 'gatecast').code).not.toBe(0);
  });
});

/** A model that has learnt nothing, and three machines with enough readings to learn from, in a data directory. */
const TUNED = {
  node: 'tuned',
  mqtt: { url: 'mqtt://127.0.0.1:1883' },
  timezone: 'UTC',
  model: { name: 'raw' },
  finetune: { schedule: 'off', on_drift: false, max_time: '8s', max_load: 32, max_temperature: 110 },
  streams: [{ match: 'slow/{n}', payload: 'number', interval: '1m', horizon: '12m', name: '{n}' }],
  http: { listen: 'off' },
};

function makeTuned(dir: string): void {
  rmSync(dir, { recursive: true, force: true });
  const models = join(dir, 'models');
  mkdirSync(models, { recursive: true });
  const network = forecastSpec({ cell: 'gru', layers: 1, hidden: 16, width: 16 });
  new ModelRegistry(models, null).save(untrainedModel(network, { name: 'raw', leads: 12 }));
  recordMachines(dir, TUNED);
}

describe.skipIf(!ready || !canBoot)('a fresh Debian 12 with systemd, amd64', () => {
  let debian: Booted;
  const unit = 'gatecast.service';

  beforeAll(async () => {
    makeDebian();
    call('dpkg', '--purge', 'gatecast');
    execFileSync('cp', [file('amd64'), join(ROOT, 'root/gatecast.deb')]);
    makeTuned(join(ROOT, 'root/tuned'));
    writeFileSync(join(ROOT, 'root/tuned.yaml'), JSON.stringify(TUNED));
    debian = await Booted.boot(ROOT);
    debian.mustCall('rm', '/usr/sbin/policy-rc.d');
    debian.mustCall('sh', '-c', 'echo "127.0.0.1 localhost" >/etc/hosts');
    await waitFor(
      'Mosquitto',
      () => debian.call('systemctl', 'is-active', 'mosquitto').code === 0,
      4 * MINUTE,
    );
    for (const name of ['plant/press', 'plant/mill']) startSensorInside(name);
  }, 10 * MINUTE);
  afterAll(() => debian?.stop());

  /** A machine that reports twice a second. */
  function startSensorInside(topic: string): void {
    const lines =
      'while sleep 0.5; do n=$((n + 1)); echo "{\\"vibration\\": $((20 + n % 7)).$((n % 10))}"; done';
    const script = `${lines} | exec mosquitto_pub -q 1 -l -t ${topic}`;
    debian.mustCall('systemd-run', '--quiet', `--unit=${topic.replace('/', '-')}`, 'sh', '-c', script);
  }
  const forecast = (stream: string): { readonly p50: readonly number[] } =>
    JSON.parse(
      debian.mustCall('mosquitto_sub', '-C', '1', '-W', '240', '-t', `gatecast/+/forecast/${stream}`),
    );
  const isActive = () => debian.property('ActiveState') === 'active';

  it('needs three commands from nothing to a forecast of the service', { timeout: 15 * MINUTE }, () => {
    const installed = debian.mustCall('apt-get', 'install', '--yes', '/root/gatecast.deb');
    expect(installed).toContain('sudo gatecast init');
    expect(debian.property('ActiveState')).toBe('inactive');
    const found = debian.mustCall('gatecast', 'init', '--listen', '10s', '--yes', '--start');
    expect(found).toContain('mqtt://127.0.0.1:1883  (this machine)');
    expect(found).toContain('the service runs');
    const { p50 } = forecast('press/vibration');
    expect(p50.length).toBeGreaterThan(0);
    for (const value of p50) expect(value).toBeCloseTo(23, -1);
  });

  it('runs in the sandbox of its unit, as its own user', () => {
    expect(isActive()).toBe(true);
    const status = readFileOf(`/proc/${debian.property('MainPID')}/status`);
    const user = debian.mustCall('id', '-u', 'gatecast').trim();
    expect(status).toMatch(new RegExp(`^Uid:\\s+${user}\\s+${user}\\s`, 'm'));
    expect(status).toMatch(/^CapEff:\s+0+$/m);
    expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
    expect(status).toMatch(/^Seccomp:\s+2$/m);
    // Its own /dev, and no way to write outside of its folder.
    const mounts = readFileOf(`/proc/${debian.property('MainPID')}/mountinfo`);
    expect(mounts).toMatch(/ \/ \/ ro[, ]/);
    expect(mounts).toMatch(/ \/var\/lib\/gatecast rw[, ]/);
    expect(debian.property('StatusText')).toMatch(/^\d+ streams?$/);
    expect(debian.mustCall('journalctl', '--unit', unit, '--output=cat')).not.toMatch(
      /EPERM|EACCES|Permission denied/,
    );
  });

  it('a reload takes a new rule without a restart', { timeout: 15 * MINUTE }, () => {
    const before = debian.property('MainPID');
    for (const name of ['hall/oven', 'hall/press']) startSensorInside(name);
    debian.mustCall('gatecast', 'init', '--merge', '--no-start', '--listen', '10s', '--yes');
    debian.mustCall('systemctl', 'reload', 'gatecast');
    // Another press/vibration exists, so the rule of this hall puts the hall before its names.
    expect(forecast('hall/oven/vibration').p50.length).toBeGreaterThan(0);
    expect(debian.property('MainPID')).toBe(before);
  });

  it('fine-tunes in the sandbox of its unit, within its limits, and takes up the better model', {
    timeout: 15 * MINUTE,
  }, async () => {
    const shell = (...lines: readonly string[]): string => debian.mustCall('sh', '-ec', lines.join('\n'));
    const [config, data] = ['/etc/gatecast/gatecast.yaml', '/var/lib/gatecast'];
    shell(
      'systemctl stop gatecast',
      `cp -p ${config} /root/before.yaml && mkdir /root/before && mv ${data}/* /root/before`,
      `cat /root/tuned.yaml >${config} && cp -r /root/tuned/. ${data} && chown -R gatecast: ${data}`,
      'systemctl start gatecast',
    );
    interface Group {
      readonly champion: string;
      readonly last_run: { readonly status: string; readonly reason: string };
    }
    const group = (): Group =>
      JSON.parse(
        debian.mustCall('mosquitto_sub', '-C', '1', '-W', '240', '-t', 'gatecast/tuned/model/default'),
      );
    const to = ['--to', 'tuned', '--broker', TUNED.mqtt.url, '--wait', '5s'];
    // The service may not be connected yet; with enough history it begins by itself, which may be now.
    await waitFor(
      'the start of the run',
      () => {
        const { code, text } = debian.call('gatecast', 'request', 'finetune', ...to);
        return code === 0 || text.includes('BUSY');
      },
      4 * MINUTE,
    );
    const agent = debian.property('MainPID');
    const trainer = await waitFor(
      'the trainer',
      () => {
        const [pid = ''] = readFileOf(`/proc/${agent}/task/${agent}/children`).split(' ');
        return pid !== '' && readFileOf(`/proc/${pid}/oom_score_adj`).trim() === '1000' ? pid : null;
      },
      4 * MINUTE,
    );
    const status = readFileOf(`/proc/${trainer}/status`);
    expect(status).toMatch(/^CapEff:\s+0+$/m);
    expect(status).toMatch(/^Seccomp:\s+2$/m);
    expect(readFileOf(`/proc/${trainer}/stat`).split(') ').at(-1)?.split(' ')[16]).toBe('19');
    expect(readFileOf(`/proc/${trainer}/cgroup`)).toContain(`/${unit}`);
    expect(readFileOf(`/proc/${trainer}/mountinfo`)).toBe(readFileOf(`/proc/${agent}/mountinfo`));

    let peakMb = 0;
    const run = await waitFor(
      'the end of the run',
      () => {
        const peaks = [agent, trainer].map((pid) => {
          const { text } = debian.call('cat', `/proc/${pid}/status`);
          return Number(/^VmHWM:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) / 1024;
        });
        peakMb = Math.max(peakMb, (peaks[0] ?? 0) + (peaks[1] ?? 0));
        const { last_run } = group();
        return ['never', 'running', 'paused'].includes(last_run.status) ? null : last_run;
      },
      4 * MINUTE,
    );
    console.log(`agent and trainer together in the sandbox: at most ${peakMb.toFixed(0)} MB`);
    expect(peakMb * 2 ** 20).toBeLessThan(Number(debian.property('MemoryHigh')));
    const log = debian.mustCall('journalctl', '--unit', unit, '--output=cat');
    expect(run, log).toMatchObject({ status: 'promoted', reason: expect.stringMatching(/better by/) });
    expect(group().champion).toMatch(/^default-\d{8}-\d{6}$/);
    expect(log).not.toMatch(/EPERM|EACCES|EROFS|Permission denied|Operation not permitted/);
    expect(debian.property('MainPID')).toBe(agent);
    shell(
      'systemctl stop gatecast',
      `cat /root/before.yaml >${config} && rm -r ${data}/* && mv /root/before/* ${data}`,
      'systemctl start gatecast',
    );
    expect(forecast('press/vibration').p50.length).toBeGreaterThan(0);
  });

  it('is started again by the watchdog when it stands still', { timeout: 15 * MINUTE }, async () => {
    expect(debian.property('WatchdogUSec')).toBe('1min');
    // The same with a shorter limit, for the test.
    const dropIn = '/run/systemd/system/gatecast.service.d';
    const limits = '[Service]\\nWatchdogSec=15\\nTimeoutAbortSec=1\\nRestartSec=1\\n';
    debian.mustCall('sh', '-c', `mkdir -p ${dropIn} && printf '${limits}' >${dropIn}/test.conf`);
    debian.mustCall('systemctl', 'daemon-reload');
    debian.mustCall('systemctl', 'restart', 'gatecast');
    const [before, starts] = [debian.property('MainPID'), Number(debian.property('NRestarts'))];
    process.kill(pidOutside(before), 'SIGSTOP');
    await waitFor(
      'another start',
      () => Number(debian.property('NRestarts')) > starts && isActive(),
      4 * MINUTE,
    );
    expect(debian.property('MainPID')).not.toBe(before);
    expect(forecast('press/vibration').p50.length).toBeGreaterThan(0);
    debian.mustCall('rm', '-r', dropIn);
    debian.mustCall('systemctl', 'daemon-reload');
  });

  it('an upgrade restarts it and keeps config and data; a purge leaves nothing', {
    timeout: 15 * MINUTE,
  }, async () => {
    const config = debian.mustCall('sha256sum', '/etc/gatecast/gatecast.yaml');
    const before = debian.property('MainPID');
    debian.mustCall('dpkg', '--install', '/root/gatecast.deb');
    await waitFor('the service after the upgrade', isActive, 4 * MINUTE);
    expect(debian.property('MainPID')).not.toBe(before);
    expect(debian.mustCall('sha256sum', '/etc/gatecast/gatecast.yaml')).toBe(config);
    expect(forecast('press/vibration').p50.length).toBeGreaterThan(0);
    debian.mustCall('apt-get', 'purge', '--yes', 'gatecast');
    expect(debian.call('systemctl', 'cat', unit).code).not.toBe(0);
    expect(debian.call('sh', '-c', 'grep -ls [/]usr/lib/gatecast/ /proc/[0-9]*/cmdline').text).not.toContain(
      '/proc',
    );
    for (const path of ['/etc/gatecast', '/var/lib/gatecast', '/usr/lib/gatecast', '/usr/bin/gatecast'])
      expect(debian.call('test', '-e', path).code, path).toBe(1);
    expect(debian.call('id', 'gatecast').code).not.toBe(0);
  });

  const readFileOf = (path: string): string => debian.mustCall('cat', path);
  /** The number of a process inside, as this machine counts. */
  function pidOutside(pid: string): number {
    const found = readdirSync('/proc').find((name) => {
      if (!/^\d+$/.test(name)) return false;
      try {
        const numbers = /^NSpid:\s+\d+\s+(\d+)$/m.exec(readFileSync(`/proc/${name}/status`, 'utf8'));
        return (
          numbers?.[1] === pid && readFileSync(`/proc/${name}/cmdline`, 'utf8').includes('/usr/lib/gatecast/')
        );
      } catch {
        return false;
      }
    });
    expect(found, `process ${pid}`).toBeDefined();
    return Number(found);
  }
});

describe('a Raspberry Pi 4, emulated', () => {
  /**
   * Debian's own way to have packages of another architecture: apt takes what the arm64 package depends on for arm64 too. Its
   * programs run in a user namespace that has the emulator registered for them; the machine itself does not.
   */
  it.skipIf(!ready)(
    'apt installs the package with what it depends on, and its command runs',
    { timeout: 15 * MINUTE },
    () => {
      makeDebian();
      call('dpkg', '--purge', 'gatecast');
      execFileSync('cp', [file('arm64'), join(ROOT, 'root/gatecast-arm64.deb')]);
      mustCall('dpkg', '--add-architecture', 'arm64');
      mustCall('apt-get', 'update');
      const local = '/root/gatecast-arm64.deb';
      const installed = mustCall('apt-get', 'install', '--yes', '--no-install-recommends', local);
      expect(installed).toContain('sudo gatecast init');
      expect(mustCall('dpkg', '--status', 'gatecast')).toMatch(
        /^Status: install ok installed$[\s\S]*^Architecture: arm64$/m,
      );
      const magic =
        '\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00';
      const mask = `${'\\xff'.repeat(7)}\\x00${'\\xff'.repeat(8)}\\xfe${'\\xff'.repeat(3)}`;
      const script = [
        'set -e',
        'mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc',
        `printf '%s' ':arm64:M::${magic}:${mask}:${emulator}:F' >/proc/sys/fs/binfmt_misc/register`,
        `mount --rbind /proc "${ROOT}/proc"`,
        `exec chroot "${ROOT}" "$@"`,
      ].join('\n');
      const inPi = (...command: readonly string[]): string => {
        const options = ['--user', '--map-root-user', '--mount', 'sh', '-c', script, 'sh', ...command];
        const { status, stdout, stderr } = spawnSync('unshare', options, {
          encoding: 'utf8',
          env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', QEMU_CPU: 'cortex-a72' },
          timeout: 15 * MINUTE,
        });
        expect(status, stdout + stderr).toBe(0);
        return stdout;
      };
      expect(inPi('gatecast', '--version')).toMatch(/^\d+\.\d+\.\d+/);
      expect(inPi('/usr/lib/gatecast/bin/node', '-p', 'process.arch')).toBe('arm64\n');
      mustCall('dpkg', '--purge', 'gatecast');
      for (const path of ['/etc/gatecast', '/var/lib/gatecast', '/usr/lib/gatecast', '/usr/bin/gatecast'])
        expect(existsSync(join(ROOT, path)), path).toBe(false);
    },
  );

  const folder = join(CACHE, 'pi4');
  const emulator = resolve('.cache/arm64/root/usr/bin/qemu-aarch64-static');
  const environment = {
    ...process.env,
    QEMU_LD_PREFIX: resolve('.cache/arm64/boards/pi4'),
    QEMU_CPU: 'cortex-a72',
  };
  const program = [
    join(folder, 'usr/lib/gatecast/bin/node'),
    join(folder, 'usr/lib/gatecast/dist/gatecast.js'),
  ];

  beforeAll(() => {
    rmSync(folder, { recursive: true, force: true });
    execFileSync('dpkg-deb', ['--extract', file('arm64'), folder]);
  });

  it('runs the doctor with the kernels of that board', { timeout: 15 * MINUTE }, () => {
    const { stdout, stderr } = spawnSync(emulator, [...program, 'doctor'], {
      encoding: 'utf8',
      env: environment,
      timeout: 15 * MINUTE,
    });
    expect(stdout, stderr).toMatch(/^ok +system +Node \d+\.\d+\.\d+, linux arm64$/m);
    expect(stdout).toMatch(/^ok +model +base/m);
  });

  it('writes a config from what it hears, then forecasts and stores what a sensor sends', {
    timeout: 15 * MINUTE,
  }, async () => {
    const broker = await startMosquitto();
    const eyes = await watch(broker.url, 'gatecast/#');
    const silence = startSensor(broker.port);
    const config = join(folder, 'gatecast.yaml');
    let log = '';
    const start = (...args: readonly string[]) => {
      const child = spawn(emulator, [...program, ...args, '-c', config], {
        env: environment,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      child.stderr.on('data', (data) => {
        log += data;
      });
      return child;
    };
    const login = ['--broker', broker.url, '--node', 'pi', '--listen', '5m'];
    let child = start('init', ...login, '--yes');
    try {
      // Once it has heard the sensor, as an owner would who sees it.
      await waitFor(
        'a message from the sensor',
        () => {
          if (child.exitCode !== null) throw new Error(`it ended:\n${log}`);
          return /, [1-9]\d* messages on 1 topic/.test(log);
        },
        4 * MINUTE,
      );
      child.kill('SIGINT');
      await stopped(child);
      expect(child.exitCode, log).toBe(0);
      const written = readFileSync(config, 'utf8');
      expect(written).toContain('match: "zigbee2mqtt/{device}"');
      const text = written
        .replace(/interval: \S+/, 'interval: 2s')
        .replace(/horizon: \S+/, 'horizon: 20s')
        .replace(/data_dir: \S+/, 'data_dir: data');
      expect(text.match(/: (2s|20s|data)$/gm)).toHaveLength(3);
      // The port of the page may be taken on this machine.
      writeFileSync(config, `${text}\nhttp: { listen: "off" }\n`);

      child = start('run');
      await waitFor(
        'a forecast',
        () => {
          if (child.exitCode !== null) throw new Error(`it ended:\n${log}`);
          return eyes.on('gatecast/pi/forecast/cellar/temperature').length > 0;
        },
        4 * MINUTE,
      );
      child.kill('SIGTERM');
      await stopped(child);
      expect(child.exitCode, log).toBe(0);
      expect(readdirSync(join(folder, 'data')).some((name) => name.endsWith('.db'))).toBe(true);
    } finally {
      child.kill('SIGKILL');
      silence();
      await eyes.close();
      await broker.stop();
    }
  });
});
