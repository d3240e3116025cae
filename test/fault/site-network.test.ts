// A worker whose network is cut: it runs in a network namespace of its own, and the link to the server goes down. Its connection stays
// open and nothing comes through, which neither side is told.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ensureBuilt, spawnCommand } from '../support/daemon.ts';
import { freePort, hasMosquitto, startMosquitto } from '../support/mosquitto.ts';
import { hasNats, startNatsFile } from '../support/nats.ts';
import { memberFile } from '../support/site-process.ts';
import { SiteRun } from '../support/site-run.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

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

  let run: SiteRun | null = null;

  afterEach(async () => {
    await run?.end();
    run = null;
    removeNamespace();
  });

  it('goes on without a worker whose network is cut, and with it when the network is back', async () => {
    expect(makeNamespace()).toBe(true);
    const port = await freePort();
    const nats = await startNatsFile(
      port,
      `listen: 0.0.0.0:${port}\nserver_name: gatecast_test\njetstream { store_dir: "DIR/js" }\n`,
    );
    const site = new SiteRun(tempDir(), await startMosquitto(), [nats]);
    run = site;
    await site.create(site.member('bridge', ['bridge']), PARTITIONS, '3s');
    await site.open();
    await site.start(site.member('here', ['worker']));
    await site.start(site.member('bridge', ['bridge']));
    // Its MQTT broker is out of reach, which a worker does not need.
    const there = memberFile(site.member('there', ['worker'], { natsUrls: [`nats://${HERE}:${port}`] }));
    const program = [process.execPath, join('dist', 'gatecast.js'), 'run', '-c', there];
    site.members.set('there', spawnCommand('ip', ['netns', 'exec', NAMESPACE, ...program]));
    const shared = () =>
      waitFor('both to own partitions', async () => {
        const owners = new Set(await site.owners());
        return owners.has('here') && owners.has('there') && !owners.has(null);
      });
    await shared();
    await site.startSensors(STREAMS);
    await site.forecastsOf(STREAMS);
    expect(ip('link', 'set', OUTER, 'down')).toBe(true);
    await site.allOwned(['here']);
    const before = site.seen.length;
    await site.forecastsOf(STREAMS, (_, at) => at >= before);
    expect(ip('link', 'set', OUTER, 'up')).toBe(true);
    await shared();
    const after = site.seen.length;
    await site.forecastsOf(STREAMS, (_, at) => at >= after);
    await site.finish();
    const { violations, readings, late } = await site.verdict();
    // What it had sent last, it sends again over its new connection: the same text, in its former epoch.
    expect(violations.filter((text) => !text.startsWith('sent twice'))).toEqual([]);
    expect(readings).toBe(site.sensors.sent);
    expect(late).toEqual([]);
  });
});
