// Workers of two versions side by side, against a real nats-server, as while a site is upgraded one worker at a time.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Model } from '../../src/forecast/model.ts';
import { openSite } from '../../src/site/nats.ts';
import { setDrained } from '../../src/site/status.ts';
import { fakeModel } from '../support/fake-model.ts';
import { hasNats, type NatsServer, startNatsServer } from '../support/nats.ts';
import { Feed, listen, makeSite, streamSpecs, verdict } from '../support/site.ts';
import { type RunningWorker, runWorker } from '../support/site-worker.ts';
import { waitFor } from '../support/wait.ts';

const PARTITIONS = 4;

describe.skipIf(!hasNats)('workers of two versions', () => {
  let server: NatsServer;
  const ends: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    server = await startNatsServer();
  });
  afterAll(async () => {
    for (const end of ends.reverse()) await end();
    await server?.stop();
  });

  it('that cannot read the states of each other rebuild them from the logs, and lose nothing', async () => {
    const config = await makeSite([server.url], { partitions: PARTITIONS, ttlMs: 1000 });
    const observer = await openSite(config, 'observer');
    ends.push(() => observer.nc.close());
    const start = async (member: string, model: Model): Promise<RunningWorker> => {
      const one = await runWorker(config, member, { model, openFiles: () => Promise.resolve(model) });
      ends.push(() => one.kill());
      return one;
    };
    const seen = listen(observer.nc, config.name);
    const feed = new Feed(observer, streamSpecs(12));
    feed.start();
    const later = (epoch: number): number => seen.filter((one) => one.epoch >= epoch).length;
    const old = await start('old', fakeModel());
    await waitFor('checkpoints of the old version', () => old.worker.counts().checkpoints >= PARTITIONS);
    // The same numbers under another hash, as states of another format have.
    const next = await start('next', fakeModel({ hash: 'next' }));
    await waitFor('a share of the new version', () => next.owned().length > 0);
    await waitFor('forecasts from rebuilt states', () => later(2) > 6);
    await setDrained(observer, 'old', true);
    await waitFor('the new version to own all', () => next.owned().length === PARTITIONS);
    await waitFor('checkpoints of the new version', () => next.worker.counts().checkpoints >= 2 * PARTITIONS);
    // And back: an upgrade that is given up.
    await setDrained(observer, 'next', true);
    await setDrained(observer, 'old', false);
    await waitFor('the old version to own all', () => old.owned().length === PARTITIONS);
    await waitFor('forecasts from states rebuilt again', () => later(3) > 6);
    await feed.finish();
    const { violations, readings } = await verdict(observer, seen, fakeModel());
    expect(violations).toEqual([]);
    expect(readings).toBe(feed.sent);
    expect(old.worker.counts().lostMessages + next.worker.counts().lostMessages).toBe(0);
  });
});
