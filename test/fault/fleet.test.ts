/**
 * A fleet of 50 agents: real processes with data directories of their own on one Mosquitto, and the operator's commands. A good
 * push is applied by all within 30 s, a bad one nowhere, and of a harmful one with canaries only the canaries know; in the end
 * all 50 forecast.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Reported } from '../../src/remote/contract.ts';
import { type Daemon, ensureBuilt, startDaemon } from '../support/daemon.ts';
import { hasMosquitto, type Mosquitto, startMosquitto, type Watcher, watch } from '../support/mosquitto.ts';
import { run } from '../support/run.ts';
import { plainConfig, SECONDS } from '../support/sensors.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

const tempDir = tempDirs();
const COUNT = 50;
const CANARIES = 3;
const NAMES = Array.from({ length: COUNT }, (_, at) => `n${String(at).padStart(2, '0')}`);
/** Starts at the same time: each takes a second of a core. */
const AT_ONCE = 4;
/** A probation must be long enough for most forecasts of every stream, also where the machine stands still for some seconds. */
const PROBATION = '24s';

describe.skipIf(!hasMosquitto)('a fleet of 50 agents', () => {
  const operator = tempDir();
  const agents: Daemon[] = [];
  let broker: Mosquitto;
  let watcher: Watcher;
  let feeding: NodeJS.Timeout;

  beforeAll(async () => {
    ensureBuilt();
    broker = await startMosquitto();
    watcher = await watch(broker.url, 'gatecast/+/config/reported');
    await watcher.client.subscribeAsync('gatecast/+/forecast/#');
    expect(await operate('keygen', '--kid', 'ops')).toMatchObject({ code: 0 });
    feeding = setInterval(() => {
      const v = 20 + Math.sin(Date.now() / 9000);
      watcher.client.publish('pumps/a', JSON.stringify({ v, t: Date.now() }), { qos: 1 });
    }, 500);
    const waiting = [...NAMES];
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        for (let name = waiting.shift(); name !== undefined; name = waiting.shift())
          agents.push(await agent(name));
      }),
    );
    await forecastsOfAll();
  }, 600_000);

  afterAll(async () => {
    clearInterval(feeding);
    await Promise.all(agents.map((one) => one.end('SIGKILL')));
    await watcher?.close();
    await broker?.stop();
  });

  function agent(node: string): Promise<Daemon> {
    const dir = tempDir();
    mkdirSync(join(dir, 'data'));
    const rule = { ...SECONDS, interval: '2s', horizon: '20s' };
    const config = plainConfig(
      { node, url: broker.url, dataDir: join(dir, 'data') },
      [{ id: 'pumps', match: 'pumps/{name}', name: 'pumps/{name}', ...rule }],
      { remote_config: { enabled: true, keys: join(operator, 'keys', 'keys.jwks'), groups: ['pumps'] } },
    );
    return startDaemon(dir, config, 120_000);
  }

  const operate = (...argv: string[]) => run('config', ...argv, '--operator-dir', operator);
  async function push(content: object, ...argv: string[]) {
    const patch = join(operator, 'patch.json');
    writeFileSync(patch, JSON.stringify(content));
    const to = ['--fleet', 'pumps', '--patch', patch, '--probation', PROBATION, '--broker', broker.url];
    const ended = await operate('push', ...to, ...argv, '--json');
    // The operator has read reports on a connection of its own.
    await watcher.caughtUp();
    return ended;
  }
  /** The newest report of each agent, dry runs left out. */
  const reports = (): Map<string, Reported> =>
    new Map(
      watcher.seen
        .filter(({ topic }) => topic.endsWith('/config/reported'))
        .map(({ topic, text }): [string, Reported] => [
          topic.split('/')[1] ?? '',
          JSON.parse(text) as Reported,
        ])
        .filter(([, { dry_run }]) => dry_run !== true),
    );
  /** Every agent has had another forecast. */
  async function forecastsOfAll(): Promise<void> {
    const from = watcher.seen.length;
    const seen = (): Set<string | undefined> =>
      new Set(
        watcher.seen
          .slice(from)
          .flatMap(({ topic }) => (topic.includes('/forecast/') ? [topic.split('/')[1]] : [])),
      );
    await waitFor(`forecasts of ${COUNT} agents`, () => seen().size === COUNT);
  }
  let good = '';

  it('a good push is applied and reported by all within 30 s', async () => {
    await waitFor('a report of each', () => reports().size === COUNT);
    const startedMs = performance.now();
    const elapsedMs = (): number => performance.now() - startedMs;
    const pushing = push({ streams: { pumps: { horizon: '40s' } } });
    const all = (): boolean => [...reports().values()].every(({ version }) => version === 1);
    await waitFor('reports of all', all);
    const reportedMs = elapsedMs();
    const { code, out } = await pushing;
    const appliedMs = elapsedMs();
    expect(code, out).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ result: 'applied', version: 1 });
    const figures = `${COUNT} agents: reported after ${(reportedMs / 1000).toFixed(1)} s, applied after ${(appliedMs / 1000).toFixed(1)} s, of which ${PROBATION} are probation`;
    console.log(figures);
    const hashes = new Set<string>();
    for (const [name, { status, version, effective_hash, attempted_hash }] of reports()) {
      expect({ name, status, version }).toEqual({ name, status: 'applied', version: 1 });
      expect(effective_hash).toBe(attempted_hash);
      hashes.add(effective_hash);
    }
    // The name of the gateway is part of its config.
    expect(hashes.size).toBe(COUNT);
    good = JSON.stringify([...reports()].map(([name, { effective_hash }]) => [name, effective_hash]).sort());
    expect(reportedMs, figures).toBeLessThan(30_000);
    await forecastsOfAll();
  });

  it('a bad push is refused by all, and applied nowhere', async () => {
    const { code, out } = await push({ streams: { pumps: { interval: '1ms' } } });
    expect(code).toBe(1);
    const { nodes } = JSON.parse(out) as { nodes: { status: string; code: number; reason: string }[] };
    expect(nodes).toHaveLength(COUNT);
    for (const node of nodes) {
      expect(node).toMatchObject({ status: 'rejected', code: 400 });
      expect(node.reason).toContain('streams.pumps.interval');
    }
    for (const { status, version } of reports().values())
      expect({ status, version }).toEqual({ status: 'applied', version: 1 });
  });

  it('a harmful push with --canary 5% reaches the canaries only, and they go back', async () => {
    const { code, out } = await push({ streams: { pumps: { match: 'nowhere/{name}' } } }, '--canary', '5%');
    expect(code, out).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ result: 'aborted' });
    const all = [...reports()];
    const back = all.filter(([, { status }]) => status === 'rolled_back');
    expect(back).toHaveLength(CANARIES);
    for (const [, { errors, effective }] of back) {
      expect(errors[0]?.text).toContain('1 of 1 streams have no forecasts');
      expect(effective).toMatchObject({ status: 'applied', version: 1 });
    }
    // Nobody else has seen it.
    for (const [name, { status, version, history }] of all)
      if (status !== 'rolled_back')
        expect({ name, status, version, pushes: history.length }).toEqual({
          name,
          status: 'applied',
          version: 1,
          pushes: 1,
        });
    expect(JSON.stringify(all.map(([name, { effective_hash }]) => [name, effective_hash]).sort())).toBe(good);
    await forecastsOfAll();
    expect(agents.every(({ process }) => process.exitCode === null)).toBe(true);
  });
});
