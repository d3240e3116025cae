// Three nats-servers with the shipped configuration: TLS, an account with least rights, three copies of everything.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PeerInfo } from '@nats-io/jetstream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bucketNames } from '../../src/site/names.ts';
import { openSite, type SiteConfig } from '../../src/site/nats.ts';
import { canRun } from '../support/child.ts';
import { hasMosquitto } from '../support/mosquitto.ts';
import { hasNats } from '../support/nats.ts';
import { isExcused, type Outage, siteConfig, violations } from '../support/site.ts';
import { command, type MemberOptions, memberFile } from '../support/site-process.ts';
import { SiteRun } from '../support/site-run.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const tempDir = tempDirs();
const hasOpenssl = canRun('openssl', ['version'], 'a site with TLS');
const STREAMS = 16;

const isCurrent = ({ current, offline }: PeerInfo): boolean => current && offline !== true;

describe.skipIf(!hasNats || !hasMosquitto || !hasOpenssl)('a site on three nats-servers', () => {
  let run: SiteRun;

  const login = (user: string, password: string): Partial<SiteConfig> => {
    const file = join(run.dir, `${user}.password`);
    writeFileSync(file, `${password}\n`);
    return { user, password_file: file, tls: { ca_file: join(run.dir, 'ca.pem') } };
  };
  const urls = () => run.servers.map(({ url }) => url.replace('nats:', 'tls:'));
  const member = (node: string, role: 'bridge' | 'worker', site: Partial<SiteConfig>): MemberOptions =>
    run.member(node, [role], { natsUrls: urls(), site });

  beforeAll(async () => {
    run = await SiteRun.cluster(tempDir());
  });

  afterAll(() => run?.end());

  /** Every copy of every stream is up to date: only then may another server be lost. */
  const whole = () =>
    waitFor('all copies to be up to date', async () => {
      try {
        let streams = 0;
        for await (const { cluster } of run.observer.jsm.streams.list()) {
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
    for (const { stream } of run.seen.slice(since)) counts.set(stream, (counts.get(stream) ?? 0) + 1);
    return counts.size === STREAMS && [...counts.values()].every((count) => count >= times);
  };

  const eventually = async (what: string, condition: () => Promise<boolean> | boolean) => {
    try {
      await waitFor(what, condition);
    } catch (cause) {
      const said = [...run.members.values()].map(({ output }) => output().slice(-3000)).join('\n\n');
      throw new Error(`${what}: never; the members said:\n${said}`, { cause });
    }
  };

  it('is created, and served with the rights of the shipped accounts; the loss of a server costs nothing', async () => {
    const operator = login('operator', 'change-me-1');
    const creator = member('operator', 'worker', operator);
    await waitFor('a leader', () => run.create(creator, 4, '3s', '--replicas', '3').catch(() => null));
    await run.open(urls(), operator);
    const worker = login('worker', 'change-me-3');
    await run.start(member('bridge', 'bridge', login('bridge', 'change-me-2')));
    await run.start(member('one', 'worker', worker));
    await run.start(member('two', 'worker', worker));
    await run.startSensors(STREAMS);
    await run.allOwned();
    await run.forecastsOf(STREAMS);
    // One server after the other is killed and started again, so each leader of a log is among them.
    const outages: Outage[] = [];
    for (const server of run.servers) {
      await whole();
      const fromMs = Date.now() - 5000;
      const before = run.seen.length;
      server.signal('SIGKILL');
      await eventually('forecasts of all streams for seconds without a server', () => all(before, 4));
      await server.restart();
      await whole();
      const after = run.seen.length;
      await eventually('forecasts of all streams with all servers', () => all(after, 2));
      outages.push([fromMs, Date.now()]);
    }
    await run.sensors.stop();
    await run.allLogged();
    expect(await run.members.get('bridge')?.end('SIGTERM')).toBe(0);
    await sleep(1000);
    const { texts, readings, late } = await run.undisturbed();
    // The listener was without a server for a moment, too.
    const found = violations(run.seen, texts).filter(
      (text) => !text.startsWith('never published') && !isExcused(text, outages),
    );
    expect(found).toEqual([]);
    expect(readings).toBe(run.sensors.sent);
    expect(late).toEqual([]);
    for (const { output } of run.members.values()) expect(output()).not.toMatch(/permissions violation/i);
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

  it('names what is wrong with a login or a CA', async () => {
    const wrong = join(run.dir, 'wrong.password');
    writeFileSync(wrong, 'no');
    const cases: [string, Partial<SiteConfig>, RegExp][] = [
      [
        'login',
        { user: 'worker', password_file: wrong, tls: { ca_file: join(run.dir, 'ca.pem') } },
        /Authorization|authenti/i,
      ],
      ['no-ca', { user: 'worker', password_file: wrong }, /certificate/i],
      [
        'no-file',
        { user: 'worker', password_file: join(run.dir, 'none'), tls: { ca_file: join(run.dir, 'ca.pem') } },
        /none cannot be read/,
      ],
    ];
    for (const [name, site, text] of cases) {
      const file = memberFile(member(name, 'worker', site));
      expect(await command(['site', 'status', '-c', file], 1)).toMatch(text);
    }
  });
});
