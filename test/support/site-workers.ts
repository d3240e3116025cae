/** Workers of a site in the test's process, with a nats-server for the tests of a file and a new site for each. */
import { afterAll, afterEach, beforeAll } from 'vitest';
import { GatecastError } from '../../src/errors.ts';
import { openSite, type Site, type SiteConfig } from '../../src/site/nats.ts';
import type { MemoryLimits } from '../../src/site/partition.ts';
import { systemClock } from '../../src/system/clock.ts';
import { fakeModel } from './fake-model.ts';
import { type NatsServer, startNatsServer } from './nats.ts';
import { makeSite } from './site.ts';
import { type RunningWorker, runWorker } from './site-worker.ts';

export const PARTITIONS = 4;
export const TTL_MS = 1000;

export interface SiteOfTest {
  readonly config: SiteConfig;
  readonly observer: Site;
  /** @param jumpsMs by which its monotonic clock jumps ahead after the start */
  start(
    member: string,
    options?: { readonly jumpsMs?: number; readonly memory?: MemoryLimits },
  ): Promise<RunningWorker>;
}

/** `refuses`: whether a member cannot open a model now. */
export function workersOfTest(refuses: (member: string) => boolean = () => false): () => Promise<SiteOfTest> {
  let server: NatsServer | undefined;
  let observer: Site | undefined;
  let running: RunningWorker[] = [];
  let count = 0;

  beforeAll(async () => {
    server = await startNatsServer();
  });
  afterAll(() => server?.stop());
  afterEach(async () => {
    await Promise.all(running.map((one) => one.kill()));
    running = [];
    await observer?.nc.close();
  });

  return async () => {
    const servers = server ? [server.url] : [];
    const config = await makeSite(servers, { partitions: PARTITIONS, ttlMs: TTL_MS }, `plant${++count}`);
    const opened = await openSite(config, 'observer');
    observer = opened;
    const start: SiteOfTest['start'] = async (member, { jumpsMs = 0, memory } = {}) => {
      let aheadMs = 0;
      const one = await runWorker(config, member, {
        ...(memory && { memory }),
        openFiles: ({ claim }) => {
          if (refuses(member)) throw new GatecastError('MODEL_INVALID', 'no such processor');
          return Promise.resolve(fakeModel({ hash: String(claim), width: 2 }));
        },
        // Another time than the server's: neither leases nor forecasts depend on it.
        clock: {
          ...systemClock,
          now: () => Date.now() + (member === 'b' ? 60_000 : 0),
          monotonic: () => systemClock.monotonic() + aheadMs,
        },
      });
      aheadMs = jumpsMs;
      running.push(one);
      return one;
    };
    return { config, observer: opened, start };
  };
}
