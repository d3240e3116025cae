/**
 * A site: what a stream costs a worker, how much more two workers carry than one, how long a takeover takes, and what a bridge costs
 * beside a plain MQTT client. Processor time, not time on the clock: other work on the machine only lengthens the latter.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeBatch } from '../../src/site/batch.ts';
import { inputSubject, partitionOf } from '../../src/site/names.ts';
import { openSite, type Site } from '../../src/site/nats.ts';
import { readPartitions } from '../../src/site/status.ts';
import { startChild } from '../support/child.ts';
import type { Daemon } from '../support/daemon.ts';
import { type Mosquitto, startMosquitto } from '../support/mosquitto.ts';
import { hasNats, startNatsServer } from '../support/nats.ts';
import { listen, siteConfig } from '../support/site.ts';
import { command, type MemberOptions, memberFile, startMember } from '../support/site-process.ts';
import { testSpec } from '../support/specs.ts';
import { sleep, waitFor } from '../support/wait.ts';
import { publishPacket, Sender } from './load.ts';
import { cpuMs } from './process.ts';
import type { Bench, Figure } from './report.ts';

const FEW = 1000;
/** SITE_STREAMS=100000 takes some minutes and 6 GB. */
const MANY = Number(process.env.SITE_STREAMS ?? 20_000);
/** Streams of the processes, each with a reading and a forecast a second. */
const STREAMS = 1500;
const SECONDS = 10;
const MESSAGES = 20_000;

interface Cost {
  readonly costUs: number;
  readonly residentMb: number;
  readonly checkpointBytes: number;
  readonly saveUs: number;
  readonly restoreUs: number;
}

const MINUTES = 6;
const WARM_UP_MINUTES = 30;
/** A small site is measured so often that it has as many readings as this. */
const LEAST_STREAMS = 20_000;

async function play(...args: readonly number[]): Promise<Cost> {
  const child = startChild(new URL('./site-child.ts', import.meta.url).pathname, args.map(String));
  const { code } = await child.ended;
  const line = child.lines.at(-1);
  if (code !== 0 || line === undefined) throw new Error(child.errors());
  return JSON.parse(line) as Cost;
}

/**
 * In warm code; the memory in a process of its own, which has done nothing else.
 * @param isPacked as on a machine that has too little memory for so many streams
 */
export async function costOf(streams: number, isPacked = false): Promise<Cost> {
  const sites = Math.max(1, LEAST_STREAMS / streams);
  const { residentMb } = await play(streams, MINUTES, 1, 0, Number(isPacked));
  return { ...(await play(streams, MINUTES, sites, WARM_UP_MINUTES, Number(isPacked))), residentMb };
}

const specs = Array.from({ length: STREAMS }, (_, at) =>
  testSpec(`hall${at % 7}/sensor${at}`, { intervalMs: 1000, latenessMs: 200, horizonMs: 24_000 }),
);

/** Readings of all streams, every second, as a bridge sends them. */
function feed(site: Site): () => void {
  const byPartition = Array.from({ length: site.partitions }, () => [] as typeof specs);
  for (const spec of specs) byPartition[partitionOf(spec.name, site.partitions)].push(spec);
  const known = new Set<number>();
  const timer = setInterval(() => {
    const nowMs = Date.now();
    for (const [partition, list] of byPartition.entries()) {
      const samples = list.map(({ name }) => ({
        stream: name,
        timeMs: nowMs,
        value: Math.random(),
        arrivalMs: nowMs,
      }));
      const text = encodeBatch({
        bridge: 'feed',
        untilMs: nowMs,
        specs: known.has(partition) ? [] : list,
        samples,
      });
      known.add(partition);
      site.nc.publish(inputSubject(site.name, partition), text);
    }
  }, 1000);
  return () => clearInterval(timer);
}

interface Group {
  /** Processor time of each worker, ms. */
  readonly busy: readonly number[];
  readonly forecasts: number;
  /** From the kill of a worker until others serve all partitions, s; null with one worker. */
  readonly takeover: number | null;
}

export async function group(workers: number): Promise<Group> {
  const dir = mkdtempSync(join(tmpdir(), 'gatecast-bench-'));
  const nats = await startNatsServer();
  const broker = await startMosquitto();
  const members: Daemon[] = [];
  let observer: Site | null = null;
  let stop = (): void => {};
  try {
    const options = (node: string): MemberOptions => ({
      node,
      role: ['worker'],
      mqttUrl: broker.url,
      natsUrls: [nats.url],
      dir,
      site: { checkpoint: '30s' },
    });
    await command(['site', 'create', '-c', memberFile(options('w0'))]);
    const site = await openSite(siteConfig([nats.url]), 'bench');
    observer = site;
    const seen = listen(site.nc);
    for (let at = 0; at < workers; at++) members.push(await startMember(options(`w${at}`)));
    const shared = async (among: number): Promise<boolean> => {
      const owners = (await readPartitions(site)).map(({ owner, streams }) =>
        streams === null ? null : owner,
      );
      return owners.every((owner) => owner !== null) && new Set(owners).size === among;
    };
    await waitFor('the partitions to be shared', () => shared(workers), 60_000);
    stop = feed(site);
    await waitFor('forecasts of all streams', () => seen.length > 5 * STREAMS, 120_000);
    const before = members.map(({ process }) => cpuMs(process.pid ?? 0));
    const count = seen.length;
    await sleep(SECONDS * 1000);
    const busy = members.map(({ process }, at) => cpuMs(process.pid ?? 0) - (before[at] ?? 0));
    const forecasts = seen.length - count;
    if (workers === 1) return { busy, forecasts, takeover: null };
    const killed = members.pop();
    killed?.process.kill('SIGKILL');
    const started = performance.now();
    await waitFor('the takeover', () => shared(workers - 1), 60_000);
    return { busy, forecasts, takeover: (performance.now() - started) / 1000 };
  } finally {
    stop();
    for (const { process } of members) process.kill('SIGKILL');
    await observer?.nc.close();
    await nats.stop();
    await broker.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Messages at QoS 1 of one reading each, to a process that has warmed up. @returns processor time of a message, us */
async function messagesCost(
  broker: Mosquitto,
  pid: number,
  taken: () => number | Promise<number>,
): Promise<number> {
  const sender = await Sender.connect(broker.port);
  const time = new Date().toISOString();
  const round = Buffer.concat(
    Array.from({ length: 100 }, (_, at) =>
      publishPacket(`sensors/place${at}`, JSON.stringify({ time, value: at }), 1),
    ),
  );
  const send = async (messages: number): Promise<void> => {
    const first = await taken();
    for (let sent = 0; sent < messages; sent += 100) {
      await sender.send(round);
      // The broker drops what a subscriber leaves in its queue.
      await waitFor('the messages', async () => sent - (await taken()) + first < 500, 60_000);
    }
    await waitFor('the last messages', async () => (await taken()) - first >= messages * 0.99, 60_000);
  };
  await send(MESSAGES / 2);
  const before = cpuMs(pid);
  await send(MESSAGES);
  sender.close();
  return ((cpuMs(pid) - before) * 1000) / MESSAGES;
}

export async function bridgeCost(): Promise<{ bridge: number; plain: number }> {
  const dir = mkdtempSync(join(tmpdir(), 'gatecast-bench-'));
  const nats = await startNatsServer();
  const broker = await startMosquitto('allow_anonymous true\nmax_queued_messages 100000');
  let bridge: Daemon | null = null;
  const plain = spawn(
    process.execPath,
    [
      '--import',
      'tsx',
      new URL('./peer-subscriber.ts', import.meta.url).pathname,
      broker.url,
      'sensors/+',
      '1',
    ],
    { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] },
  );
  try {
    await new Promise((resolve) => plain.once('message', resolve));
    const asked = (): Promise<number> =>
      new Promise((resolve) => {
        plain.once('message', ({ taken }: { taken: number }) => resolve(taken));
        plain.send('');
      });
    const plainUs = await messagesCost(broker, plain.pid ?? 0, asked);
    plain.kill();
    const options: MemberOptions = {
      node: 'b',
      role: ['bridge'],
      mqttUrl: broker.url,
      natsUrls: [nats.url],
      dir,
    };
    await command(['site', 'create', '-c', memberFile(options)]);
    bridge = await startMember(options);
    const { process } = bridge;
    await waitFor('the subscription', () => bridge?.output().includes(' subscribed '), 20_000);
    const site = await openSite(siteConfig([nats.url]), 'bench');
    // The feed of the sender repeats its time stamps: readings are counted by what reaches the logs.
    let readings = 0;
    site.nc.subscribe('gatecast.plant.in.*', {
      callback: (_error, message) => {
        readings += message.string().split('["place').length - 1;
      },
    });
    const bridgeUs = await messagesCost(broker, process.pid ?? 0, () => readings);
    await site.nc.close();
    return { bridge: bridgeUs, plain: plainUs };
  } finally {
    plain.kill();
    bridge?.process.kill('SIGKILL');
    await nats.stop();
    await broker.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function run(): Promise<Figure[]> {
  if (!hasNats) throw new Error('nats-server is not installed');
  const [few, many, packed] = [await costOf(FEW), await costOf(MANY), await costOf(MANY, true)];
  const one = await group(1);
  const two = await group(2);
  const four = await group(4);
  const { bridge, plain } = await bridgeCost();
  const figure = (what: string, value: number, unit: string, limit: Figure['limit'] = null): Figure => ({
    what: `site: ${what}`,
    value,
    unit,
    limit,
  });
  const perStream = (total: Group): number => Math.max(...total.busy) / total.forecasts;
  const memoryOf = ({ residentMb }: Cost): number => ((residentMb - few.residentMb) * 1024) / (MANY - FEW);
  return [
    figure(`a reading and its forecast, ${FEW} streams`, few.costUs, 'us'),
    {
      ...figure(`a reading and its forecast, ${MANY} streams`, many.costUs, 'us', {
        side: 'most',
        value: 1.1 * few.costUs,
      }),
    },
    figure('memory of a stream, 24 leads', memoryOf(many), 'kB', { side: 'most', value: 25 }),
    figure('the same with packed streams: processor time', packed.costUs, 'us'),
    figure('the same with packed streams: memory of a stream', memoryOf(packed), 'kB'),
    figure('checkpoint of a stream', many.checkpointBytes / 1024, 'kB'),
    figure('processor time of it: to save', many.saveUs, 'us'),
    figure('processor time of it: to restore', many.restoreUs, 'us'),
    figure('streams of two workers beside one', perStream(one) / perStream(two), 'x', {
      side: 'least',
      value: 1.8,
    }),
    figure('streams of four workers beside one', perStream(one) / perStream(four), 'x'),
    figure('takeover after kill -9', two.takeover ?? Number.NaN, 's', { side: 'most', value: 15 }),
    figure('a message through the bridge', bridge, 'us', { side: 'most', value: plain / 0.7 }),
  ];
}

export const site: Bench = { name: 'site', run };
