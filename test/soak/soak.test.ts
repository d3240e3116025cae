/**
 * The built daemon, a real Mosquitto, and faults at random instants of a seeded schedule: broker, network, disk, clock, kill,
 * stop, reload, fine-tuning, config pushes. What went in and what came out is compared at the end: no reading that the broker
 * accepted is lost or stored twice, no forecast goes back in time or has quantiles that cross, forecasts go on after every
 * fault, no refused push is ever reported as applied, memory does not grow. `GATECAST_SOAK_MINUTES` (20) and
 * `GATECAST_SOAK_SEED` (1) set its length and its schedule; 24 hours are for a release. It writes a report.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Reported } from '../../src/remote/contract.ts';
import { newKey, signed } from '../remote/gateway.ts';
import { canRun } from '../support/child.ts';
import { type Daemon, ensureBuilt, startDaemon } from '../support/daemon.ts';
import { hasMosquitto, type Mosquitto, startMosquitto, type Watcher, watch } from '../support/mosquitto.ts';
import { startProxy, type TcpProxy } from '../support/proxy.ts';
import { uniform } from '../support/random.ts';
import { sensorsConfig } from '../support/sensors.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const MINUTES = Number(process.env.GATECAST_SOAK_MINUTES ?? 20);
const SEED = Number(process.env.GATECAST_SOAK_SEED ?? 1);
/** Regular expression of the faults to inject; for the search of a cause. */
const ONLY = new RegExp(process.env.GATECAST_SOAK_FAULTS ?? '');
const PLACES = Array.from({ length: 20 }, (_, at) => `p${at}`);
const INTERVAL_MS = 1000;
const MB = 2 ** 20;
/** Answers with another time to the processes it is loaded into; of monotonic time it answers the truth. */
const FAKETIME = ['x86_64', 'aarch64']
  .map((arch) => `/usr/lib/${arch}-linux-gnu/faketime/libfaketime.so.1`)
  .find(existsSync);
if (FAKETIME === undefined)
  console.warn('SKIPPED: jumps of the clock need libfaketime (apt-get install faketime)');
/** Changes that a push may bring: without a break, with a new connection, with a restart. */
const CHANGES = [
  { log: { level: 'debug' } },
  { publish: { quantiles: [0.1, 0.5, 0.9] } },
  { mqtt: { keepalive: '6s' } },
  { max_streams: 1500 },
];
const REFUSED_VERSION = 1_000_000;
/** Forecasts are back so long after the end of a fault, at the latest. */
const BACK_WITHIN_MS = 30_000;
const PRLIMIT = canRun('prlimit', ['--version'], 'a disk that takes nothing (util-linux)');

interface LastRun {
  readonly status: string;
  readonly started: string | null;
  readonly reason: string;
}

interface Report {
  faults: Record<string, number>;
  sent: number;
  stored: number;
  refused: Record<string, number>;
  /** Of the last health message, since the last start. */
  dropped: Record<string, number>;
  forecasts: number;
  starts: number;
  slowestReturnMs: number;
  residentMb: number[];
  /** Runs of the trainer, by their last status; one that is `running` was interrupted. */
  finetunes: Record<string, number>;
  /** Pushes sent, and the last status that was reported of each. */
  pushes: Record<string, number>;
}

describe.skipIf(!hasMosquitto || !PRLIMIT)('soak', () => {
  const temp = tempDirs();
  /** Environment of a daemon whose clock can be set. */
  const CLOCK: Record<string, string> = {};
  const random = uniform(SEED);
  const wrong: string[] = [];
  const report: Report = {
    faults: {},
    sent: 0,
    stored: 0,
    refused: {},
    dropped: {},
    forecasts: 0,
    starts: 0,
    slowestReturnMs: 0,
    residentMb: [],
    finetunes: {},
    pushes: {},
  };
  const key = newKey('ops');
  let pushed = 0;
  /** By version. */
  const outcomes = new Map<number, string>();
  const runs = new Map<string, string>();
  let broker: Mosquitto;
  let proxy: TcpProxy;
  let eyes: Watcher;
  let daemon: Daemon;
  let dir: string;
  let newestMs = 0;
  /** When the watcher last got a message. */
  let heardMs = 0;
  /** Readings that the broker has not acknowledged. */
  const pending = new Set<Promise<unknown>>();
  const origins = new Map<string, number>();

  beforeAll(async () => {
    ensureBuilt();
    broker = await startMosquitto(
      // It saves at SIGTERM. To save at every change, it would sync the disk, and answer nobody while a loaded disk takes seconds.
      'allow_anonymous true\nmax_queued_messages 0',
    );
    proxy = await startProxy(broker.port);
    dir = temp();
    writeFileSync(join(dir, 'keys.jwks'), JSON.stringify({ keys: [key.jwk] }));
    setClock(0);
    if (FAKETIME !== undefined)
      Object.assign(CLOCK, {
        LD_PRELOAD: FAKETIME,
        DONT_FAKE_MONOTONIC: '1',
        FAKETIME_NO_CACHE: '1',
        FAKETIME_TIMESTAMP_FILE: join(dir, 'clock'),
      });
    eyes = await watch(broker.url, 'gatecast/#');
    eyes.client.on('message', (topic, payload) => check(topic, payload.toString()));
    await start();
  }, 180_000);
  afterAll(async () => {
    daemon?.process.kill('SIGKILL');
    await eyes?.close();
    await proxy?.stop();
    await broker?.stop();
  });

  async function start(): Promise<void> {
    const config = sensorsConfig(
      { node: 'cellar', url: proxy.url, dataDir: dir },
      { interval: `${INTERVAL_MS}ms`, horizon: '20s' },
      {
        lateness: '500ms',
        store: { max_size: '64MB' },
        finetune: { max_load: 32, max_time: '5s' },
        remote_config: { enabled: true, keys: join(dir, 'keys.jwks') },
        http: { listen: '127.0.0.1:0' },
      },
    );
    const settings = { ...config, mqtt: { ...config.mqtt, keepalive: '5s', max_backoff: '1s' } };
    daemon = await startDaemon(dir, settings, 60_000, CLOCK);
    report.starts++;
  }

  /** The daemon's clock is so far ahead of this one, s. */
  function setClock(aheadS: number): void {
    writeFileSync(join(dir, 'clock'), `${aheadS < 0 ? '' : '+'}${aheadS.toFixed(1)}`);
  }

  function check(topic: string, text: string): void {
    eyes.seen.length = 0;
    heardMs = Date.now();
    if (text === '') return;
    if (topic === 'gatecast/cellar/health') report.dropped = (JSON.parse(text) as Report).dropped;
    if (topic === 'gatecast/cellar/config/reported') checkReport(JSON.parse(text) as Reported);
    if (topic.startsWith('gatecast/cellar/model/')) {
      const { status, started, reason } = (JSON.parse(text) as { last_run: LastRun }).last_run;
      if (started !== null) runs.set(started, status === 'failed' ? `failed (${reason})` : status);
    }
    const place = /^gatecast\/cellar\/forecast\/([^/]+)$/.exec(topic)?.[1];
    if (place === undefined) return;
    const message = JSON.parse(text) as { origin: string } & Record<string, unknown>;
    const { origin } = message;
    const originMs = Date.parse(origin);
    // A retained or repeated one may come twice; an older one may not.
    if (originMs < (origins.get(place) ?? 0)) wrong.push(`${place}: ${origin} after a newer forecast`);
    origins.set(place, originMs);
    newestMs = Date.now();
    report.forecasts++;
    const quantiles = Object.keys(message)
      .filter((name) => /^p\d+$/.test(name))
      .sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)))
      .map((name) => message[name] as readonly (number | null)[]);
    if (quantiles.length < 3) wrong.push(`${place} ${origin}: ${quantiles.length} quantiles`);
    for (const [at, values] of quantiles.entries()) {
      const below = quantiles[at - 1];
      const crosses = (value: number | null, lead: number): boolean =>
        value === null || (below !== undefined && value < (below[lead] ?? Number.POSITIVE_INFINITY));
      if (values.length === 0 || values.some(crosses))
        wrong.push(`${place} ${origin}: ${JSON.stringify(quantiles)}`);
    }
  }

  /** What must be refused is. */
  function checkReport({ version, status, code }: Reported): void {
    if (version === null) return;
    if (version <= pushed) outcomes.set(version, status === 'rejected' ? `rejected ${code}` : status);
    else if (status !== 'rejected') wrong.push(`version ${version} is reported as ${status}`);
  }

  const resident = (): number =>
    (Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${daemon.process.pid}/status`, 'utf8'))?.[1]) *
      1024) /
    MB;
  const limit = (bytes: string): void => {
    spawnSync('prlimit', ['--pid', String(daemon.process.pid), `--fsize=${bytes}:`]);
  };
  const request = (verb: string): void => {
    eyes.client.publish(`gatecast/cellar/request/${verb}`, '{}', { qos: 1 });
  };
  const desire = (payload: string): void => {
    eyes.client.publish('gatecast/cellar/config/desired', payload, { qos: 1 });
  };
  /** What the daemon, the watcher and the broker say of themselves, for the search of a cause. */
  const situation = async (): Promise<string> => {
    const page = /page .*url=(\S+)/.exec(daemon.output())?.[1];
    const status = await fetch(`${page}/api/status`, { signal: AbortSignal.timeout(5000) })
      .then((answer) => answer.text())
      .catch(String);
    const watcher = {
      connected: eyes.client.connected,
      heardSecondsAgo: (Date.now() - heardMs) / 1000,
      unacknowledged: pending.size,
    };
    return [
      daemon.output().slice(-2000),
      `page: ${status}`,
      `watcher: ${JSON.stringify(watcher)}`,
      `broker: ${broker.output().slice(-2000)}`,
    ].join('\n');
  };
  /** Seconds between `least` and `most`, in ms. */
  const some = (least: number, most: number): number => (least + (most - least) * random()) * 1000;

  const FAULTS: Readonly<Record<string, () => Promise<void>>> = {
    'kill -9 and start': async () => {
      await daemon.end('SIGKILL');
      await sleep(some(0, 5));
      await start();
    },
    'SIGTERM and start': async () => {
      const end = await daemon.end('SIGTERM');
      if (end !== 0) wrong.push(`SIGTERM ended with ${end}`);
      await start();
    },
    'SIGSTOP for some seconds': async () => {
      daemon.process.kill('SIGSTOP');
      await sleep(some(1, 12));
      daemon.process.kill('SIGCONT');
    },
    'the network freezes': async () => {
      proxy.freeze();
      await sleep(some(1, 12));
      proxy.thaw();
    },
    'the network is cut': async () => {
      proxy.cut();
      await sleep(some(0, 8));
      proxy.restore();
    },
    'the broker is started again': async () => {
      broker.signal('SIGTERM');
      await broker.restart();
    },
    'the disk takes nothing': async () => {
      limit('1');
      await sleep(some(1, 10));
      limit('unlimited');
    },
    'reload at SIGHUP': async () => {
      daemon.process.kill('SIGHUP');
      await sleep(200);
    },
    'fine-tuning is asked for': async () => {
      request('finetune');
      await sleep(some(0, 3));
    },
    'a config is pushed': async () => {
      pushed += 1;
      const patch = CHANGES[Math.floor(random() * CHANGES.length)];
      const claims = { nowMs: Date.now(), version: pushed };
      desire(await signed(key, claims, { patch, probation: '2s' }));
      await sleep(some(0, 4));
    },
    'pushes that must be refused': async () => {
      const claims = { nowMs: Date.now(), version: REFUSED_VERSION };
      const config = { max_streams: 1 };
      desire(await signed(newKey('ops'), claims, { config }));
      desire(JSON.stringify({ version: REFUSED_VERSION, config }));
      desire((await signed(key, claims, { config })).slice(0, -9));
      desire(await signed(key, { ...claims, version: 0 }, { config }));
    },
    ...(FAKETIME !== undefined && {
      'the clock jumps': async () => {
        setClock(random() < 0.5 ? -200 * random() : 15 * random());
        await sleep(some(1, 10));
        setClock(0);
      },
    }),
    'junk on a sensor topic': async () => {
      for (const junk of ['{', '', '{"value":1e999}', `${'['.repeat(5000)}`, '{"value":"x","time":"never"}'])
        eyes.client.publish('sensors/junk', junk, { qos: 1 });
    },
  };

  test(
    `${MINUTES} minutes of faults, seed ${SEED}`,
    async () => {
      const end = Date.now() + MINUTES * 60_000;
      let sent = 0;
      const feed = setInterval(() => {
        const time = new Date().toISOString();
        const value = sent++;
        for (const place of PLACES) {
          const done = eyes.client.publishAsync(`sensors/${place}`, JSON.stringify({ value, time }), {
            qos: 1,
          });
          pending.add(done);
          const settled = (): void => void pending.delete(done);
          done.then(settled, settled);
        }
      }, INTERVAL_MS);
      onTestFinished(() => clearInterval(feed));
      await waitFor('forecasts', () => newestMs > 0, 30_000);
      const names = Object.keys(FAULTS).filter((name) => ONLY.test(name));
      // Each fault comes once before any comes again.
      let bag: string[] = [];
      while (Date.now() < end) {
        if (bag.length === 0) bag = [...names];
        const [name = ''] = bag.splice(Math.floor(random() * bag.length), 1);
        report.faults[name] = (report.faults[name] ?? 0) + 1;
        await FAULTS[name]?.();
        const over = Date.now();
        await waitFor('forecasts', () => newestMs > over, BACK_WITHIN_MS).catch(async (cause: unknown) => {
          throw new Error(`No forecasts after: ${name}\n${await situation()}`, { cause });
        });
        report.slowestReturnMs = Math.max(report.slowestReturnMs, newestMs - over);
        await sleep(some(1, 8));
        report.residentMb.push(Math.round(resident()));
      }
      clearInterval(feed);
      await waitFor('the broker to take all', () => pending.size === 0, 30_000);
      // What the broker holds back comes within its next attempts to send; silent streams are forecast on by the clock.
      await sleep(10_000);
      await waitFor('the end of the last probation', () => outcomes.get(pushed) !== 'probation', 60_000);
      const output = daemon.output();
      expect(await daemon.end('SIGTERM')).toBe(0);

      const db = new Sqlite(join(dir, 'gatecast.db'), { readonly: true });
      expect(db.pragma('integrity_check', { simple: true })).toBe('ok');
      const stored = db.prepare(
        'SELECT s.value FROM sample s JOIN stream n ON n.id = s.stream WHERE n.name = ? ORDER BY s.value',
      );
      for (const place of PLACES) {
        const values = (stored.all(place) as { value: number }[]).map(({ value }) => value);
        report.stored += values.length;
        const there = new Set(values);
        const lost = Array.from({ length: sent }, (_, at) => at).filter((at) => !there.has(at));
        if (values.length !== there.size) wrong.push(`${place}: ${values.length - there.size} stored twice`);
        if (lost.length > 0) wrong.push(`${place}: ${lost.length} lost: ${lost.slice(0, 10).join(' ')}`);
      }
      report.sent = sent * PLACES.length;
      for (const { reason, count } of db
        .prepare('SELECT reason, sum(count) AS count FROM reject GROUP BY reason')
        .all() as {
        reason: string;
        count: number;
      }[])
        report.refused[reason] = count;
      db.close();
      const count = (into: Record<string, number>, status: string): void => {
        into[status] = (into[status] ?? 0) + 1;
      };
      for (const status of runs.values()) count(report.finetunes, status);
      for (let version = 1; version <= pushed; version++)
        count(report.pushes, outcomes.get(version) ?? 'superseded');
      mkdirSync('test/soak/reports', { recursive: true });
      writeFileSync(
        `test/soak/reports/seed-${SEED}.json`,
        JSON.stringify({ minutes: MINUTES, seed: SEED, ...report, wrong }, null, 2),
      );
      console.log(JSON.stringify(report));
      expect(wrong).toEqual([]);
      expect(output).not.toMatch(/UNEXPECTED|unhandled/i);
      // Resident memory of each start begins anew; none is above what one start needs.
      expect(Math.max(...report.residentMb)).toBeLessThan(250);
    },
    (MINUTES + 6) * 60_000,
  );
});
