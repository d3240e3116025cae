/** A worker of a site inside the test's process, against a real nats-server. */
import { createLogger } from '../../src/log.ts';
import { openSite, type Site, type SiteConfig } from '../../src/site/nats.ts';
import { SiteWorker, type WorkerParts } from '../../src/site/worker.ts';
import { systemClock } from '../../src/system/clock.ts';
import { fakeModel } from './fake-model.ts';
import { textOf } from './site.ts';

/** `SITE_DEBUG=1` shows what the workers log. */
export const siteLog = createLogger({
  level: () => 'info',
  write: (line) => void (process.env.SITE_DEBUG && process.stderr.write(line)),
  now: () => Date.now(),
  journald: false,
});

export interface RunningWorker {
  readonly worker: SiteWorker;
  readonly site: Site;
  owned(): number[];
  /** As a process that ends without a word. */
  kill(): Promise<void>;
}

export async function runWorker(
  config: SiteConfig,
  member: string,
  parts: Pick<WorkerParts, 'openFiles'> & Partial<WorkerParts>,
): Promise<RunningWorker> {
  const site = await openSite(config, member);
  const worker = new SiteWorker({
    site,
    member,
    session: `${member}-${Math.random()}`,
    version: '1',
    memory: { total: Infinity, heap: Infinity },
    model: fakeModel(),
    clock: systemClock,
    log: siteLog,
    checkpointMs: () => 700,
    text: textOf(),
    published: () => {},
    ...parts,
  });
  let ended = false;
  const loop = (async () => {
    while (!ended) {
      await worker.round().catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, site.ttlMs / 4));
    }
  })();
  return {
    worker,
    site,
    owned: () =>
      worker
        .states()
        .filter(({ ready }) => ready)
        .map(({ partition }) => partition),
    kill: async () => {
      ended = true;
      worker.abandon();
      await site.nc.close();
      await loop;
    },
  };
}
