/** Remote config with the built program and a real Mosquitto: hot and restart pushes, a second agent without pushes to compare with. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Reported } from '../../src/remote/contract.ts';
import { newKey, signed } from '../remote/gateway.ts';
import { type Daemon, ensureBuilt, startDaemon } from '../support/daemon.ts';
import { hasMosquitto, type Mosquitto, startMosquitto, type Watcher, watch } from '../support/mosquitto.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

const tempDir = tempDirs();
const ops = newKey('ops-2026');
const DESIRED = 'gatecast/cellar/config/desired';
const REPORTED = 'gatecast/cellar/config/reported';

describe.skipIf(!hasMosquitto)('remote config of a running agent', () => {
  let broker: Mosquitto;
  let watcher: Watcher;
  let cellar: Daemon;
  let twin: Daemon;
  let feeding: NodeJS.Timeout;
  let version = 0;

  const config = (node: string, dir: string, more: object): object => {
    const rule = { payload: 'json', fields: ['v'], time: 't', interval: '1s', horizon: '10s' };
    return {
      node,
      mqtt: { url: broker.url },
      data_dir: join(dir, 'data'),
      http: { listen: 'off' },
      finetune: { enabled: false },
      publish: { home_assistant: false },
      streams: [
        { id: 'kept', match: 'kept/{n}', name: 'kept/{n}', ...rule },
        { id: 'changed', match: 'changed/{n}', name: 'changed/{n}', ...rule },
      ],
      ...more,
    };
  };
  const push = async (content: Record<string, unknown>): Promise<void> => {
    version += 1;
    const payload = await signed(ops, { nowMs: Date.now(), version }, content);
    await watcher.client.publishAsync(DESIRED, payload, { qos: 1, retain: true });
  };
  const last = (): Reported => JSON.parse(watcher.on(REPORTED).at(-1)?.text ?? '{}') as Reported;
  const reported = (what: string, wanted: Partial<Reported>, timeoutMs = 10_000): Promise<unknown> =>
    waitFor(
      `${what}; last: ${JSON.stringify(last())}\n${cellar.output().slice(-2000)}`,
      () =>
        Object.entries(wanted).every(
          ([key, value]) => (last() as unknown as Record<string, unknown>)[key] === value,
        ),
      timeoutMs,
    );
  const forecasts = (node: string): { origin: string; p50: number[] }[] =>
    watcher
      .on(`gatecast/${node}/forecast/kept/a`)
      .filter(({ text }) => text !== '')
      .map(({ text }) => JSON.parse(text) as { origin: string; p50: number[] });

  beforeAll(async () => {
    ensureBuilt();
    broker = await startMosquitto();
    watcher = await watch(broker.url, 'gatecast/#');
    const dirs = [tempDir(), tempDir()] as const;
    for (const dir of dirs) mkdirSync(join(dir, 'data'));
    const jwks = join(dirs[0], 'keys.jwks');
    writeFileSync(jwks, JSON.stringify({ keys: [ops.jwk] }));
    cellar = await startDaemon(
      dirs[0],
      config('cellar', dirs[0], { remote_config: { enabled: true, keys: jwks } }),
    );
    twin = await startDaemon(dirs[1], config('twin', dirs[1], {}));
    let at = 0;
    feeding = setInterval(() => {
      at += 1;
      const body = JSON.stringify({ v: 20 + Math.sin(at / 7), t: Date.now() });
      for (const topic of ['kept/a', 'changed/b']) watcher.client.publish(topic, body, { qos: 1 });
    }, 500);
    await waitFor('forecasts of both', () => forecasts('cellar').length > 2 && forecasts('twin').length > 2);
  }, 120_000);

  afterAll(async () => {
    clearInterval(feeding);
    await cellar?.end('SIGTERM');
    await twin?.end('SIGTERM');
    await watcher?.close();
    await broker?.stop();
  });

  it('a hot push is applied and reported within 2 s; untouched streams miss no forecast and keep their state', async () => {
    expect(last()).toMatchObject({ status: 'applied', version: null });
    const before = last().effective_hash;
    const startedMs = Date.now();
    await push({ patch: { streams: { changed: { horizon: '20s' } } }, probation: '6s' });
    await reported('the push on probation', { status: 'probation', version });
    expect(Date.now() - startedMs).toBeLessThan(2000);
    expect(last()).toMatchObject({ needs: 'hot', code: 202, kid: 'ops-2026' });
    expect(last().effective_hash).not.toBe(before);
    await reported('the push applied', { status: 'applied', version });
    await waitFor('a longer forecast', () => {
      const found = watcher.on('gatecast/cellar/forecast/changed/b').at(-1);
      return found !== undefined && (JSON.parse(found.text) as { p50: number[] }).p50.length === 20;
    });
    const mine = new Map(forecasts('cellar').map(({ origin, p50 }) => [origin, p50]));
    const theirs = forecasts('twin');
    const common = theirs.filter(({ origin }) => mine.has(origin));
    const [first, end] = [[...mine.keys()].at(0) ?? '', [...mine.keys()].at(-1) ?? ''];
    expect(common.length).toBeGreaterThan(5);
    expect(theirs.filter(({ origin }) => origin >= first && origin <= end && !mine.has(origin))).toEqual([]);
    for (const { origin, p50 } of common) expect(mine.get(origin)).toEqual(p50);
  }, 30_000);

  it('refuses bad input, keeps running, and says why', async () => {
    const { effective_hash: before } = last();
    const bad: readonly (readonly [number, string])[] = [
      [401, '{"version":99,"config":{}}'],
      [413, 'x'.repeat(5_000_000)],
      [401, await signed(newKey('other'), { nowMs: Date.now(), version: 99 }, { config: {} })],
      [409, await signed(ops, { nowMs: Date.now(), version: 1 }, { config: {} })],
      [403, await signed(ops, { nowMs: Date.now(), version: 50 }, { patch: { data_dir: '/tmp' } })],
      [400, await signed(ops, { nowMs: Date.now(), version: 51 }, { patch: { model: { name: 'nowhere' } } })],
    ];
    for (const [code, payload] of bad) {
      watcher.seen.length = 0;
      await watcher.client.publishAsync(DESIRED, payload, { qos: 1 });
      await reported(`a refusal with ${code}`, { status: 'rejected', code });
      expect(last().effective_hash).toBe(before);
    }
    version = 51;
  }, 30_000);

  it('a push that needs a restart is taken up by one, in the same process', async () => {
    await push({ patch: { max_streams: 7 }, probation: '3s' });
    await reported('the push on probation', { status: 'probation', version });
    expect(last().needs).toBe('restart');
    await reported('the push applied', { status: 'applied', version });
    expect(cellar.output()).toContain('restarting');
  }, 30_000);

  it('broker settings that do not work are found on a second connection', async () => {
    await push({ patch: { mqtt: { url: 'mqtt://127.0.0.1:1' } } });
    await reported('the refusal', { status: 'rejected', code: 500, version });
    expect(last().errors[0]?.path).toBe('mqtt');
  }, 30_000);

  it('a push whose streams fall silent is rolled back to the config before', async () => {
    const { effective_hash: good } = last();
    await push({
      patch: { streams: { kept: { match: 'nowhere/{n}' }, changed: { match: 'nobody/{n}' } } },
      probation: '4s',
    });
    await reported('the push on probation', { status: 'probation', version });
    await reported('the rollback', { status: 'rolled_back', version, rolled_back_from: version });
    expect(last()).toMatchObject({ code: 500, effective_hash: good });
    expect(last().errors[0]?.text).toContain('no forecasts any more');
    const count = forecasts('cellar').length;
    await waitFor('forecasts again', () => forecasts('cellar').length > count);
  }, 30_000);

  it('a lost network during probation ends in the last good config', async () => {
    const { effective_hash: good } = last();
    await push({ patch: { publish: { every: '3s' } }, probation: '8s' });
    await reported('the push on probation', { status: 'probation', version });
    broker.signal('SIGTERM');
    await waitFor('the rollback', () => cellar.output().includes(`push rolled back version=${version}`));
    await broker.restart();
    // The agent's pauses between attempts to connect grow.
    await reported('the rollback', { status: 'rolled_back', version }, 45_000);
    expect(last().effective_hash).toBe(good);
  }, 90_000);
});
