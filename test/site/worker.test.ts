// Workers of a site against a real nats-server: who owns what, and that the forecasts are those of one process that never stopped.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { GatecastError } from '../../src/errors.ts';
import { encodeBatch, type ModelRef } from '../../src/site/batch.ts';
import { readRecord } from '../../src/site/models.ts';
import { inputStream, inputSubject, lastSubject, partitionKey, partitionOf } from '../../src/site/names.ts';
import { openSite, type Site, type SiteConfig } from '../../src/site/nats.ts';
import { notSwitched, setModel } from '../../src/site/set-model.ts';
import { newestForecast, readMembers, readPartitions } from '../../src/site/status.ts';
import { systemClock } from '../../src/system/clock.ts';
import { fakeModel } from '../support/fake-model.ts';
import { hasNats, type NatsServer, startNatsServer } from '../support/nats.ts';
import { Feed, listen, makeSite, streamSpecs, textOf, undisturbed, verdict } from '../support/site.ts';
import { type RunningWorker, runWorker } from '../support/site-worker.ts';
import { waitFor } from '../support/wait.ts';

const PARTITIONS = 4;
const TTL_MS = 1000;

describe.skipIf(!hasNats)('workers of a site', () => {
  let server: NatsServer;
  let config: SiteConfig;
  let observer: Site;
  let running: RunningWorker[] = [];

  beforeAll(async () => {
    server = await startNatsServer();
  });
  afterAll(() => server?.stop());
  afterEach(async () => {
    await Promise.all(running.map((one) => one.kill()));
    running = [];
    await observer?.nc.close();
  });

  let count = 0;
  let refusing = '';
  async function site(): Promise<void> {
    config = {
      ...(await makeSite([server.url], { partitions: PARTITIONS, ttlMs: TTL_MS }, `plant${++count}`)),
    };
    observer = await openSite(config, 'observer');
  }

  async function start(member: string): Promise<RunningWorker> {
    const one = await runWorker(config, member, {
      openFiles: ({ claim }) => {
        if (member === refusing) throw new GatecastError('MODEL_INVALID', 'no such processor');
        return Promise.resolve(fakeModel({ hash: String(claim), width: 2 }));
      },
      // Another time than the server's: neither leases nor forecasts depend on it.
      clock: { ...systemClock, now: () => Date.now() + (member === 'b' ? 60_000 : 0) },
    });
    running.push(one);
    return one;
  }

  async function ask(stream: string): Promise<Record<string, unknown>> {
    const subject = lastSubject(config.name, partitionOf(stream, PARTITIONS));
    return (await observer.nc.request(subject, stream, { timeout: 30_000 })).json();
  }

  it('share the partitions, take over those of one that is killed, and make the forecasts of one process', async () => {
    await site();
    const seen = listen(observer.nc, config.name);
    const feed = new Feed(observer, streamSpecs(12));
    feed.start();
    const [a, b] = [await start('a'), await start('b')];
    await waitFor('both to own partitions', () => a.owned().length === 2 && b.owned().length === 2);
    await waitFor('forecasts', () => seen.length > 12);
    await a.kill();
    const killedMs = performance.now();
    await waitFor('the other to own all', () => b.owned().length === PARTITIONS);
    expect(performance.now() - killedMs).toBeLessThan(5 * TTL_MS);
    await feed.finish();
    const { violations, texts, readings, late } = await verdict(observer, seen, fakeModel());
    expect(violations).toEqual([]);
    expect(readings).toBe(feed.sent);
    expect(late).toEqual([]);
    expect(texts.length).toBeGreaterThan(40);
    expect(new Set(seen.map(({ epoch }) => epoch)).size).toBeGreaterThan(1);
    // Whoever owns the partition now answers for the newest forecast of each stream, with its own epoch.
    const newest = new Map(seen.map(({ stream, text }) => [stream, text]));
    for (const [stream, text] of newest) {
      const { epoch, ...answer } = await ask(stream);
      expect(answer).toEqual(JSON.parse(text));
      expect(epoch).toBeGreaterThan(0);
    }
    expect(await ask('nothing')).toMatchObject({ error: 'unknown stream' });
    await expect(newestForecast(observer, 'nothing')).rejects.toMatchObject({ code: 'STREAM_UNKNOWN' });
    expect(JSON.parse(await newestForecast(observer, seen[0].stream))).toMatchObject({
      stream: seen[0].stream,
    });
    // What the operator sees.
    expect((await readPartitions(observer)).map(({ owner, lag }) => [owner, lag])).toEqual(
      Array.from({ length: PARTITIONS }, () => ['b', 0]),
    );
    const [only] = (await readMembers(observer)).filter(({ member }) => member === 'b');
    expect(only).toMatchObject({ role: 'worker', partitions: PARTITIONS, streams: 12, draining: false });
    // Another worker of the same name is noticed by both.
    const twin = await start('b');
    await waitFor('the twin to be noticed', () =>
      b.worker.problems().join().includes('two workers have the name b'),
    );
    await twin.kill();
  });

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

  it.each([0, 31])(
    'lose nothing when one dies between its mark and its publication (%i forecasts)',
    async (count) => {
      await site();
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
    await site();
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

  it('switch to another model at one message of each log, and refuse it together', async () => {
    await site();
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

  it.each([20, 3])('read a log that was made anew from its beginning (%i messages)', async (count) => {
    await site();
    const [spec] = streamSpecs(1);
    const partition = partitionOf(spec.name, PARTITIONS);
    let written = 0;
    const write = async (times: number, pauseMs: number) => {
      for (let i = 0; i < times; i++) {
        const timeMs = Date.now();
        const samples = [{ stream: spec.name, timeMs, value: ++written, arrivalMs: timeMs }];
        const text = encodeBatch({ bridge: 'b', untilMs: timeMs, specs: i === 0 ? [spec] : [], samples });
        await observer.js.publish(inputSubject(config.name, partition), text);
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    };
    const a = await start('a');
    await waitFor('it to own all', () => a.owned().length === PARTITIONS);
    await write(10, 150);
    const taken = () => {
      const { samples, refused } = a.worker.counts();
      return samples + Object.values(refused).reduce((sum, one) => sum + one, 0);
    };
    await waitFor('all readings', () => taken() === 10);
    await waitFor('a checkpoint', () => a.worker.states()[partition].savedMs > 0);
    // More than before, or fewer: the numbers say nothing.
    const name = inputStream(config.name, partition);
    const { config: settings } = await observer.jsm.streams.info(name);
    await observer.jsm.streams.delete(name);
    await observer.jsm.streams.add(settings);
    await write(count, 5);
    await waitFor('the readings of the new log', () => taken() === 10 + count);
  });

  it('publish nothing once another member has taken over, whatever they believe', async () => {
    await site();
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
