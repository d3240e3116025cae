// Workers of a site that die, lose their connection, their partition or their model, against a real nats-server.
import { describe, expect, it, vi } from 'vitest';
import type { StreamSpec } from '../../src/series/spec.ts';
import { encodeBatch, type ModelRef } from '../../src/site/batch.ts';
import { readRecord } from '../../src/site/models.ts';
import { inputSubject, partitionKey, partitionOf } from '../../src/site/names.ts';
import { Partition } from '../../src/site/partition.ts';
import { notSwitched, setModel } from '../../src/site/set-model.ts';
import { setDrained } from '../../src/site/status.ts';
import { fakeModel } from '../support/fake-model.ts';
import { hasNats } from '../support/nats.ts';
import { Feed, listen, streamSpecs, textOf, undisturbed, verdict } from '../support/site.ts';
import type { RunningWorker } from '../support/site-worker.ts';
import { PARTITIONS, workersOfTest } from '../support/site-workers.ts';
import { waitFor } from '../support/wait.ts';

describe.skipIf(!hasNats)('workers of a site', () => {
  let refusing = '';
  const site = workersOfTest((member) => member === refusing);

  /** From the n-th forecast on none arrives, and `happens` is called. */
  function loseAfter(count: number, { site: own }: RunningWorker, happens: () => void): { end(): void } {
    const publish = own.nc.publish.bind(own.nc);
    let losing = true;
    let left = count;
    own.nc.publish = (subject, ...rest) => {
      if (losing && subject.includes('.forecast.') && --left < 0) {
        if (left === -1) happens();
        return;
      }
      publish(subject, ...rest);
    };
    return {
      end: () => {
        losing = false;
      },
    };
  }

  it('give back partitions whose checkpoints do not arrive, and keep others while no list of checkpoints does', async () => {
    const { config, observer, start } = await site();
    const never = () => new Promise<never>(() => {});
    let listed = 0;
    const a = await start('a', { jumpsMs: 120_000 });
    a.site.checkpoints.list = () => {
      listed++;
      return never();
    };
    const feed = new Feed(observer, streamSpecs(8));
    feed.start();
    await waitFor('checkpoints', () => a.worker.counts().checkpoints >= PARTITIONS);
    await waitFor('more of them', () => a.worker.counts().checkpoints >= 4 * PARTITIONS);
    const { state } = await observer.jsm.streams.info(`OBJ_gatecast-${config.name}-checkpoints`, {
      subjects_filter: '$O.*.M.>',
    });
    // The newest of each partition, and one that is being replaced.
    expect(Object.keys(state.subjects ?? {}).length).toBeLessThanOrEqual(2 * PARTITIONS);
    await waitFor('a look for old checkpoints', () => listed > 0);
    const b = await start('b');
    b.site.checkpoints.get = never;
    await setDrained(observer, 'a', true);
    await waitFor('the other to take all', () => b.worker.states().length === PARTITIONS);
    expect(b.owned()).toEqual([]);
    await setDrained(observer, 'b', true);
    await setDrained(observer, 'a', false);
    await waitFor('the first one to own all again', () => a.owned().length === PARTITIONS);
    expect(b.worker.problems().filter((text) => text.includes('failed'))).toEqual([]);
    await feed.finish();
  });

  it.each([0, 31])(
    'lose nothing when one dies between its mark and its publication (%i forecasts)',
    async (count) => {
      const { config, observer, start } = await site();
      const seen = listen(observer.nc, config.name);
      const feed = new Feed(observer, streamSpecs(12));
      feed.start();
      const a = await start('a');
      let dead = false;
      loseAfter(count, a, () => {
        dead = true;
        void a.kill();
      });
      await waitFor('its death', () => dead);
      const b = await start('b');
      await waitFor('the other to own all', () => b.owned().length === PARTITIONS);
      await feed.finish();
      const { violations, texts } = await verdict(observer, seen, fakeModel());
      expect(violations).toEqual([]);
      expect(texts.length).toBeGreaterThan(count + 12);
      expect(seen.filter(({ epoch }) => epoch === 2).length).toBeGreaterThan(0);
      if (count > 0) expect(b.worker.counts().repeated).toBeGreaterThan(0);
    },
  );

  it('send again what a lost connection may have taken with it', async () => {
    const { config, observer, start } = await site();
    const seen = listen(observer.nc, config.name);
    const feed = new Feed(observer, streamSpecs(12));
    feed.start();
    const a = await start('a');
    const loss = loseAfter(30, a, () => {
      void a.site.nc.reconnect().then(() => loss.end());
    });
    await waitFor('forecasts again', () => a.worker.counts().repeated > 0);
    await feed.finish();
    const { violations } = await verdict(observer, seen, fakeModel());
    expect(violations.filter((text) => !text.startsWith('sent twice'))).toEqual([]);
  });

  it('take a message again from the last checkpoint if they fail on it, and leave it out if they fail again', async () => {
    const { config, observer, start } = await site();
    const seen = listen(observer.nc, config.name);
    const specs = streamSpecs(8);
    const feed = new Feed(observer, specs);
    feed.start();
    const take = Partition.prototype.take;
    const failing = vi.spyOn(Partition.prototype, 'take');
    const a = await start('a');
    await waitFor('checkpoints', () => a.worker.counts().checkpoints >= PARTITIONS);
    // The engine has changed when it fails.
    failing.mockImplementationOnce(async function (this: Partition, ...args) {
      await take.apply(this, args);
      throw new Error('out of memory');
    });
    await waitFor('the failure', () => failing.mock.results.length > 0);
    await waitFor('forecasts', () => new Set(seen.map(({ text }) => text)).size > 16);
    await feed.finish();
    const { violations, texts } = await verdict(observer, seen, fakeModel());
    expect(violations).toEqual([]);
    expect(texts.length).toBeGreaterThan(16);
    expect(a.worker.counts().failed).toBe(0);
    // No process can take this one; the next one is taken.
    const [spec] = specs;
    const write = (timeMs: number, change: Partial<StreamSpec>) => {
      const text = encodeBatch({
        bridge: 'feed',
        untilMs: null,
        specs: [{ ...spec, ...change }],
        samples: [{ stream: spec.name, timeMs, value: 1, arrivalMs: timeMs }],
      });
      return observer.js.publish(inputSubject(config.name, partitionOf(spec.name, PARTITIONS)), text);
    };
    const { samples } = a.worker.counts();
    const names = Array.from({ length: 100 }, (_, at) => `poison ${at}`);
    const poison = names.find((name) => partitionOf(name, PARTITIONS) === partitionOf(spec.name, PARTITIONS));
    // Again the states have changed when it fails: what the message brought must not stay in them.
    failing.mockImplementation(async function (this: Partition, ...args) {
      const made = await take.apply(this, args);
      if (args[2].specs.some(({ name }) => name === poison)) throw new Error('no such thing');
      return made;
    });
    await write(Date.now(), { name: poison ?? '' });
    await write(Date.now(), { horizonMs: 6000 });
    await waitFor(
      'the next one',
      () => a.worker.counts().failed === 1 && a.worker.states().every(({ lag }) => lag === 0),
    );
    expect(a.worker.counts()).toMatchObject({ failed: 1, unreadable: 0 });
    expect(a.worker.counts().samples).toBeGreaterThanOrEqual(samples);
    expect(a.worker.states().reduce((sum, { streams }) => sum + streams, 0)).toBe(specs.length);
    failing.mockRestore();
  });

  it('switch to another model at one message of each log, and refuse it together', async () => {
    const { config, observer, start } = await site();
    const seen = listen(observer.nc, config.name);
    const feed = new Feed(observer, streamSpecs(12));
    feed.start();
    const [a, b] = [await start('a'), await start('b')];
    const options = {
      timeoutMs: 90_000,
      nowMs: Date.now(),
      wait: (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)),
    };
    const given = (id: string) => ({ id, name: id, claim: id, files: new Map([['x', Buffer.from(id)]]) });
    await waitFor('forecasts', () => seen.length > 24);
    refusing = 'b';
    await expect(setModel(observer, given('first'), options)).rejects.toMatchObject({
      code: 'MODEL_INVALID',
    });
    expect((await readRecord(observer)).record).toMatchObject({ number: 0 });
    refusing = '';
    const record = await setModel(observer, given('second'), options);
    expect(record).toMatchObject({ number: 1, announced: true });
    await waitFor('all to switch', async () => (await notSwitched(observer, record)).length === 0);
    // The next owner of its partitions begins with the model of their checkpoints.
    await a.kill();
    await waitFor('the other to own all', () => b.owned().length === PARTITIONS);
    await waitFor('it to read on', () => b.worker.states().every(({ model }) => model === 1));
    // The same again changes nothing; a third one is the next number.
    expect((await setModel(observer, given('second'), options)).number).toBe(1);
    expect(await setModel(observer, given('third'), options)).toMatchObject({
      number: 2,
      former: ['second'],
    });
    await waitFor(
      'all to switch',
      async () => (await notSwitched(observer, { number: 2, id: '' })).length === 0,
    );
    const before = seen.length;
    await waitFor('forecasts by the third', () => seen.length > before + 24);
    await feed.finish();
    const open = (ref: ModelRef) => Promise.resolve(fakeModel({ hash: ref.id, width: 2 }));
    const { violations } = await verdict(observer, seen, fakeModel(), { openModel: open });
    expect(violations).toEqual([]);
    const never = await undisturbed(observer, fakeModel({ hash: 'unchanged' }), textOf(), () =>
      Promise.resolve(fakeModel({ hash: 'unchanged' })),
    );
    expect(never.texts).not.toEqual((await undisturbed(observer, fakeModel(), textOf(), open)).texts);
  });

  it('publish nothing once another member has taken over, whatever they believe', async () => {
    const { config, observer, start } = await site();
    const seen = listen(observer.nc, config.name);
    const feed = new Feed(observer, streamSpecs(12));
    const a = await start('a');
    await waitFor('one to own all', () => a.owned().length === PARTITIONS);
    feed.start();
    await waitFor('forecasts', () => seen.length > 12);
    // Another owner takes the partition over while this one still renews its lease.
    const key = partitionKey(0);
    const entry = await observer.state.get(key);
    const manifest = entry?.json<{ epoch: number }>();
    const epoch = (manifest?.epoch ?? 0) + 1;
    await observer.state.put(
      key,
      JSON.stringify({ ...manifest, epoch, owner: 'other', publishedMs: Date.now() + 3600_000 }),
    );
    await waitFor('the partition to be given up', () => !a.owned().includes(0));
    const after = seen.length;
    await waitFor('forecasts of the others', () => seen.length > after + 12);
    const own = seen.slice(after).filter(({ stream }) => partitionOf(stream, PARTITIONS) === 0);
    // One tick at most had been marked before.
    expect(own.filter((one) => one.epoch < epoch).length).toBeLessThanOrEqual(12);
    await feed.finish();
  });
});
