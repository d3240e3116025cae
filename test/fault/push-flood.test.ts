/**
 * 100 pushes a second for a minute to a real agent: valid ones, replays, forged ones and junk. Its forecasts go on at the pace
 * that they had before, its memory stays bounded, and the newest valid push is the one that runs. Parts of the time are
 * compared, without the worst quarter of them: a machine that stands still for some seconds spoils a few.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Reported } from '../../src/remote/contract.ts';
import { newKey, signed } from '../remote/gateway.ts';
import { type Daemon, ensureBuilt, startDaemon } from '../support/daemon.ts';
import { hasMosquitto, type Mosquitto, startMosquitto, type Watcher, watch } from '../support/mosquitto.ts';
import { stopwatch } from '../support/run-delay.ts';
import { plainConfig, SECONDS } from '../support/sensors.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const tempDir = tempDirs();
const ops = newKey('ops');
const stranger = newKey('ops');
const DESIRED = 'gatecast/cellar/config/desired';
const START = Date.UTC(2026, 0, 1);
/** Three times as far apart as the batch window: a little jitter does not make two readings one forecast. */
const PER_SECOND = 15;
const FLOOD_SECONDS = 60;
const PART_SECONDS = 3;

const percentile = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor(share * (values.length - 1))] ?? Number.NaN;

/** Times from reading to forecast of some seconds, ms. */
type Part = readonly number[];
/** Forecasts per second. */
const pace = (parts: readonly Part[]): number =>
  percentile(
    parts.map(({ length }) => length),
    0.5,
  ) / PART_SECONDS;
/** Time that 99 of 100 forecasts of three in four parts do not exceed, ms. */
const slowest = (parts: readonly Part[]): number => {
  const spoken = parts.filter(({ length }) => length > 0);
  return percentile(
    spoken.map((part) => percentile(part, 0.99)),
    0.75,
  );
};

describe.skipIf(!hasMosquitto)('a flood of pushes', () => {
  let broker: Mosquitto;
  let watcher: Watcher;
  let agent: Daemon;
  let sent = 0;
  /** By origin: when the reading that closed its bucket was sent, ms. */
  const sentMs = new Map<number, number>();
  const latencies: number[] = [];

  beforeAll(async () => {
    ensureBuilt();
    broker = await startMosquitto('allow_anonymous true\nmax_queued_messages 0');
    watcher = await watch(broker.url, 'gatecast/cellar/config/reported');
    watcher.client.on('message', (topic, payload) => {
      if (!topic.includes('/forecast/')) return;
      const { origin } = JSON.parse(payload.toString()) as { origin: string };
      const at = sentMs.get(Date.parse(origin));
      if (at !== undefined) latencies.push(performance.now() - at);
    });
    await watcher.client.subscribeAsync('gatecast/cellar/forecast/pump');
    const dir = tempDir();
    mkdirSync(join(dir, 'data'));
    const keys = join(dir, 'keys.jwks');
    writeFileSync(keys, JSON.stringify({ keys: [ops.jwk] }));
    const config = plainConfig(
      { node: 'cellar', url: broker.url, dataDir: join(dir, 'data') },
      [
        { id: 'pump', match: 'pump', name: 'pump', ...SECONDS, interval: '1m', horizon: '10m' },
        { id: 'idle', match: 'idle/+', interval: '1m', horizon: '10m' },
      ],
      { lateness: '0s', remote_config: { enabled: true, keys } },
    );
    agent = await startDaemon(dir, config);
  });
  afterAll(async () => {
    await agent?.end('SIGKILL');
    await watcher?.close();
    await broker?.stop();
  });

  /** A reading that closes the bucket of the one before. */
  const read = (): void => {
    const t = START + sent * 60_000;
    sentMs.set(t - 60_000, performance.now());
    sent += 1;
    watcher.client.publish('pump', JSON.stringify({ v: 20 + Math.sin(sent / 7), t }), { qos: 0 });
  };
  /** Reads for so long, with something else in each turn of 10 ms. */
  const measure = async (seconds: number, turn: () => void): Promise<Part[]> => {
    const parts: Part[] = [];
    latencies.length = 0;
    let readings = 0;
    const startMs = performance.now();
    let turns = 0;
    while (parts.length < seconds / PART_SECONDS) {
      const passed = Math.min(performance.now() - startMs, seconds * 1000);
      for (; readings < (passed / 1000) * PER_SECOND; readings += 1) read();
      for (; turns < passed / 10; turns += 1) turn();
      while (passed >= PART_SECONDS * 1000 * (parts.length + 1)) parts.push(latencies.splice(0));
      await sleep(5);
    }
    return parts;
  };
  const rssMb = (): number =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${agent.process.pid}/status`, 'utf8'))?.[1]) / 1024;
  const reports = (): Reported[] =>
    watcher.on('gatecast/cellar/config/reported').map(({ text }) => JSON.parse(text) as Reported);
  const reported = (): Reported => reports().at(-1) ?? ({} as Reported);

  it('leaves the forecasts their pace, memory its bounds, and ends with the newest valid push', async () => {
    await measure(6, () => {});
    const before = await measure(15, () => {});
    const count = FLOOD_SECONDS * 100;
    const pushes: string[] = [];
    let newest = 0;
    for (let at = 0; at < count; at += 1) {
      const options = { nowMs: Date.now(), version: at + 1 };
      const config = { streams: { idle: { horizon: `${10 + (at % 50)}m` } } };
      const kind = at % 5;
      if (kind === 0) newest = at + 1;
      pushes.push(
        kind === 0
          ? await signed(ops, options, { config, probation: '1s' })
          : kind === 1
            ? await signed(stranger, options, { config })
            : kind === 2
              ? (pushes[at - 2] ?? '')
              : kind === 3
                ? await signed(ops, options, { config: { streams: { idle: { horizon: '1ms' } } } })
                : `${'['.repeat(2000)}${at}`,
      );
    }
    const memory = rssMb();
    let next = 0;
    const during = await measure(FLOOD_SECONDS, () => {
      const payload = pushes[next++];
      if (payload !== undefined) watcher.client.publish(DESIRED, payload, { qos: 1 });
    });
    const grown = rssMb() - memory;
    expect(next).toBe(pushes.length);
    await waitFor(
      `version ${newest}; last report ${JSON.stringify(reported())}\n${agent.output().slice(-2000)}`,
      () => reported().effective?.version === newest && reported().effective.status === 'applied',
    );
    const after = await measure(15, () => {});

    const base = Math.max(slowest(before), slowest(after));
    const flooded = slowest(during);
    const figures = `${pace(before).toFixed(1)} and ${pace(during).toFixed(1)} forecasts/s; p99 ${base.toFixed(1)} ms, flooded ${flooded.toFixed(1)} ms; memory +${grown.toFixed(0)} MB`;
    console.log(figures);
    expect(during).toHaveLength(FLOOD_SECONDS / PART_SECONDS);
    expect(pace(before)).toBeGreaterThan(1);
    // Forecasts come as often as before, or nearly: a busy machine makes several of a stream into one.
    expect(pace(during), figures).toBeGreaterThan(0.8 * Math.min(pace(before), pace(after)));
    expect(flooded, figures).toBeLessThanOrEqual(2 * base);
    expect(grown, figures).toBeLessThan(64);

    // A hot push afterwards is applied and reported within 2 s.
    const watch = stopwatch(agent.process.pid);
    const patch = { streams: { idle: { horizon: '9m' } } };
    const last = await signed(ops, { nowMs: Date.now(), version: count + 1 }, { patch, probation: '1s' });
    await watcher.client.publishAsync(DESIRED, last, { qos: 1 });
    await waitFor('the next push', () =>
      reports().some(({ version, status }) => version === count + 1 && status === 'probation'),
    );
    expect(watch.stop()).toBeLessThan(2000);
  });
});
