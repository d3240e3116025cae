/**
 * 100 pushes a second for a minute to a real agent: valid ones, replays, forged ones and junk. Its forecasts go on at the pace
 * that they had before, its memory stays bounded, and the newest valid push is the one that runs.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Reported } from '../../src/remote/contract.ts';
import { newKey, signed } from '../remote/gateway.ts';
import { type Daemon, ensureBuilt, startDaemon } from '../support/daemon.ts';
import { hasMosquitto, type Mosquitto, startMosquitto, type Watcher, watch } from '../support/mosquitto.ts';
import { plainConfig, SECONDS } from '../support/sensors.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const tempDir = tempDirs();
const ops = newKey('ops');
const stranger = newKey('ops');
const DESIRED = 'gatecast/cellar/config/desired';
const START = Date.UTC(2026, 0, 1);
const PER_SECOND = 20;
const FLOOD_SECONDS = 60;

const percentile = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor(share * (values.length - 1))] ?? Number.NaN;

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
  /** Reads for so long, with something else in each turn of 10 ms; the times from reading to forecast. */
  const measure = async (seconds: number, turn: () => void): Promise<number[]> => {
    latencies.length = 0;
    const endMs = performance.now() + seconds * 1000;
    let readings = 0;
    let turns = 0;
    const startMs = performance.now();
    while (performance.now() < endMs) {
      const passed = performance.now() - startMs;
      for (; readings < (passed / 1000) * PER_SECOND; readings += 1) read();
      for (; turns < passed / 10; turns += 1) turn();
      await sleep(5);
    }
    await sleep(500);
    return [...latencies];
  };
  const rssMb = (): number =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${agent.process.pid}/status`, 'utf8'))?.[1]) / 1024;
  const reports = (): Reported[] =>
    watcher.on('gatecast/cellar/config/reported').map(({ text }) => JSON.parse(text) as Reported);
  const reported = (): Reported => reports().at(-1) ?? ({} as Reported);

  it('leaves the forecasts their pace, memory its bounds, and ends with the newest valid push', async () => {
    await measure(5, () => {});
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
    for (const payload of pushes.slice(next)) watcher.client.publish(DESIRED, payload, { qos: 1 });
    expect(pushes.length - next).toBeLessThan(50);
    await waitFor(
      `version ${newest}; last report ${JSON.stringify(reported())}\n${agent.output().slice(-2000)}`,
      () => reported().effective?.version === newest && reported().effective.status === 'applied',
    );
    const after = await measure(15, () => {});

    const base = Math.max(percentile(before, 0.99), percentile(after, 0.99));
    const flooded = percentile(during, 0.99);
    const figures = `${(before.length / 15).toFixed(1)} and ${(during.length / FLOOD_SECONDS).toFixed(1)} forecasts/s; p99 ${base.toFixed(1)} ms, flooded ${flooded.toFixed(1)} ms; memory +${grown.toFixed(0)} MB`;
    console.log(figures);
    expect(before.length).toBeGreaterThan(15);
    // Forecasts come as often as before, or nearly: a busy machine makes several of a stream into one.
    expect(during.length / FLOOD_SECONDS, figures).toBeGreaterThan((0.8 * before.length) / 15);
    expect(flooded, figures).toBeLessThanOrEqual(2 * base);
    expect(grown, figures).toBeLessThan(64);

    // A hot push afterwards is applied and reported within 2 s.
    const startedMs = performance.now();
    const patch = { streams: { idle: { horizon: '9m' } } };
    const last = await signed(ops, { nowMs: Date.now(), version: count + 1 }, { patch, probation: '1s' });
    await watcher.client.publishAsync(DESIRED, last, { qos: 1 });
    await waitFor('the next push', () =>
      reports().some(({ version, status }) => version === count + 1 && status === 'probation'),
    );
    expect(performance.now() - startedMs).toBeLessThan(2000);
  });
});
