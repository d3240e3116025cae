// A site of processes against a real nats-server and a real Mosquitto: what the table in docs/site.md promises for each fault.
// The checker reads all readings that went in and all forecasts that came out.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Forecast } from '../../src/forecast/forecast.ts';
import type { Model } from '../../src/forecast/model.ts';
import { loadModel } from '../../src/model/pack.ts';
import { readModel } from '../../src/model/registry.ts';
import { FEATURES } from '../../src/series/features.ts';
import { assignPartitions } from '../../src/site/assignment.ts';
import { openSite, type Site } from '../../src/site/nats.ts';
import { shippedVariant, writeModelFolder } from '../remote/models.ts';
import { type Daemon, ensureBuilt } from '../support/daemon.ts';
import { hasMosquitto, type Mosquitto, startMosquitto } from '../support/mosquitto.ts';
import { hasNats, type NatsServer, startNatsServer } from '../support/nats.ts';
import {
  isExcused,
  listen,
  type Outage,
  type Published,
  siteConfig,
  textOf,
  verdict,
} from '../support/site.ts';
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
const STREAMS = 24;
const PARTITIONS = 8;

describe.skipIf(!hasNats || !hasMosquitto)('a site of processes', () => {
  beforeAll(() => ensureBuilt());

  let nats: NatsServer;
  let broker: Mosquitto;
  let observer: Site;
  let seen: Published[];
  let sensors: Sensors;
  const members = new Map<string, Daemon>();
  let dir: string;

  const member = (node: string, role: MemberOptions['role']): MemberOptions => ({
    node,
    role,
    mqttUrl: broker.url,
    natsUrls: [nats.url],
    dir,
  });
  const start = async (node: string, role: MemberOptions['role']): Promise<Daemon> => {
    const daemon = await startMember(member(node, role));
    members.set(node, daemon);
    return daemon;
  };

  /** A site with a bridge and two workers, and sensors that publish. */
  async function begin(workers = ['one', 'two']): Promise<void> {
    dir = tempDir();
    nats = await startNatsServer();
    broker = await startMosquitto();
    const file = memberFile(member('bridge', ['bridge']));
    await command(['site', 'create', '-c', file, '--partitions', String(PARTITIONS), '--ttl', '2s']);
    observer = await openSite(siteConfig([nats.url]), 'observer');
    seen = listen(observer.nc);
    await Promise.all(workers.map((node) => start(node, ['worker'])));
    await start('bridge', ['bridge']);
    sensors = await Sensors.connect(broker.url, STREAMS);
    await allOwned();
    sensors.start();
    await waitFor(
      'forecasts of all streams',
      () => new Set(seen.map(({ stream }) => stream)).size === STREAMS,
    );
  }

  const owners = async (): Promise<(string | null)[]> => {
    const { readPartitions } = await import('../../src/site/status.ts');
    return (await readPartitions(observer)).map(({ owner }) => owner);
  };
  const allOwned = (by?: readonly string[]) =>
    waitFor('all partitions to have an owner', async () =>
      (await owners()).every((owner) => owner !== null && (by === undefined || by.includes(owner))),
    );

  /** All that the broker acknowledged is in the logs, once. */
  async function check(...outages: Outage[]): Promise<void> {
    await sensors.stop();
    // The last buckets close, and all workers catch up; then time stands still.
    await sleep(4500);
    await members.get('bridge')?.end('SIGTERM');
    await sleep(1000);
    const model = shippedModel();
    const name = JSON.parse(seen[0].text) as { model: { id: string; version: string } };
    const found = await verdict(observer, seen, model, textOf(name.model));
    expect(found.violations.filter((text) => !isExcused(text, outages))).toEqual([]);
    expect(found.readings).toBe(sensors.sent);
    expect(found.late).toEqual([]);
    expect(found.texts.length).toBeGreaterThan(5 * STREAMS);
  }

  afterEach(async () => {
    for (const daemon of members.values()) {
      daemon.process.kill('SIGCONT');
      daemon.process.kill('SIGKILL');
    }
    members.clear();
    await observer?.nc.close();
    await nats?.stop();
    await broker?.stop();
  });

  it('goes on when a worker is killed: within 15 s others serve its partitions, and nothing is lost', async () => {
    await begin();
    members.get('one')?.process.kill('SIGKILL');
    const killedMs = performance.now();
    await allOwned(['two']);
    const tookMs = performance.now() - killedMs;
    expect(tookMs).toBeLessThan(15_000);
    await sleep(3000);
    await check();
  });

  it('gets nothing from a worker that is stopped for a while and continued', async () => {
    await begin();
    const stopped = members.get('one');
    stopped?.process.kill('SIGSTOP');
    await allOwned(['two']);
    await sleep(3000);
    stopped?.process.kill('SIGCONT');
    await waitFor('it to own partitions again', async () => (await owners()).includes('one'));
    await sleep(3000);
    await check();
  });

  it.each([
    [
      'killed and started again',
      async () => {
        nats.signal('SIGKILL');
        await sleep(3000);
        await nats.restart();
      },
    ],
    [
      // As a network that is cut: connections stay open and nothing comes through, for longer than the leases.
      'suspended for a while',
      async () => {
        nats.signal('SIGSTOP');
        await sleep(8000);
        nats.signal('SIGCONT');
      },
    ],
  ])('goes on when nats-server is %s', async (_, happens) => {
    await begin();
    const fromMs = Date.now() - 3000;
    await happens();
    await sleep(1000);
    const before = seen.length;
    await waitFor('forecasts again', () => seen.length > before + 3 * STREAMS);
    const outage: Outage = [fromMs, Date.now()];
    await check(outage);
  });

  it('takes no reading twice when a bridge is killed again and again', async () => {
    await begin();
    for (let round = 0; round < 4; round++) {
      members.get('bridge')?.process.kill('SIGKILL');
      await start('bridge', ['bridge']);
      await sleep(1500);
    }
    await check();
  });

  it('switches to another model while it runs, and a worker that starts later does, too', async () => {
    await begin();
    const file = memberFile(member('bridge', ['bridge']));
    const folder = writeModelFolder(join(dir, 'halved'), shippedVariant('halved', 0.5));
    const said = await command(['site', 'model', 'set', '-c', file, folder]);
    expect(said).toMatch(/halved is model 1 of the site.*\n.*forecast by it/);
    const of = (text: string) => (JSON.parse(text) as { model: { id: string; kind: string } }).model;
    const before = seen.length;
    await waitFor('forecasts of all by the new model', () => {
      const late = seen.slice(before).filter(({ text }) => of(text).id === 'halved');
      return new Set(late.map(({ stream }) => stream)).size === STREAMS;
    });
    members.get('one')?.process.kill('SIGKILL');
    members.get('two')?.process.kill('SIGKILL');
    await start('three', ['worker']);
    await allOwned(['three']);
    const later = seen.length;
    await waitFor('forecasts of the third', () => seen.length > later + 2 * STREAMS);
    expect(seen.slice(later).every(({ text }) => of(text).id === 'halved')).toBe(true);
    const damaged = writeModelFolder(join(dir, 'damaged'), shippedVariant('damaged', 2));
    writeFileSync(join(damaged, 'step.onnx'), 'x');
    expect(await command(['site', 'model', 'set', '-c', file, damaged], 1)).toMatch(/does not match/);
    await sensors.stop();
    await sleep(4500);
    await members.get('bridge')?.end('SIGTERM');
    await sleep(1000);
    const other = loadModel(readModel(folder), FEATURES);
    const base = shippedModel();
    const name = (model: Model | null) => textOf({ id: model?.id ?? '', version: model?.version ?? '' });
    const text = (forecast: Forecast, issuedMs: number, model: Model | null) =>
      name(model)(forecast, issuedMs);
    const found = await verdict(observer, seen, base, text, () => Promise.resolve(other));
    expect(found.violations).toEqual([]);
    expect(found.readings).toBe(sensors.sent);
  });

  it('moves each partition at most once for each worker that comes or goes: 4, 6, then 3', async () => {
    await begin(['w0', 'w1', 'w2', 'w3']);
    const present = new Set(['w0', 'w1', 'w2', 'w3']);
    const epochs = async () => {
      const { readPartitions } = await import('../../src/site/status.ts');
      return (await readPartitions(observer)).map(({ epoch }) => epoch);
    };
    /** Every worker has its share, and no other. */
    const settled = () =>
      waitFor('the partitions to be shared', async () => {
        const now = await owners();
        return now.join() === assignPartitions([...present].sort(), PARTITIONS).join();
      });
    await settled();
    let before = await epochs();
    const moved = async () => {
      await settled();
      const after = await epochs();
      expect(Math.max(...after.map((epoch, at) => epoch - before[at]))).toBeLessThanOrEqual(1);
      before = after;
    };
    for (const node of ['w4', 'w5']) {
      present.add(node);
      await start(node, ['worker']);
      await moved();
    }
    // One is drained, one ends, one is killed.
    const file = memberFile(member('bridge', ['bridge']));
    await command(['site', 'drain', '-c', file, 'w0']);
    present.delete('w0');
    await moved();
    expect(await members.get('w1')?.end('SIGTERM')).toBe(0);
    present.delete('w1');
    await moved();
    await members.get('w2')?.end('SIGKILL');
    present.delete('w2');
    await moved();
    await check();
  });
});
