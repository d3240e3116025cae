// A random run: workers, the bridge and nats-server are killed, stopped and started by a seeded schedule. SITE_MINUTES=20 makes it
// long, SITE_SEED chooses another one.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PartitionStatus, readPartitions } from '../../src/site/status.ts';
import type { Daemon } from '../support/daemon.ts';
import { freePort, hasMosquitto } from '../support/mosquitto.ts';
import { hasNats } from '../support/nats.ts';
import { uniform } from '../support/random.ts';
import { isExcused, newestSeen, type Outage } from '../support/site.ts';
import type { MemberOptions } from '../support/site-process.ts';
import { SiteRun } from '../support/site-run.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const MINUTES = Number(process.env.SITE_MINUTES ?? 2);
const SEED = Number(process.env.SITE_SEED ?? 1);
const STREAMS = 24;
const WORKERS = ['one', 'two', 'three'];
const tempDir = tempDirs();

describe.skipIf(!hasNats || !hasMosquitto)('a random run of a site', () => {
  let run: SiteRun;
  const ports = new Map<string, number>();
  /** Forecasts that the runs of workers that have ended may have sent again. */
  let repeatedBefore = 0;
  const next = uniform(SEED);
  const between = (least: number, most: number): number => least + next() * (most - least);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)];

  const options = (node: string): MemberOptions =>
    run.member(node, [node === 'bridge' ? 'bridge' : 'worker'], {
      rest: { http: { listen: `127.0.0.1:${ports.get(node)}` } },
    });
  const start = (node: string): Promise<Daemon> => run.start(options(node));
  /** Forecasts that the present run of a worker has sent again so far, and its streams. */
  const repeated = async (node: string): Promise<{ repeated: number; streams: number }> => {
    const url = `http://127.0.0.1:${ports.get(node)}/metrics`;
    const text = await (await fetch(url, { signal: AbortSignal.timeout(90_000) })).text();
    const value = (name: string): number =>
      Number(new RegExp(`^gatecast_site_${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
    return { repeated: value('forecasts_repeated_total'), streams: value('streams') };
  };
  /** After its counter was read, a worker may once more send the newest forecasts of its streams. */
  const end = async (node: string, signal: NodeJS.Signals): Promise<void> => {
    const last = await repeated(node);
    repeatedBefore += last.repeated + last.streams;
    await run.members.get(node)?.end(signal);
  };
  const kill = (node: string): Promise<void> => end(node, 'SIGKILL');
  const outages: Outage[] = [];

  const FAULTS: Readonly<Record<string, () => Promise<void>>> = {
    'a worker is killed': async () => {
      const node = pick(WORKERS);
      await kill(node);
      await sleep(between(0, 6000));
      await start(node);
    },
    'a worker is suspended': async () => {
      const daemon = run.members.get(pick(WORKERS));
      daemon?.process.kill('SIGSTOP');
      await sleep(between(500, 8000));
      daemon?.process.kill('SIGCONT');
    },
    'a worker is stopped': async () => {
      const node = pick(WORKERS);
      await end(node, 'SIGTERM');
      await sleep(between(0, 4000));
      await start(node);
    },
    'the bridge is killed': async () => {
      await run.members.get('bridge')?.end('SIGKILL');
      await sleep(between(0, 2000));
      await start('bridge');
    },
    'two workers are killed': async () => {
      await Promise.all([kill('one'), kill('two')]);
      await sleep(between(0, 3000));
      await Promise.all([start('one'), start('two')]);
    },
    'nats-server is killed': async () => {
      const fromMs = Date.now() - 3000;
      const newest = newestSeen(run.seen);
      run.nats.signal('SIGKILL');
      await sleep(between(200, 3000));
      await run.nats.restart();
      await waitFor('the listener', async () =>
        run.observer.jsm.getAccountInfo().then(
          () => true,
          () => false,
        ),
      );
      await sleep(1000);
      outages.push([fromMs, Date.now(), newest]);
    },
  };

  beforeAll(async () => {
    run = await SiteRun.single(tempDir(), 'allow_anonymous true\nmax_queued_messages 100000');
    for (const node of [...WORKERS, 'bridge']) ports.set(node, await freePort());
    await run.create(options('bridge'), 8, '2s');
    await run.open();
    for (const node of [...WORKERS, 'bridge']) await start(node);
  });

  afterAll(() => run?.end());

  it(
    `keeps its promises (seed ${SEED}, ${MINUTES} minutes)`,
    async () => {
      await run.startSensors(STREAMS);
      await run.forecastsOf(STREAMS);
      const endMs = performance.now() + MINUTES * 60_000;
      const done: string[] = [];
      while (performance.now() < endMs) {
        const fault = pick(Object.keys(FAULTS));
        done.push(`${new Date().toISOString()} ${fault}`);
        await FAULTS[fault]();
        await sleep(between(500, 5000));
      }
      await run.finish();
      let partitions: PartitionStatus[] = [];
      await waitFor('all partitions to be owned and read', async () => {
        partitions = await readPartitions(run.observer);
        return partitions.every(({ owner, lag }) => owner !== null && lag === 0);
      }).catch((error) => {
        const logs = [...run.members].map(([node, { output }]) => `${node}\n${output().slice(-4000)}`);
        console.error(
          [...partitions.map((one) => JSON.stringify(one)), ...done.slice(-5), ...logs].join('\n'),
        );
        throw error;
      });
      const { violations: found, texts, readings, late } = await run.verdict(outages);
      console.info(
        `${done.length} faults, ${readings} readings, ${texts.length} forecasts, ${found.length} of them lost on their way`,
      );
      // A worker whose connection was replaced, also after it was suspended, sends what is not confirmed again, and counts that. It
      // is the same text, and that of the undisturbed run: another one is another violation.
      const again = found.filter((text) => text.startsWith('sent twice'));
      const running = await Promise.all(WORKERS.map(repeated));
      const counted = running.reduce((sum, one) => sum + one.repeated, repeatedBefore);
      console.info(`${again.length} forecasts seen again, ${counted} that workers may have sent again`);
      expect(again.length).toBeLessThanOrEqual(Math.min(counted, done.length * STREAMS));
      expect(found.filter((text) => !again.includes(text) && !isExcused(text, outages))).toEqual([]);
      if (late.length > 0) console.error(done.join('\n'), run.members.get('bridge')?.output());
      expect(readings).toBe(run.sensors.sent);
      expect(late).toEqual([]);
    },
    (MINUTES + 5) * 60_000,
  );
});
