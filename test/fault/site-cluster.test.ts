// Three nats-servers with the shipped configuration: TLS, an account with least rights, three copies of everything.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PeerInfo } from '@nats-io/jetstream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bucketNames } from '../../src/site/names.ts';
import { openSite, type Site, type SiteConfig } from '../../src/site/nats.ts';
import { readPartitions } from '../../src/site/status.ts';
import { canRun } from '../support/child.ts';
import { type Daemon, ensureBuilt } from '../support/daemon.ts';
import { hasMosquitto, type Mosquitto, startMosquitto } from '../support/mosquitto.ts';
import { hasNats, type NatsServer } from '../support/nats.ts';
import {
  isExcused,
  listen,
  type Outage,
  type Published,
  siteConfig,
  textOf,
  undisturbed,
  violations,
} from '../support/site.ts';
import { makeCertificates, startShippedServers } from '../support/site-cluster.ts';
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
const hasOpenssl = canRun('openssl', ['version'], 'a site with TLS');
const STREAMS = 16;

const isCurrent = ({ current, offline }: PeerInfo): boolean => current && offline !== true;

describe.skipIf(!hasNats || !hasMosquitto || !hasOpenssl)('a site on three nats-servers', () => {
  let servers: NatsServer[] = [];
  let broker: Mosquitto;
  let dir: string;
  let observer: Site;
  let seen: Published[];
  const members: Daemon[] = [];

  const login = (user: string, password: string): Partial<SiteConfig> => {
    const file = join(dir, `${user}.password`);
    writeFileSync(file, `${password}\n`);
    return { user, password_file: file, tls: { ca_file: join(dir, 'ca.pem') } };
  };
  const urls = () => servers.map(({ url }) => url.replace('nats:', 'tls:'));
  const member = (node: string, role: MemberOptions['role'], user: Partial<SiteConfig>): MemberOptions => ({
    node,
    role,
    mqttUrl: broker.url,
    natsUrls: urls(),
    dir,
    site: user,
  });

  beforeAll(async () => {
    ensureBuilt();
    dir = tempDir();
    makeCertificates(dir);
    broker = await startMosquitto();
    servers = await startShippedServers(dir);
  });

  afterAll(async () => {
    for (const { process } of members) process.kill('SIGKILL');
    await observer?.nc.close();
    await Promise.all(servers.map((server) => server.stop()));
    await broker?.stop();
  });

  const owned = () =>
    waitFor('all partitions to have an owner', async () =>
      (await readPartitions(observer).catch(() => [])).every(({ owner }) => owner !== null),
    );

  /** Every copy of every stream is up to date: only then may another server be lost. */
  const whole = () =>
    waitFor('all copies to be up to date', async () => {
      try {
        let streams = 0;
        for await (const { cluster } of observer.jsm.streams.list()) {
          if (!cluster?.leader || cluster.replicas?.length !== 2 || !cluster.replicas.every(isCurrent))
            return false;
          streams++;
        }
        // Of the four partitions, and the buckets.
        return streams === 4 + Object.keys(bucketNames('plant')).length;
      } catch {
        return false;
      }
    });
  /** Whether so many forecasts of each stream have been published since then. */
  const all = (since: number, times: number): boolean => {
    const counts = new Map<string, number>();
    for (const { stream } of seen.slice(since)) counts.set(stream, (counts.get(stream) ?? 0) + 1);
    return counts.size === STREAMS && [...counts.values()].every((count) => count >= times);
  };

  const eventually = async (what: string, condition: () => Promise<boolean> | boolean, timeoutMs: number) => {
    try {
      await waitFor(what, condition, timeoutMs);
    } catch (cause) {
      const said = members.map(({ output }) => output().slice(-3000)).join('\n\n');
      throw new Error(`${what}: never; the members said:\n${said}`, { cause });
    }
  };

  it('is created, and served with the rights of the shipped accounts; the loss of a server costs nothing', async () => {
    const operator = login('operator', 'change-me-1');
    const file = memberFile(member('operator', ['worker'], operator));
    await waitFor('a leader', () =>
      command(['site', 'create', '-c', file, '--partitions', '4', '--replicas', '3', '--ttl', '3s']).catch(
        () => null,
      ),
    );
    observer = await openSite(siteConfig(urls(), operator), 'observer');
    seen = listen(observer.nc);
    const worker = login('worker', 'change-me-3');
    members.push(
      await startMember(member('bridge', ['bridge'], login('bridge', 'change-me-2'))),
      await startMember(member('one', ['worker'], worker)),
      await startMember(member('two', ['worker'], worker)),
    );
    const sensors = await Sensors.connect(broker.url, STREAMS);
    sensors.start();
    await owned();
    await waitFor(
      'forecasts of all streams',
      () => new Set(seen.map(({ stream }) => stream)).size === STREAMS,
    );
    // Whoever leads the logs: one server after the other is killed and comes back.
    const outages: Outage[] = [];
    for (const server of servers) {
      await whole();
      const fromMs = Date.now() - 5000;
      const before = seen.length;
      server.signal('SIGKILL');
      await eventually('forecasts of all streams for seconds without a server', () => all(before, 4), 60_000);
      await server.restart();
      await whole();
      const after = seen.length;
      await eventually('forecasts of all streams with all servers', () => all(after, 2), 40_000);
      outages.push([fromMs, Date.now()]);
    }
    await sensors.stop();
    await waitFor(
      'all readings in the logs',
      async () => (await undisturbed(observer, null).catch(() => null))?.readings === sensors.sent,
    );
    expect(await members[0].end('SIGTERM')).toBe(0);
    await sleep(1000);
    const { model } = JSON.parse(seen[0].text) as { model: { id: string; version: string } };
    const { texts, readings, late } = await undisturbed(observer, shippedModel(), textOf(model));
    // The listener was without a server for a moment, too.
    const found = violations(seen, texts).filter(
      (text) => !text.startsWith('never published') && !isExcused(text, outages),
    );
    expect(found).toEqual([]);
    expect(readings).toBe(sensors.sent);
    expect(late).toEqual([]);
    for (const { output } of members) expect(output()).not.toMatch(/permissions violation/i);
  });

  it('gives each user no more rights than it needs', async () => {
    const worker = await openSite(siteConfig(urls(), login('worker', 'change-me-3')), 'test');
    await expect(
      worker.js.publish('gatecast.plant.in.0', 'x', { timeout: 1000, retries: 0 }),
    ).rejects.toThrow();
    await expect(worker.jsm.streams.delete('gatecast-plant-in-0')).rejects.toThrow();
    await worker.nc.close();
    const bridge = await openSite(siteConfig(urls(), login('bridge', 'change-me-2')), 'test');
    await expect(bridge.state.put('p.0', 'x')).rejects.toThrow();
    await expect(bridge.jsm.streams.delete('gatecast-plant-in-0')).rejects.toThrow();
    await bridge.nc.close();
  });

  it('says what is wrong with a login, a CA or an address, and goes on trying', async () => {
    const wrong = join(dir, 'wrong.password');
    writeFileSync(wrong, 'no');
    const cases: [string, Partial<SiteConfig>, RegExp][] = [
      [
        'login',
        { user: 'worker', password_file: wrong, tls: { ca_file: join(dir, 'ca.pem') } },
        /Authorization|authenti/i,
      ],
      ['no-ca', { user: 'worker', password_file: wrong }, /certificate/i],
      [
        'no-file',
        { user: 'worker', password_file: join(dir, 'none'), tls: { ca_file: join(dir, 'ca.pem') } },
        /none cannot be read/,
      ],
    ];
    for (const [name, site, text] of cases) {
      const file = memberFile(member(name, ['worker'], site));
      expect(await command(['site', 'status', '-c', file], 1)).toMatch(text);
    }
  });
});
