// Workers of a site against a real nats-server: who owns what, and that the forecasts are those of one process that never stopped.
import { describe, expect, it } from 'vitest';
import { encodeBatch } from '../../src/site/batch.ts';
import { inputStream, inputSubject, lastSubject, partitionOf } from '../../src/site/names.ts';
import type { PartitionShares } from '../../src/site/partition.ts';
import { newestForecast, readMembers, readPartitions } from '../../src/site/status.ts';
import type { SiteWorker } from '../../src/site/worker.ts';
import { fakeModel } from '../support/fake-model.ts';
import { hasNats } from '../support/nats.ts';
import { stopwatch } from '../support/run-delay.ts';
import { Feed, listen, streamSpecs, verdict } from '../support/site.ts';
import { PARTITIONS, TTL_MS, workersOfTest } from '../support/site-workers.ts';
import { waitFor } from '../support/wait.ts';

const sharesOf = (worker: SiteWorker): PartitionShares =>
  (worker as unknown as { shares: PartitionShares }).shares;

describe.skipIf(!hasNats)('workers of a site', () => {
  const site = workersOfTest();

  it('share the partitions, take over those of one that is killed, and make the forecasts of one process', async () => {
    const { config, observer, start } = await site();
    const ask = async (stream: string): Promise<Record<string, unknown>> => {
      const subject = lastSubject(config.name, partitionOf(stream, PARTITIONS));
      return (await observer.nc.request(subject, stream, { timeout: 90_000 })).json();
    };
    const seen = listen(observer.nc, config.name);
    const feed = new Feed(observer, streamSpecs(12));
    feed.start();
    // The second one has so little memory that it packs its streams.
    const [a, b] = [await start('a'), await start('b', { memory: { total: 1, heap: Infinity } })];
    await waitFor('both to own partitions', () => a.owned().length === 2 && b.owned().length === 2);
    await waitFor('forecasts', () => seen.length > 12);
    await a.kill();
    const watch = stopwatch();
    await waitFor('the other to own all', () => b.owned().length === PARTITIONS);
    expect(watch.stop()).toBeLessThan(5 * TTL_MS);
    await waitFor('enough forecasts', () => seen.length > 60);
    await feed.finish();
    expect([a, b].map(({ worker }) => sharesOf(worker).pools.isCrowded)).toEqual([false, true]);
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

  it.each([20, 3])('read a log that was made anew from its beginning (%i messages)', async (count) => {
    const { config, observer, start } = await site();
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
    await waitFor('a checkpoint', () => a.worker.states()[partition].object !== null);
    // More than before, or fewer: the numbers say nothing.
    const name = inputStream(config.name, partition);
    const { config: settings } = await observer.jsm.streams.info(name);
    await observer.jsm.streams.delete(name);
    await observer.jsm.streams.add(settings);
    await write(count, 5);
    await waitFor('the readings of the new log', () => taken() === 10 + count);
  });
});
