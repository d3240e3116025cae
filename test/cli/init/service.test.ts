/**
 * `sudo gatecast init` where the package is installed: /etc is an overlay in a mount namespace of its own, with the user of the
 * service and a `systemctl` that only notes what it is asked.
 */
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import mqtt from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureBuilt } from '../../support/daemon.ts';
import { hasMosquitto, type Mosquitto, startMosquitto } from '../../support/mosquitto.ts';

const PROGRAM = fileURLToPath(new URL('../../../dist/gatecast.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'gatecast-service-'));
afterAll(() => rmSync(folder, { recursive: true }));

const USER = 64_123;
const PREPARE = `
set -e
mount -t tmpfs tmpfs ${folder}/over
mkdir ${folder}/over/upper ${folder}/over/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=${folder}/over/upper,workdir=${folder}/over/work /etc
rm -rf /etc/gatecast
echo 'gatecast:x:${USER}:${USER}::/var/lib/gatecast:/usr/sbin/nologin' >>/etc/passwd
echo 'gatecast:x:${USER}:' >>/etc/group
install -d -m 0750 -o root -g gatecast /etc/gatecast
`;
mkdirSync(join(folder, 'over'));
const isolated =
  process.getuid?.() === 0 && spawnSync('unshare', ['--mount', 'sh', '-c', PREPARE]).status === 0;
if (!isolated) console.warn('SKIPPED: the walk of init with a service needs root and overlay mounts');
const hasCredentials = spawnSync('systemd-creds', ['--version']).status === 0;
if (!hasCredentials) console.warn('SKIPPED: credentials need systemd-creds (apt-get install systemd)');

describe.skipIf(!isolated || !hasMosquitto)('gatecast init with the service installed', () => {
  let broker: Mosquitto;
  beforeAll(async () => {
    ensureBuilt();
    const passwords = join(folder, 'passwords');
    writeFileSync(passwords, '', { mode: 0o600 });
    execFileSync('mosquitto_passwd', ['-b', passwords, 'me', 'right'], { stdio: 'ignore' });
    writeFileSync(join(folder, 'typed'), 'right\n', { mode: 0o600 });
    broker = await startMosquitto(`allow_anonymous false\npassword_file ${passwords}`);
    const client = await mqtt.connectAsync(broker.url, { username: 'me', password: 'right' });
    await client.publishAsync('zigbee2mqtt/cellar', '{"temperature":4.5}', { retain: true });
    await client.endAsync();
    mkdirSync(join(folder, 'bin'));
    writeFileSync(join(folder, 'bin/systemctl'), `#!/bin/sh\necho "$@" >>${folder}/asked\n`, { mode: 0o755 });
  });
  afterAll(() => broker?.stop());

  /** Runs init, then the shell commands in the same namespace, and gives what they print. */
  async function walk(options: string, then: string): Promise<string> {
    rmSync(join(folder, 'asked'), { force: true });
    const init = `${process.execPath} ${PROGRAM} init --broker ${broker.url} --username me --password-file ${folder}/typed --listen 4s --yes --start ${options}`;
    const script = `${PREPARE}\nPATH=${folder}/bin:$PATH\numask 077\n${init} >&2\n${then}`;
    const { stdout } = await promisify(execFile)('unshare', ['--mount', 'sh', '-c', script]);
    return stdout;
  }
  const asked = () => readFileSync(join(folder, 'asked'), 'utf8').trim().split('\n');
  const AS_SERVICE = `setpriv --reuid=${USER} --regid=${USER} --clear-groups`;

  it('leaves files that the service can read and others cannot, and starts it', async () => {
    const shown = await walk(
      '',
      `cd /etc/gatecast; stat -c '%n %u:%g %a' *; ${AS_SERVICE} cat gatecast.yaml mqtt-password`,
    );
    expect(shown).toContain(`gatecast.yaml 0:${USER} 640\nmqtt-password ${USER}:${USER} 600\n`);
    expect(shown).toContain('password_file: /etc/gatecast/mqtt-password');
    expect(shown).toMatch(/\nright\n$/);
    // The unit's own folder.
    expect(shown).not.toMatch(/^data_dir/m);
    expect(asked().slice(-3)).toEqual([
      'daemon-reload',
      'enable gatecast.service',
      'restart gatecast.service',
    ]);
  });

  it.skipIf(!hasCredentials)('keeps the password as a credential of the service alone', async () => {
    const shown = await walk(
      '--credential',
      `cd /etc/gatecast; ls; cat gatecast.yaml /etc/systemd/system/gatecast.service.d/*.conf
      systemd-creds decrypt --name=mqtt-password mqtt-password.cred - 2>/dev/null; grep -c right *`,
    ).catch((error: { stdout: string }) => error.stdout);
    expect(shown).toContain('gatecast.yaml\nmqtt-password.cred\n');
    expect(shown).toContain('password_file: /run/credentials/gatecast.service/mqtt-password');
    expect(shown).toContain(
      '[Service]\nLoadCredentialEncrypted=mqtt-password:/etc/gatecast/mqtt-password.cred\n',
    );
    expect(shown).toMatch(/\nrightgatecast.yaml:0\nmqtt-password.cred:0\n$/);
  });
});
