/**
 * The built daemon, a real Mosquitto, and faults at random instants of a seeded schedule. What went in and what came out
 * is compared at the end: no reading that the broker accepted is lost or stored twice, no forecast goes back in time or
 * has quantiles that cross, forecasts go on after every fault, memory does not grow. `GATECAST_SOAK_MINUTES` (20) and
 * `GATECAST_SOAK_SEED` (1) set its length and its schedule; 24 hours are for a release. It prints a report.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
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
const PLACES = Array.from({ length: 20 }, (_, at) => `p${at}`);
const INTERVAL_MS = 1000;
const MB = 2 ** 20;
/** Forecasts are back so long after the end of a fault, at the latest. */
const BACK_WITHIN_MS = 30_000;
const PRLIMIT = canRun('prlimit', ['--version'], 'a disk that takes nothing (util-linux)');

interface Report {
  faults: Record<string, number>;
  sent: number;
  stored: number;
  refused: Record<string, number>;
  forecasts: number;
  starts: number;
  slowestReturnMs: number;
  residentMb: number[];
}

describe.skipIf(!hasMosquitto || !PRLIMIT)('soak', () => {
  const temp = tempDirs();
  const random = uniform(SEED);
  const wrong: string[] = [];
  const report: Report = {
    faults: {},
    sent: 0,
    stored: 0,
    refused: {},
    forecasts: 0,
    starts: 0,
    slowestReturnMs: 0,
    residentMb: [],
  };
  let broker: Mosquitto;
  let proxy: TcpProxy;
  let eyes: Watcher;
  let daemon: Daemon;
  let dir: string;
  let newestMs = 0;
  const origins = new Map<string, number>();

  beforeAll(async () => {
    ensureBuilt();
    broker = await startMosquitto(
      'allow_anonymous true\nmax_queued_messages 0\nautosave_interval 1\nautosave_on_changes true',
    );
    proxy = await startProxy(broker.port);
    dir = temp();
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
      { node: 'n', url: proxy.url, dataDir: dir },
      { interval: `${INTERVAL_MS}ms`, horizon: '20s' },
      { lateness: '500ms', store: { max_size: '64MB' } },
    );
    daemon = await startDaemon(dir, {
      ...config,
      mqtt: { ...config.mqtt, keepalive: '5s', max_backoff: '1s' },
    });
    report.starts++;
  }

  function check(topic: string, text: string): void {
    const place = /^gatecast\/n\/forecast\/([^/]+)$/.exec(topic)?.[1];
    eyes.seen.length = 0;
    if (place === undefined || text === '') return;
    const { origin, steps } = JSON.parse(text) as {
      readonly origin: string;
      readonly steps?: readonly Record<string, number | null>[];
    };
    const originMs = Date.parse(origin);
    // A retained or repeated one may come twice; an older one may not.
    if (originMs < (origins.get(place) ?? 0)) wrong.push(`${place}: ${origin} after a newer forecast`);
    origins.set(place, originMs);
    newestMs = Date.now();
    report.forecasts++;
    for (const step of steps ?? []) {
      const quantiles = Object.entries(step)
        .filter(([key]) => /^p\d+$/.test(key))
        .sort(([a], [b]) => Number(a.slice(1)) - Number(b.slice(1)))
        .map(([, value]) => value);
      const crossing = quantiles.some(
        (value, at) => value === null || (at > 0 && value < (quantiles[at - 1] ?? Number.NaN)),
      );
      if (crossing) wrong.push(`${place} ${origin}: ${JSON.stringify(step)}`);
    }
  }

  const resident = (): number =>
    (Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${daemon.process.pid}/status`, 'utf8'))?.[1]) *
      1024) /
    MB;
  const limit = (bytes: string): void => {
    spawnSync('prlimit', ['--pid', String(daemon.process.pid), `--fsize=${bytes}:`]);
  };
  const request = (verb: string): void => {
    eyes.client.publish(`gatecast/n/request/${verb}`, '{}', { qos: 1 });
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
      const pending = new Set<Promise<unknown>>();
      const feed = setInterval(() => {
        const time = new Date().toISOString();
        const value = sent++;
        for (const place of PLACES) {
          const done = eyes.client.publishAsync(`sensors/${place}`, JSON.stringify({ value, time }), {
            qos: 1,
          });
          pending.add(done);
          void done.finally(() => pending.delete(done));
        }
      }, INTERVAL_MS);
      await waitFor('forecasts', () => newestMs > 0, 30_000);
      const names = Object.keys(FAULTS);
      // Each fault comes once before any comes again.
      let bag: string[] = [];
      while (Date.now() < end) {
        if (bag.length === 0) bag = [...names];
        const [name = ''] = bag.splice(Math.floor(random() * bag.length), 1);
        report.faults[name] = (report.faults[name] ?? 0) + 1;
        await FAULTS[name]?.();
        const over = Date.now();
        await waitFor(
          `forecasts after: ${name}\n${daemon.output().slice(-2000)}`,
          () => newestMs > over,
          BACK_WITHIN_MS,
        );
        report.slowestReturnMs = Math.max(report.slowestReturnMs, newestMs - over);
        await sleep(some(1, 8));
        report.residentMb.push(Math.round(resident()));
      }
      clearInterval(feed);
      await waitFor('the broker to take all', () => pending.size === 0, 30_000);
      // What the broker holds back comes within its next attempts to send; silent streams are forecast on by the clock.
      await sleep(10_000);
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
      mkdirSync('test/soak/reports', { recursive: true });
      writeFileSync(
        `test/soak/reports/seed-${SEED}.json`,
        JSON.stringify({ minutes: MINUTES, ...report, wrong }, null, 2),
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
