// Fine-tuning and probation over a group, against a real nats-server. Only the training itself is a stand-in.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { SiteTuning, type SiteTuningParts } from '../../src/agent/site-tuning.ts';
import { configSchema } from '../../src/config/schema.ts';
import type { Forecast } from '../../src/forecast/forecast.ts';
import type { Model } from '../../src/forecast/model.ts';
import { ModelRegistry } from '../../src/model/registry.ts';
import { encodeBatch } from '../../src/site/batch.ts';
import {
  type ModelFilesOf,
  type ModelRecord,
  readFiles,
  readRecord,
  removeUnused,
} from '../../src/site/models.ts';
import { inputSubject, MODEL_KEY, memberKey, partitionOf } from '../../src/site/names.ts';
import { openSite, type Site, type SiteConfig } from '../../src/site/nats.ts';
import { formerModel, ModelRelay, type NewModel, notSwitched, setModel } from '../../src/site/set-model.ts';
import { readSiteModel, requestTuning, setDrained } from '../../src/site/status.ts';
import { systemClock } from '../../src/system/clock.ts';
import type { CycleReport } from '../../src/training/cycle.ts';
import type { RecordedTuningInput } from '../../src/training/protocol.ts';
import { modelFiles, writeModelFolder } from '../remote/models.ts';
import { fakeModel } from '../support/fake-model.ts';
import { hasNats, type NatsServer, startNatsServer } from '../support/nats.ts';
import { Feed, listen, makeSite, streamSpecs, textOf, verdict } from '../support/site.ts';
import { type RunningWorker, runWorker, siteLog } from '../support/site-worker.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const tempDir = tempDirs();
const PARTITIONS = 4;
/** Long enough for a slow machine to renew the lease in time. */
const TTL_MS = 3000;
const HEARD = 400;
const SPECS = streamSpecs(8);
const PROMISED: CycleReport = {
  status: 'promote',
  reason: 'better by 5 %',
  verdict: null,
  candidate: null,
  streams: SPECS.length,
  leftOut: [],
  training: null,
};

interface Tuner extends RunningWorker {
  readonly tuning: SiteTuning;
  readonly registry: ModelRegistry;
  readonly inputs: RecordedTuningInput[];
  end(): Promise<void>;
}

describe.skipIf(!hasNats)('fine-tuning of a site', () => {
  let server: NatsServer;
  let config: SiteConfig;
  let observer: Site;
  let ends: (() => unknown)[] = [];
  /** What a training ends with. */
  let outcome: () => Promise<CycleReport>;

  beforeAll(async () => {
    server = await startNatsServer();
  });
  afterAll(() => server?.stop());
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });

  let count = 0;
  async function site(): Promise<void> {
    config = await makeSite([server.url], { partitions: PARTITIONS, ttlMs: TTL_MS }, `tuned${++count}`);
    observer = await openSite(config, 'observer');
    outcome = () => Promise.resolve(PROMISED);
    const relay = new ModelRelay();
    let ended = false;
    const relaying = (async () => {
      for (; !ended; await sleep(200)) await relay.look(observer).catch(() => {});
    })();
    ends = [
      () => observer.nc.close(),
      async () => {
        ended = true;
        await relaying;
      },
    ];
  }

  /** A candidate forecasts nonsense if its name says so. */
  const openFiles = ({ claim }: ModelFilesOf): Promise<Model> => {
    const { name } = claim as { name: string };
    return Promise.resolve(fakeModel({ hash: name, width: /^(default|bad)/.test(name) ? 500 : 1.5 }));
  };

  async function start(member: string, change: Partial<SiteTuningParts> = {}): Promise<Tuner> {
    const registry = new ModelRegistry(tempDir());
    const inputs: RecordedTuningInput[] = [];
    const running = await runWorker(config, member, { openFiles, tunes: () => true });
    const settings = configSchema.shape.finetune.parse({});
    const tuning = new SiteTuning({
      site: running.site,
      member,
      session: `${member}-${Math.random()}`,
      config: () => ({ finetune: settings, timezone: 'UTC' }),
      clock: systemClock,
      log: siteLog,
      registry,
      configured: () => 'base',
      facts: () => ({ loadPerCore: 0, temperatureC: null, cores: 2 }),
      isDraining: () => running.worker.isDraining,
      check: () => Promise.resolve(registry.open('base')),
      lookMs: 200,
      probation: { least: 4 },
      start: (input) => {
        inputs.push(input);
        let fail: (error: Error) => void = () => {};
        const killed = new Promise<never>((_, reject) => {
          fail = reject;
        });
        killed.catch(() => {});
        const result = outcome().then((report) => {
          if (report.status === 'promote')
            writeModelFolder(`${registry.dataFolder}/${input.name}`, modelFiles(input.name, { card: 100 }));
          return report;
        });
        return {
          result: Promise.race([result, killed]),
          stop: () => {},
          pause: () => {},
          resume: () => {},
          kill: async () => fail(new Error('killed')),
        };
      },
      ...change,
    });
    tuning.start();
    const end = async (): Promise<void> => {
      await tuning.stop();
      await running.kill();
    };
    ends.push(end);
    return {
      ...running,
      tuning,
      registry,
      inputs,
      end,
      kill: async () => {
        tuning.abandon();
        await running.kill();
      },
    };
  }

  const valueAt = (stream: number, step: number): number => 20 + stream + Math.sin(step / 10);
  const startMs = Math.floor(Date.now() / 1000) * 1000 - 3_000_000;

  /** As if the streams had been there for some minutes. */
  async function past(): Promise<void> {
    for (let step = 0; step < HEARD; step++) {
      const timeMs = startMs + step * 1000;
      const parts = Array.from({ length: PARTITIONS }, (_, partition) =>
        SPECS.flatMap((spec, at) => (partitionOf(spec.name, PARTITIONS) === partition ? [{ spec, at }] : [])),
      );
      await Promise.all(
        parts.map((list, partition) => {
          const samples = list.map(({ spec, at }) => ({
            stream: spec.name,
            timeMs,
            value: valueAt(at, step),
            arrivalMs: timeMs,
          }));
          const specs = step === 0 ? list.map(({ spec }) => spec) : [];
          const text = encodeBatch({ bridge: 'feed', untilMs: timeMs + 900, specs, samples });
          return observer.js.publish(inputSubject(config.name, partition), text);
        }),
      );
    }
  }

  const record = async () => (await readRecord(observer)).record;
  const given = (name: string): NewModel => ({
    id: name,
    name,
    claim: { name },
    files: new Map([['x', Buffer.from(name)]]),
  });
  const setting = (change: { probationMs?: number; after?: number; byBridges?: boolean } = {}) => ({
    timeoutMs: 90_000,
    nowMs: Date.now(),
    wait: sleep,
    ...change,
  });

  it('learns from the logs, gives all workers the candidate, and takes it back when its live scores are bad', async () => {
    await site();
    const seen = listen(observer.nc, config.name);
    // Every one: the candidate may be taken back before anybody looks.
    const records: ModelRecord[] = [];
    const changes = await observer.state.watch({ key: MODEL_KEY });
    ends.push(() => changes.stop());
    void (async () => {
      for await (const entry of changes) records.push(entry.json());
    })();
    const [a, b] = [await start('a'), await start('b')];
    await past();
    const feed = new Feed(observer, SPECS);
    feed.start();
    ends.push(() => feed.finish());
    const tuners = [a, b];
    await waitFor('a run', () => tuners.some(({ inputs }) => inputs.length > 0));
    expect(tuners.filter(({ tuning }) => tuning.isHolder)).toHaveLength(1);
    const [input] = tuners.flatMap(({ inputs }) => inputs);
    expect(input.series.map(({ name }) => name).sort()).toEqual(SPECS.map(({ name }) => name).sort());
    for (const { name, values, startMs: fromMs } of input.series) {
      const at = SPECS.findIndex((spec) => spec.name === name);
      expect(fromMs).toBe(startMs);
      expect([...values.slice(0, HEARD)]).toEqual(
        Array.from({ length: HEARD }, (_, step) => valueAt(at, step)),
      );
    }
    expect(input.champion.manifest.name).toBe('base');
    const first = await waitFor('the candidate to be in the logs', () =>
      records.find(({ announced }) => announced),
    );
    expect(first).toMatchObject({ number: 1, name: input.name, reason: PROMISED.reason });
    await waitFor(
      'it to be taken back',
      async () => (await record())?.number === 2 && (await record())?.announced === true,
    );
    const back = await record();
    expect(back).toMatchObject({ name: 'base', probationMs: 0 });
    expect(back?.former).toHaveLength(1);
    await waitFor(
      'all to have it',
      async () => (await notSwitched(observer, { number: 2, id: '' })).length === 0,
    );
    const holder = tuners.find(({ tuning }) => tuning.isHolder);
    await waitFor('the report', () => holder?.tuning.state.last.status === 'rolled-back');
    expect(holder?.tuning.state).toMatchObject({ seen: 2, probation: null });
    expect((await readSiteModel(observer)).tuning.last.reason).toMatch(/live loss is/);
    expect(
      a.registry
        .list()
        .concat(b.registry.list())
        .map(({ name }) => name),
    ).not.toContain(input.name);
    await feed.finish();
    const open = async (ref: { number: number; id: string }) =>
      openFiles(await readFiles(observer.models, ref));
    const text = (forecast: Forecast, issuedMs: number) => textOf()(forecast, issuedMs);
    const { violations, texts } = await verdict(observer, seen, fakeModel(), { text, openModel: open });
    expect(violations).toEqual([]);
    expect(texts.length).toBeGreaterThan(3 * SPECS.length);
  });

  it('goes on elsewhere when its worker is killed in a run, and at once when it is drained', async () => {
    await site();
    outcome = () => new Promise(() => {});
    const a = await start('a');
    await past();
    // Time goes on, as with a bridge whose sensors are silent.
    const feed = new Feed(observer, []);
    feed.start();
    ends.push(() => feed.finish());
    await waitFor('a run', () => a.inputs.length > 0);
    const b = await start('b');
    await a.kill();
    await waitFor('the other to take over', () => b.tuning.isHolder);
    await waitFor('the report', () => b.tuning.state.last.status === 'failed');
    expect(b.tuning.state.last.reason).toBe('the agent ended during the run');
    // The run may have been what ended the worker: it is repeated after a pause, or when an operator says so.
    await waitFor('b to own all', () => b.owned().length === PARTITIONS);
    await waitFor('the pause', () => b.tuning.state.scheduler?.pending === 'schedule');
    expect(b.inputs).toHaveLength(0);
    await waitFor('its start', async () => (await requestTuning(observer)).status === 'started');
    await waitFor('the run', () => b.inputs.length === 1);
    await expect(requestTuning(observer)).rejects.toThrow(/b does not fine-tune: fine-tuning is running/);
    const c = await start('c');
    outcome = () => Promise.resolve({ ...PROMISED, status: 'refused', reason: 'no better' });
    await setDrained(observer, 'b', true);
    await waitFor('the run of the third', () => c.inputs.length === 1);
    await waitFor('its report', () => c.tuning.state.last.status === 'refused');
    expect(await record()).toBeNull();
  });

  it('confirms a model of the operator whose live scores are good, and replaces one whose are bad', async () => {
    await site();
    const a = await start('a');
    const feed = new Feed(observer, SPECS);
    feed.start();
    ends.push(() => feed.finish());
    await waitFor('it to own all', () => a.owned().length === PARTITIONS);
    const good = await setModel(observer, given('good'), setting({ probationMs: 1000 }));
    await waitFor('its probation to end', () => a.tuning.state.last.status === 'confirmed');
    expect(a.tuning.state).toMatchObject({ seen: good.number, probation: null });
    await setModel(observer, given('bad'), setting({ probationMs: 3_600_000 }));
    await waitFor(
      'it to be replaced',
      async () => (await record())?.number === 3 && (await record())?.announced === true,
    );
    expect(await record()).toMatchObject({ id: 'good', name: 'good', announced: true });
    await waitFor(
      'the switch',
      async () => (await notSwitched(observer, { number: 3, id: '' })).length === 0,
    );
    expect(await formerModel(observer)).toMatchObject({ id: 'bad' });
  });

  it('withdraws a model that workers still check when it stops', async () => {
    await site();
    // It never checks a model.
    const stuck = JSON.stringify({ session: 's', version: '1', model: 'm', draining: true, partitions: [] });
    let ended = false;
    const staying = (async () => {
      for (; !ended; await sleep(200)) await observer.members.put(memberKey('worker', 'stuck'), stuck);
    })();
    ends.push(async () => {
      ended = true;
      await staying;
    });
    const a = await start('a');
    await past();
    const feed = new Feed(observer, []);
    feed.start();
    ends.push(() => feed.finish());
    await waitFor('the check', async () => (await record())?.announced === false);
    await a.end();
    expect(await record()).toMatchObject({ number: 0, announced: false });
  });

  it('survives a change of the model that is cut off at any point', async () => {
    await site();
    const a = await start('a');
    await waitFor('it to own all', () => a.owned().length === PARTITIONS);
    await setModel(observer, given('first'), setting());
    // Cut off while the workers check it: it is in no log. The next one takes its number, and there is no way back to it.
    const dead = { ...observer, state: { ...observer.state } } as Site;
    dead.state.get = (key) => observer.state.get(key);
    dead.state.create = (...args) => observer.state.create(...args);
    let writes = 0;
    dead.state.update = (...args) => {
      if (++writes > 1) throw new Error('killed');
      return observer.state.update(...args);
    };
    await expect(setModel(dead, given('lost'), setting())).rejects.toThrow('killed');
    expect(await record()).toMatchObject({ number: 2, id: 'lost', announced: false });
    expect(await setModel(observer, given('second'), setting())).toMatchObject({
      number: 2,
      former: ['first'],
    });
    // Cut off before it is in the logs: a bridge completes it.
    const third = await setModel(observer, given('third'), setting({ byBridges: true }));
    await waitFor('the switch', async () => (await notSwitched(observer, third)).length === 0);
    expect(third).toMatchObject({ number: 3, former: ['first', 'second'] });
    // One that was decided before another one was set changes nothing.
    await expect(setModel(observer, given('late'), setting({ after: 2 }))).rejects.toThrow(/Another model/);
    expect((await record())?.id).toBe('third');
    // Cut off while files are stored: nobody refers to them, and they go after a while.
    await observer.models.putBlob({ name: 'half/x' }, Buffer.from('x'));
    expect(await removeUnused(observer.models, await record(), Date.now() - 60_000)).toEqual([]);
    const removed = await removeUnused(observer.models, await record(), Date.now() + 60_000);
    expect(removed.sort()).toEqual(['half/x', 'lost', 'lost/x']);
  });
});
