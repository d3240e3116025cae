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
import { readPartitions } from '../../src/site/status.ts';
import { shippedVariant, writeModelFolder } from '../remote/models.ts';
import { type Daemon, ensureBuilt } from '../support/daemon.ts';
import { hasMosquitto } from '../support/mosquitto.ts';
import { hasNats } from '../support/nats.ts';
import { stopwatch } from '../support/run-delay.ts';
import { isExcused, newestSeen, type Outage, textOf, verdict } from '../support/site.ts';
import { command, memberFile, shippedModel } from '../support/site-process.ts';
import { SiteRun } from '../support/site-run.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const tempDir = tempDirs();
const STREAMS = 24;
const PARTITIONS = 8;

describe.skipIf(!hasNats || !hasMosquitto)('a site of processes', () => {
  beforeAll(() => ensureBuilt());

  let run: SiteRun;
  const start = (node: string, role: 'bridge' | 'worker'): Promise<Daemon> =>
    run.start(run.member(node, [role]));
  const bridgeFile = () => memberFile(run.member('bridge', ['bridge']));
  const allOwned = (by?: readonly string[]) => run.allOwned(by);

  /** A site with a bridge and two workers, and sensors that publish. */
  async function begin(workers = ['one', 'two'], ttl = '2s'): Promise<void> {
    run = await SiteRun.single(tempDir());
    await run.create(run.member('bridge', ['bridge']), PARTITIONS, ttl);
    await run.open();
    await Promise.all(workers.map((node) => start(node, 'worker')));
    await start('bridge', 'bridge');
    await allOwned();
    await run.startSensors(STREAMS);
    await run.forecastsOf(STREAMS);
  }

  /** All that the broker acknowledged is in the logs, once. */
  async function check(...outages: Outage[]): Promise<void> {
    await waitFor('enough forecasts', () => run.seen.length > 6 * STREAMS);
    await run.finish();
    const { violations, texts, readings, late } = await run.verdict(outages);
    expect(violations.filter((text) => !isExcused(text, outages))).toEqual([]);
    expect(readings).toBe(run.sensors.sent);
    expect(late).toEqual([]);
    expect(texts.length).toBeGreaterThan(5 * STREAMS);
  }

  afterEach(() => run?.end());

  it('survives the kill of a worker: within 15 s others serve its partitions, and nothing is lost', async () => {
    await begin();
    run.members.get('one')?.process.kill('SIGKILL');
    const watch = stopwatch(run.members.get('two')?.process.pid);
    await allOwned(['two']);
    expect(watch.stop()).toBeLessThan(15_000);
    await sleep(3000);
    await check();
  });

  it('receives nothing from a worker that was suspended and has lost its partitions', async () => {
    await begin();
    const stopped = run.members.get('one');
    stopped?.process.kill('SIGSTOP');
    await allOwned(['two']);
    await sleep(3000);
    stopped?.process.kill('SIGCONT');
    await waitFor('it to own partitions again', async () => (await run.owners()).includes('one'));
    await sleep(3000);
    await check();
  });

  it.each([
    [
      'killed in the middle of a takeover, and started again',
      async () => {
        const held = await run.owners();
        run.members.get('one')?.process.kill('SIGKILL');
        // A partition may have its next owner before anybody sees it without one.
        await waitFor('a lease to be taken over', async () =>
          (await run.owners()).some((owner, partition) => owner !== held[partition]),
        );
        run.nats.signal('SIGKILL');
        await sleep(3000);
        await run.nats.restart();
      },
    ],
    [
      // As a network that is cut: connections stay open and nothing comes through, for longer than the leases.
      'suspended for a while',
      async () => {
        run.nats.signal('SIGSTOP');
        await sleep(8000);
        run.nats.signal('SIGCONT');
      },
    ],
  ])('loses nothing when nats-server is %s', async (_, happens) => {
    await begin();
    const fromMs = Date.now() - 3000;
    const newest = newestSeen(run.seen);
    await happens();
    await sleep(1000);
    const before = run.seen.length;
    await waitFor('forecasts again', () => run.seen.length > before + 3 * STREAMS);
    const outage: Outage = [fromMs, Date.now(), newest];
    await check(outage);
  });

  it('takes no reading twice when a bridge is killed again and again', async () => {
    await begin();
    for (let round = 0; round < 4; round++) {
      run.members.get('bridge')?.process.kill('SIGKILL');
      await start('bridge', 'bridge');
      await sleep(1500);
    }
    await check();
  });

  it('takes no reading too late when a bridge starts on a machine that hardly lets it run', async () => {
    await begin();
    await run.members.get('bridge')?.end('SIGKILL');
    const bridge = await start('bridge', 'bridge');
    // It always finds readings of several seconds, which still wait in its socket when its timers run.
    for (let round = 0; round < 8; round++) {
      bridge.process.kill('SIGSTOP');
      await sleep(4000);
      bridge.process.kill('SIGCONT');
      await sleep(700);
    }
    const before = run.seen.length;
    await run.forecastsOf(STREAMS, (_, at) => at >= before);
    await check();
  });

  it('switches to another model while it runs, and a worker that starts later does, too', async () => {
    await begin();
    const file = bridgeFile();
    const folder = writeModelFolder(join(run.dir, 'halved'), shippedVariant('halved', 0.5));
    const said = await command(['site', 'model', 'set', '-c', file, folder]);
    expect(said).toMatch(/halved is model 1 of the site.*\n.*forecast by it/);
    const of = (text: string) => (JSON.parse(text) as { model: { id: string; kind: string } }).model;
    const before = run.seen.length;
    await waitFor('forecasts of all by the new model', () => {
      const late = run.seen.slice(before).filter(({ text }) => of(text).id === 'halved');
      return new Set(late.map(({ stream }) => stream)).size === STREAMS;
    });
    run.members.get('one')?.process.kill('SIGKILL');
    run.members.get('two')?.process.kill('SIGKILL');
    await start('three', 'worker');
    await allOwned(['three']);
    const later = run.seen.length;
    await waitFor('forecasts of the third', () => run.seen.length > later + 2 * STREAMS);
    expect(run.seen.slice(later).every(({ text }) => of(text).id === 'halved')).toBe(true);
    const damaged = writeModelFolder(join(run.dir, 'damaged'), shippedVariant('damaged', 2));
    writeFileSync(join(damaged, 'step.onnx'), 'x');
    expect(await command(['site', 'model', 'set', '-c', file, damaged], 1)).toMatch(/does not match/);
    await run.finish();
    const other = loadModel(readModel(folder), FEATURES);
    const base = shippedModel();
    const name = (model: Model | null) => textOf({ id: model?.id ?? '', version: model?.version ?? '' });
    const text = (forecast: Forecast, issuedMs: number, model: Model | null) =>
      name(model)(forecast, issuedMs);
    const found = await verdict(run.observer, run.seen, base, {
      text,
      openModel: () => Promise.resolve(other),
    });
    expect(found.violations).toEqual([]);
    expect(found.readings).toBe(run.sensors.sent);
  });

  it('moves each partition at most once for each worker that comes or goes: 4, 6, then 3', async () => {
    // A lease that a busy machine renews too late is a move that nobody asked for.
    await begin(['w0', 'w1', 'w2', 'w3'], '30s');
    const present = new Set(['w0', 'w1', 'w2', 'w3']);
    const epochs = async () => {
      return (await readPartitions(run.observer)).map(({ epoch }) => epoch);
    };
    /** Every worker has its share, and no other. */
    const settled = () =>
      waitFor('the partitions to be shared', async () => {
        const now = await run.owners();
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
      await start(node, 'worker');
      await moved();
    }
    // One is drained, one ends, one is killed.
    const file = bridgeFile();
    await command(['site', 'drain', '-c', file, 'w0']);
    present.delete('w0');
    await moved();
    expect(await run.members.get('w1')?.end('SIGTERM')).toBe(0);
    present.delete('w1');
    await moved();
    await run.members.get('w2')?.end('SIGKILL');
    present.delete('w2');
    await moved();
    await check();
  });
});
