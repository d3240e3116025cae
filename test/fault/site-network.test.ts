// A worker whose network is cut: it runs in a network namespace of its own, and the link to the server goes down. Its connection stays
// open and nothing comes through, which neither side is told.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openSite, type Site } from '../../src/site/nats.ts';
import { readPartitions } from '../../src/site/status.ts';
import { type Daemon, ensureBuilt, spawnCommand } from '../support/daemon.ts';
import { freePort, hasMosquitto, type Mosquitto, startMosquitto } from '../support/mosquitto.ts';
import { hasNats, type NatsServer, startNatsFile } from '../support/nats.ts';
import { listen, type Published, siteConfig, textOf, verdict } from '../support/site.ts';
import {
  command,
  type MemberOptions,
  memberFile,
  Sensors,
  shippedModel,
  startMember,
} from '../support/site-process.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const tempDir = tempDirs();
const STREAMS = 16;
const PARTITIONS = 8;
/** Both ends of the link: the server's and the worker's. A range of RFC 3927, which nothing else uses. */
const NAMESPACE = `gatecast-${process.pid}`;
const OUTER = `gcast${process.pid % 100_000}`;
const HERE = '169.254.213.1';
const THERE = '169.254.213.2';

const ip = (...args: string[]): boolean => spawnSync('ip', args, { stdio: 'ignore' }).status === 0;

/** A namespace with a link to this one; false where the user may not make one. */
function makeNamespace(): boolean {
  const made =
    ip('netns', 'add', NAMESPACE) &&
    ip('link', 'add', OUTER, 'type', 'veth', 'peer', 'name', 'inner', 'netns', NAMESPACE) &&
    ip('addr', 'add', `${HERE}/30`, 'dev', OUTER) &&
    ip('link', 'set', OUTER, 'up') &&
    ip('-n', NAMESPACE, 'addr', 'add', `${THERE}/30`, 'dev', 'inner') &&
    ip('-n', NAMESPACE, 'link', 'set', 'inner', 'up') &&
    ip('-n', NAMESPACE, 'link', 'set', 'lo', 'up');
  if (!made) removeNamespace();
  return made;
}

function removeNamespace(): void {
  ip('link', 'delete', OUTER);
  ip('netns', 'delete', NAMESPACE);
}

const canCut = hasNats && hasMosquitto && makeNamespace();
if (canCut) removeNamespace();
else
  console.warn(
    'SKIPPED: a site whose network is cut needs nats-server, mosquitto, and the right to make network namespaces',
  );

describe.skipIf(!canCut)('a site', () => {
  beforeAll(() => ensureBuilt());

  let nats: NatsServer;
  let broker: Mosquitto;
  let observer: Site;
  let seen: Published[];
  let sensors: Sensors;
  const members: Daemon[] = [];

  afterEach(async () => {
    for (const { process } of members.splice(0)) process.kill('SIGKILL');
    await observer?.nc.close();
    await nats?.stop();
    await broker?.stop();
    removeNamespace();
  });

  const owners = async () => (await readPartitions(observer)).map(({ owner }) => owner);

  it('goes on without a worker whose network is cut, and with it when the network is back', async () => {
    expect(makeNamespace()).toBe(true);
    const dir = tempDir();
    const port = await freePort();
    nats = await startNatsFile(
      port,
      `listen: 0.0.0.0:${port}\nserver_name: gatecast_test\njetstream { store_dir: "DIR/js" }\n`,
    );
    broker = await startMosquitto();
    const member = (node: string, role: MemberOptions['role'], host = '127.0.0.1'): MemberOptions => ({
      node,
      role,
      mqttUrl: broker.url,
      natsUrls: [`nats://${host}:${port}`],
      dir,
    });
    await command([
      'site',
      'create',
      '-c',
      memberFile(member('bridge', ['bridge'])),
      '--partitions',
      String(PARTITIONS),
      '--ttl',
      '3s',
    ]);
    observer = await openSite(siteConfig([nats.url]), 'observer');
    seen = listen(observer.nc);
    members.push(
      await startMember(member('here', ['worker'])),
      await startMember(member('bridge', ['bridge'])),
    );
    // Its MQTT broker is out of reach, which a worker does not need.
    const there = spawnCommand('ip', [
      'netns',
      'exec',
      NAMESPACE,
      process.execPath,
      join('dist', 'gatecast.js'),
      'run',
      '-c',
      memberFile(member('there', ['worker'], HERE)),
    ]);
    members.push(there);
    const both = () =>
      waitFor(
        'both to own partitions',
        async () => new Set(await owners()).size === 2 && !(await owners()).includes(null),
        60_000,
      );
    await both();
    sensors = await Sensors.connect(broker.url, STREAMS);
    sensors.start();
    await waitFor(
      'forecasts of all streams',
      () => new Set(seen.map(({ stream }) => stream)).size === STREAMS,
      60_000,
    );
    expect(ip('link', 'set', OUTER, 'down')).toBe(true);
    await waitFor(
      'the other to own all',
      async () => (await owners()).every((owner) => owner === 'here'),
      15_000,
    );
    const before = seen.length;
    await waitFor(
      'forecasts of all by the other',
      () => new Set(seen.slice(before).map(({ stream }) => stream)).size === STREAMS,
      60_000,
    );
    expect(ip('link', 'set', OUTER, 'up')).toBe(true);
    await both();
    await sleep(3000);
    await sensors.stop();
    // The last buckets close, and both workers catch up.
    await sleep(4500);
    await members[1].end('SIGTERM');
    await sleep(1000);
    const name = JSON.parse(seen[0].text) as { model: { id: string; version: string } };
    const found = await verdict(observer, seen, shippedModel(), textOf(name.model));
    // What it had sent last, it sends again over its new connection: the same text, in its former epoch.
    expect(found.violations.filter((text) => !text.startsWith('sent twice'))).toEqual([]);
    expect(found.readings).toBe(sensors.sent);
    expect(found.late).toEqual([]);
  });
});
