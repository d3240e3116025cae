/** Remote config with the built program and a real Mosquitto: hot, reconnect and restart pushes, a second agent without pushes to compare with. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newKey, signed } from '../remote/gateway.ts';
import { hasMosquitto } from '../support/mosquitto.ts';
import { stopwatch } from '../support/run-delay.ts';
import { tempDirs } from '../support/temp.ts';
import { Twins } from '../support/twins.ts';
import { waitFor } from '../support/wait.ts';

const tempDir = tempDirs();

describe.skipIf(!hasMosquitto)('remote config of a running agent', () => {
  let twins: Twins;

  beforeAll(async () => {
    twins = await Twins.start({ dirs: [tempDir(), tempDir()] });
  });
  afterAll(() => twins?.close());

  it('a hot push is applied and reported within 2 s; untouched streams miss no forecast and keep their state', async () => {
    expect(twins.last).toMatchObject({ status: 'applied', version: null });
    const before = twins.last.effective_hash;
    const from = twins.now;
    const watch = stopwatch(twins.cellar.process.pid);
    await twins.push({ patch: { streams: { changed: { horizon: '20s' } } }, probation: '6s' });
    const trial = await twins.reported('the push on probation', { status: 'probation', version: 1 });
    expect(watch.stop()).toBeLessThan(2000);
    expect(trial).toMatchObject({ needs: 'hot', code: 202, kid: 'ops-2026' });
    expect(trial.effective_hash).not.toBe(before);
    await twins.reported('the push applied', { status: 'applied', version: 1 });
    await waitFor(
      'a longer forecast',
      () => [...twins.forecasts('cellar', 'changed/b').values()].at(-1)?.length === 20,
    );
    expect(await twins.compare(from, 6)).toEqual({ missing: [], different: [] });
  });

  it('a push that needs a new connection: the stream misses no forecast and keeps its state', async () => {
    const from = twins.now;
    // The agent has no session at another broker: what is said before it has subscribed there does not reach it.
    await twins.inQuiet(async () => {
      await twins.push({ patch: { mqtt: { url: twins.otherUrl } }, probation: '3s' });
      await twins.reported('the push on probation', { status: 'probation', version: twins.version });
    });
    await twins.reported('the push applied', {
      status: 'applied',
      version: twins.version,
      needs: 'reconnect',
    });
    expect(await twins.compare(from, 5)).toEqual({ missing: [], different: [] });
  });

  it('refuses bad input, keeps running, and says why', async () => {
    const { effective_hash: before } = twins.last;
    const bad: readonly (readonly [number, string])[] = [
      [401, '{"version":99,"config":{}}'],
      [413, 'x'.repeat(5_000_000)],
      [401, await signed(newKey('other'), { nowMs: Date.now(), version: 99 }, { config: {} })],
      [409, await signed(twins.key, { nowMs: Date.now(), version: 1 }, { config: {} })],
      [403, await signed(twins.key, { nowMs: Date.now(), version: 50 }, { patch: { data_dir: '/tmp' } })],
      [
        400,
        await signed(
          twins.key,
          { nowMs: Date.now(), version: 51 },
          { patch: { model: { name: 'nowhere' } } },
        ),
      ],
    ];
    for (const [code, payload] of bad) {
      await twins.send(payload, false);
      const refused = await twins.reported(`a refusal with ${code}`, { status: 'rejected', code });
      expect(refused.effective_hash).toBe(before);
    }
    twins.version = 51;
  });

  it('a push that needs a restart is taken up by one, in the same process; streams keep their state', async () => {
    const from = twins.now;
    await twins.push({ patch: { max_streams: 7 }, probation: '3s' });
    const trial = await twins.reported('the push on probation', {
      status: 'probation',
      version: twins.version,
    });
    expect(trial.needs).toBe('restart');
    await twins.reported('the push applied', { status: 'applied', version: twins.version });
    expect(twins.cellar.output()).toContain('restarting');
    expect(await twins.compare(from)).toMatchObject({ missing: [], different: [] });
  });

  it('broker settings that do not work are found on a second connection', async () => {
    await twins.push({ patch: { mqtt: { url: 'mqtt://127.0.0.1:1' } } });
    await twins.reported('the refusal', { status: 'rejected', code: 500, version: twins.version });
    expect(twins.last.errors[0]?.path).toBe('mqtt.url');
  });

  it('a push whose streams fall silent is rolled back to the config before', async () => {
    const { effective_hash: good } = twins.last;
    await twins.push({
      patch: { streams: { kept: { match: 'nowhere/{n}' }, changed: { match: 'nobody/{n}' } } },
      probation: '4s',
    });
    await twins.reported('the push on probation', { status: 'probation', version: twins.version });
    await twins.reported('the rollback', {
      status: 'rolled_back',
      version: twins.version,
      rolled_back_from: twins.version,
    });
    expect(twins.last).toMatchObject({ code: 500, effective_hash: good });
    expect(twins.last.errors[0]?.text).toContain('have no forecasts');
    const count = twins.forecasts('cellar').size;
    await waitFor('forecasts again', () => twins.forecasts('cellar').size > count);
  });

  it('a lost network during probation ends in the last good config', async () => {
    const { effective_hash: good } = twins.last;
    await twins.push({ patch: { publish: { every: '3s' } }, probation: '8s' });
    await twins.reported('the push on probation', { status: 'probation', version: twins.version });
    twins.broker.signal('SIGTERM');
    await waitFor('the rollback', () =>
      new RegExp(`push rolled back .*version=${twins.version}\\b`).test(twins.cellar.output()),
    );
    await twins.broker.restart();
    // The agent's pauses between attempts to connect grow.
    await twins.reported('the rollback', { status: 'rolled_back', version: twins.version });
    expect(twins.last.effective_hash).toBe(good);
  });
});
