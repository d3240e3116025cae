/**
 * The maintainer scripts of the Debian package as dpkg calls them: /etc, /var/lib and /run are empty in a mount namespace of
 * their own, and the programs that change services and users only record their arguments.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, it } from 'vitest';
import { tempDirs } from '../support/temp.ts';

const tempDir = tempDirs();
const isolated =
  process.getuid?.() === 0 &&
  spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/var/lib']).status === 0;
if (!isolated) console.warn('SKIPPED: the maintainer scripts of the package need root and mount namespaces');

/** A user exists from `useradd` to `userdel`. The folders belong to the user of the test. */
const STAND_INS: Readonly<Record<string, string>> = {
  'deb-systemd-invoke': '',
  'deb-systemd-helper': '',
  systemctl: '',
  useradd: 'touch "$CALLS.user"',
  userdel: 'rm "$CALLS.user"',
  getent: '[ -e "$CALLS.user" ]',
  install: 'while [ $# -gt 1 ]; do shift; done; mkdir -p "$1"',
};
const CONFIG = '/etc/gatecast/gatecast.yaml';

/** Runs shell lines with the scripts as functions. @returns the recorded calls since the last `: >"$CALLS"`, and the output */
function run(lines: string): { readonly calls: string[]; readonly output: string } {
  const dir = tempDir();
  const bin = join(dir, 'bin');
  mkdirSync(bin);
  for (const [name, script] of Object.entries(STAND_INS))
    writeFileSync(join(bin, name), `#!/bin/sh\necho "${name} $*" >>"$CALLS"\n${script}\n`, { mode: 0o755 });
  const calls = join(dir, 'calls');
  writeFileSync(calls, '');
  const { status, stdout, stderr } = spawnSync(
    'unshare',
    [
      '--mount',
      'sh',
      '-c',
      `set -e
for folder in /etc /var/cache /var/lib /run; do mount -t tmpfs tmpfs $folder; done
mkdir -p /run/systemd/system
for name in postinst prerm postrm; do eval "$name() { sh ${resolve('deploy/package')}/$name "\\$@"; }"; done
${lines}`,
    ],
    { encoding: 'utf8', env: { PATH: `${bin}:/usr/sbin:/usr/bin:/sbin:/bin`, CALLS: calls } },
  );
  expect(status, stdout + stderr).toBe(0);
  const recorded = readFileSync(calls, 'utf8').split('\n').slice(0, -1);
  rmSync(dir, { recursive: true });
  return { calls: recorded, output: stdout + stderr };
}

/** Calls that start, stop or restart the service. */
const changes = (calls: readonly string[]): string[] =>
  calls.filter((call) => /\b(start|restart|stop|try-restart|reload-or-restart|kill)\b/.test(call));

it.skipIf(!isolated)(
  'a fresh install enables the service, does not start it, and names the next command',
  () => {
    const { calls, output } = run('postinst configure ""; [ -d /etc/gatecast ] && [ -d /var/lib/gatecast ]');
    expect(changes(calls)).toEqual([]);
    expect(calls).toContain('systemctl daemon-reload');
    expect(calls.filter((call) => call.startsWith('useradd '))).toHaveLength(1);
    expect(calls).toContain('deb-systemd-helper enable gatecast.service');
    expect(calls.filter((call) => call.startsWith('install '))).toEqual([
      'install -d -m 0750 -o root -g gatecast /etc/gatecast',
      'install -d -m 0750 -o gatecast -g gatecast /var/lib/gatecast',
    ]);
    expect(output).toContain('sudo gatecast init');
  },
);

it.skipIf(!isolated)('an upgrade restarts the service once, after the new files are there', () => {
  const { calls, output } = run(
    `postinst configure ""; touch ${CONFIG}; : >"$CALLS"
prerm upgrade 0.2.0; postrm upgrade 0.2.0; postinst configure 0.1.0; [ -e ${CONFIG} ]`,
  );
  expect(changes(calls)).toEqual(['deb-systemd-invoke restart gatecast.service']);
  expect(calls).toContain('systemctl daemon-reload');
  expect(calls.at(-1)).toBe('deb-systemd-invoke restart gatecast.service');
  expect(output.match(/gatecast init/g)).toHaveLength(1);
});

it.skipIf(!isolated)('an upgrade without a config starts nothing', () => {
  const { calls } = run('postinst configure ""; : >"$CALLS"; postinst configure 0.1.0');
  expect(changes(calls)).toEqual([]);
});

it.skipIf(!isolated)('an install where a former one left its config starts the service', () => {
  const { calls, output } = run(`mkdir /etc/gatecast; touch ${CONFIG}; postinst configure ""`);
  expect(changes(calls)).toEqual(['deb-systemd-invoke start gatecast.service']);
  expect(output).not.toContain('gatecast init');
});

it.skipIf(!isolated)('no service is touched on a machine that systemd does not run', () => {
  const { calls } = run(
    `rmdir /run/systemd/system; mkdir /etc/gatecast; touch ${CONFIG}; postinst configure 0.1.0; prerm remove; postrm remove`,
  );
  expect(calls.filter((call) => /^(deb-systemd-invoke|systemctl) /.test(call))).toEqual([]);
});

it.skipIf(!isolated)('removing stops the service and keeps config and history', () => {
  const { calls } = run(
    `postinst configure ""; touch ${CONFIG} /var/lib/gatecast/gatecast.db; : >"$CALLS"
prerm remove; postrm remove; [ -e ${CONFIG} ] && [ -e /var/lib/gatecast/gatecast.db ]`,
  );
  expect(calls[0]).toBe('deb-systemd-invoke stop gatecast.service');
  expect(changes(calls)).toHaveLength(1);
  expect(calls.at(-1)).toBe('deb-systemd-helper mask gatecast.service');
});

it.skipIf(!isolated)('purging removes config, history, password and user', () => {
  const password = '/etc/systemd/system/gatecast.service.d';
  const manual = '/var/cache/man/cat1/gatecast.1.gz';
  const { calls } = run(
    `postinst configure ""; touch ${CONFIG} /var/lib/gatecast/gatecast.db
mkdir -p ${password} /var/cache/man/cat1; touch ${password}/mqtt-password.conf ${manual}; prerm remove; postrm remove; : >"$CALLS"
postrm purge; ! [ -e /etc/gatecast ] && ! [ -e /var/lib/gatecast ] && ! [ -e ${password} ] && ! [ -e ${manual} ]`,
  );
  expect(calls).toContain('deb-systemd-helper purge gatecast.service');
  expect(calls).toContain('deb-systemd-helper unmask gatecast.service');
  expect(calls).toContain('userdel gatecast');
  expect(changes(calls)).toEqual([]);
});

it.skipIf(!isolated)("purging keeps the administrator's own settings of the unit", () => {
  const own = '/etc/systemd/system/gatecast.service.d/own.conf';
  run(
    `postinst configure ""; mkdir -p ${own.replace('/own.conf', '')}; touch ${own}; postrm purge; [ -e ${own} ]`,
  );
});
