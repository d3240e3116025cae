/**
 * The whole path through a real Mosquitto: message -> sample -> bucket -> step -> forecast -> message, with 1,000
 * streams on a grid of one second, forecast 24 steps ahead with the shipped model. The agent has the environment that the service
 * gives it, and one core to itself where `taskset` can give it one; Mosquitto and this sender share the other. Two peers meet the
 * same load in the same run, each in a process of its own: a bare subscriber, and a simple loop without gaps, scores or a store. What
 * is compared is processor time, so that another machine, or a busy one, gives about the same ratios.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasMosquitto, type Mosquitto, startMosquitto, watch } from '../support/mosquitto.ts';
import { sleep, waitFor } from '../support/wait.ts';
import { publishPacket, Sender } from './load.ts';
import { cpuMs, residentMb } from './process.ts';
import { type Bench, type Figure, percentile } from './report.ts';
import { type Agent, CORES, type Subject, startAgent, startPeer } from './subjects.ts';

/** Fewer on a machine that cannot keep up: only ratios are of use there. */
export const STREAMS = Number(process.env.GATECAST_BENCH_STREAMS ?? 1000);
export const FLOOD = 300_000;
/** The simple loop takes a tenth of the readings that the others take in a second. */
const LOOP_FLOOD = 30_000;
/** Samples that may be on the way while flooding: enough to keep the subject busy, too few to overrun it. */
const WINDOW = 20_000;
/** Time between two looks at the counts while flooding: each look costs the subject processor time, ms. */
const LOOK_MS = 50;
/** Nothing more is coming after this, ms: a busy machine may stand still for some seconds. */
const QUIET = 10_000;
const PACED_SECONDS = 20;
/** Rounds of all streams before the clock starts: the network needs some buckets before it answers. */
const WARM_UP_ROUNDS = 12;

const value = (stream: number, i: number): string =>
  (20 + 5 * Math.sin(i / 40 + stream) + (i % 7) / 50).toFixed(3);

/** One reading of every stream. */
const round = (i: number, qos: 0 | 1 = 0): Buffer =>
  Buffer.concat(
    Array.from({ length: STREAMS }, (_, s) => publishPacket(`load/${s}`, `{"value":${value(s, i)}}`, qos)),
  );

interface Flood {
  readonly perSecond: number;
  readonly perCpuSecond: number;
  readonly forecastsPerSecond: number;
}

/** As fast as it takes them: samples a second of wall clock, which one core bounds, and of processor time, all threads. */
export async function flood(subject: Subject, sender: Sender, total: number, qos: 0 | 1 = 0): Promise<Flood> {
  const before = await subject.taken();
  const forecastsBefore = await subject.published();
  const cpuBefore = cpuMs(subject.pid);
  const started = performance.now();
  let handled = 0;
  let seconds = 0;
  let changed = started;
  const look = async () => {
    await sleep(LOOK_MS);
    const now = (await subject.taken()) - before;
    if (now === handled) return;
    handled = now;
    changed = performance.now();
    seconds = (changed - started) / 1000;
  };
  for (let i = 0; i < total / STREAMS; i++) {
    await sender.send(round(i, qos));
    while ((i + 1) * STREAMS - handled > Math.min(WINDOW, total / 3) && performance.now() - changed < QUIET)
      await look();
  }
  while (handled < total && performance.now() - changed < QUIET) await look();
  const busy = (cpuMs(subject.pid) - cpuBefore) / 1000;
  const forecasts = (await subject.published()) - forecastsBefore;
  if (handled < 0.999 * total)
    throw new Error(`of ${total} messages only ${handled} were taken; dropped: ${await subject.dropped()}`);
  return {
    perSecond: handled / seconds,
    perCpuSecond: handled / busy,
    forecastsPerSecond: forecasts / seconds,
  };
}

interface Paced {
  /** Processor time of a reading and its forecast, us. */
  readonly costUs: number;
  readonly cores: number;
  readonly latencies: readonly number[];
  /** Readings sent, and those that had a forecast of their own. */
  readonly sent: number;
  readonly forecasts: number;
}

/**
 * One message a millisecond, each of which closes its stream's bucket: its time stamp is one to two seconds ahead, so that it
 * is the message and never the wall clock that makes the forecast due. From the write to the socket until the forecast arrives here.
 * @param broker where forecasts of the agent are watched; null: only the processor time is measured
 */
export async function paced(subject: Subject, sender: Sender, broker: Mosquitto | null): Promise<Paced> {
  const eyes = broker === null ? null : await watch(broker.url, 'gatecast/bench/forecast/#');
  const sent = new Map<string, number>();
  const latencies: number[] = [];
  eyes?.client.on('message', (_topic, payload, packet) => {
    if (packet.retain) return;
    const now = performance.now();
    const { stream, origin } = JSON.parse(payload.toString()) as { stream: string; origin: string };
    const key = `${stream} ${Date.parse(origin)}`;
    const from = sent.get(key);
    if (from !== undefined) latencies.push(now - from);
    sent.delete(key);
  });
  const warmUp = WARM_UP_ROUNDS * STREAMS;
  const total = warmUp + PACED_SECONDS * STREAMS;
  // Starts on a full second, so that one round of all streams has one time stamp.
  await sleep(1000 - (Date.now() % 1000));
  const second = Math.floor(Date.now() / 1000);
  let started = performance.now();
  let [cpuBefore, publishedBefore, measuredFrom] = [0, -1, 0];
  const begun = started;
  for (let i = 0; i < total; ) {
    const due = Math.min(total, Math.floor((performance.now() - begun) * (STREAMS / 1000)));
    if (due >= warmUp && publishedBefore < 0) {
      publishedBefore = await subject.published();
      cpuBefore = cpuMs(subject.pid);
      started = performance.now();
      measuredFrom = i;
    }
    const packets: Buffer[] = [];
    for (; i < due; i++) {
      const stream = i % STREAMS;
      const label = (second + 2 + Math.floor(i / STREAMS)) * 1000;
      const body = `{"value":${value(stream, Math.floor(i / STREAMS))},"time":"${new Date(label).toISOString()}"}`;
      packets.push(publishPacket(`load/${stream}`, body));
      if (i >= warmUp) sent.set(`${stream} ${label - 1000}`, performance.now());
    }
    if (packets.length > 0) await sender.send(Buffer.concat(packets));
    await sleep(1);
  }
  await sleep(1000);
  const busyMs = cpuMs(subject.pid) - cpuBefore;
  const seconds = (performance.now() - started) / 1000;
  const published = (await subject.published()) - publishedBefore;
  await eyes?.close();
  return {
    costUs: (1000 * busyMs) / published,
    cores: busyMs / 1000 / seconds,
    latencies,
    sent: total - measuredFrom,
    forecasts: eyes === null ? published : Math.min(published, latencies.length),
  };
}

/** @throws where readings had no forecast of their own: the machine was too busy, or the subject dropped some */
function complete(found: Paced): Paced {
  if (found.forecasts < 0.999 * PACED_SECONDS * STREAMS)
    throw new Error(`of ${found.sent} messages only ${found.forecasts} had a forecast`);
  return found;
}

/** From the start of the process to its first forecast, while sensors go on speaking. */
async function restart(agent: Agent, sender: Sender, broker: Mosquitto, dir: string): Promise<Figure[]> {
  const samples = await agent.metric('store_samples');
  await agent.stop();
  const eyes = await watch(broker.url, 'gatecast/bench/forecast/#');
  await sleep(500);
  let first: number | null = null;
  eyes.client.on('message', (_topic, _payload, packet) => {
    if (!packet.retain) first ??= performance.now();
  });
  let i = 0;
  const speaking = setInterval(() => {
    void sender.send(round(i++));
  }, 1000);
  const started = performance.now();
  const again = await startAgent({ dir, url: broker.url });
  try {
    await waitFor('the first forecast', () => first, 30_000);
  } finally {
    clearInterval(speaking);
    await again.stop();
    await eyes.close();
  }
  return [
    {
      what: `start to first forecast, ${STREAMS} streams, ${Math.round(samples / 1000)} thousand samples stored`,
      value: (first! - started) / 1000,
      unit: 's',
      limit: { side: 'most', value: 2 },
    },
  ];
}

/** Every stream is met, and has enough behind it for the network to answer. */
export async function warmUp(sender: Sender): Promise<void> {
  for (let i = 0; i < WARM_UP_ROUNDS; i++) {
    await sender.send(round(i));
    await sleep(1000);
  }
}

const RATE = `${STREAMS} samples/s, batch window 20 ms`;

function pacedFigures(agent: Paced, loop: Paced, memoryMb: number, bareMb: number): Figure[] {
  return [
    {
      what: `a reading that closes a bucket and publishes a forecast of 24 leads, ${STREAMS} streams at 1 Hz`,
      value: agent.costUs,
      unit: 'us of cpu',
      limit: { side: 'most', value: 100, isGoal: true },
      lowerIsBetter: true,
      peer: { name: 'the simple loop', value: loop.costUs, least: 0.75, record: 0.83 },
    },
    {
      what: `message to published forecast, p99, ${RATE}`,
      value: percentile(agent.latencies, 0.99),
      unit: 'ms',
      limit: { side: 'most', value: 30, isGoal: true },
      // The median moves with the machine. The 99th percentile moves on its own if something stops the main thread.
      peer: { name: 'median', value: percentile(agent.latencies, 0.5), least: 0.25, record: 0.45 },
    },
    { what: `processor, ${RATE}`, value: 100 * agent.cores, unit: '% of a core', limit: null },
    {
      what: `resident memory, ${STREAMS} streams, ${RATE}`,
      value: memoryMb,
      unit: 'MB',
      limit: { side: 'most', value: 130, isGoal: true },
      lowerIsBetter: true,
      peer: { name: 'bare subscriber', value: bareMb, least: 0.4 },
    },
  ];
}

function floodFigures(agent: Flood, durable: Flood, bare: Flood, loop: Flood): Figure[] {
  const what = `whole path, ${STREAMS} streams, QoS 0, as fast as it takes them`;
  const unit = 'samples per cpu-second';
  return [
    {
      what: `${what} (meanwhile ${Math.round(agent.forecastsPerSecond)} forecasts/s)`,
      value: agent.perSecond,
      unit: 'samples/s',
      limit: null,
    },
    {
      what: 'the same by processor time, all threads',
      value: agent.perCpuSecond,
      unit,
      limit: null,
      // On a busy machine the bare subscriber reads more at once, and this falls to 0.2.
      peer: { name: 'bare subscriber', value: bare.perCpuSecond, least: 0.15, record: 0.79 },
    },
    {
      what: 'the same by processor time, all threads',
      value: agent.perCpuSecond,
      unit,
      limit: null,
      peer: { name: 'the simple loop', value: loop.perCpuSecond, least: 5, record: 10.7 },
    },
    {
      what: 'the same at QoS 1, acknowledged when stored',
      value: durable.perCpuSecond,
      unit,
      limit: null,
      peer: { name: 'QoS 0', value: agent.perCpuSecond, least: 0.5, record: 0.6 },
    },
  ];
}

export const path: Bench = {
  name: 'path',
  async run() {
    if (!hasMosquitto) throw new Error('Mosquitto is not installed');
    // Mosquitto inherits it.
    if (CORES) spawnSync('taskset', ['-a', '-p', '-c', `${CORES[1]}`, `${process.pid}`]);
    const broker = await startMosquitto('allow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 0');
    const { url } = broker;
    const sender = await Sender.connect(broker.port);
    const dirs: string[] = [];
    const subjects: Subject[] = [];
    const folder = (): string => {
      const dir = mkdtempSync(join(tmpdir(), 'gatecast-bench-'));
      dirs.push(dir);
      return dir;
    };
    const started = async <T extends Subject>(starting: Promise<T>): Promise<T> => {
      const subject = await starting;
      subjects.push(subject);
      return subject;
    };
    try {
      const bare = await started(startPeer('peer-subscriber.ts', url));
      const bareFlood = await flood(bare, sender, FLOOD);
      const bareMb = residentMb(bare.pid);
      await bare.stop();

      const loop = await started(startPeer('peer-loop.ts', url));
      const loopFlood = await flood(loop, sender, LOOP_FLOOD);
      const loopPaced = complete(await paced(loop, sender, null));
      await loop.stop();

      const steady = await started(startAgent({ dir: folder(), url, timed: true }));
      const agentPaced = complete(await paced(steady, sender, broker));
      const memoryMb = residentMb(steady.pid);
      await steady.stop();

      const durable = await started(startAgent({ dir: folder(), url, qos: 1 }));
      await warmUp(sender);
      const durableFlood = await flood(durable, sender, FLOOD, 1);
      await durable.stop();

      const dir = folder();
      const flooded = await started(startAgent({ dir, url }));
      await warmUp(sender);
      const agentFlood = await flood(flooded, sender, FLOOD);
      return [
        ...floodFigures(agentFlood, durableFlood, bareFlood, loopFlood),
        ...pacedFigures(agentPaced, loopPaced, memoryMb, bareMb),
        ...(await restart(flooded, sender, broker, dir)),
      ];
    } finally {
      for (const subject of subjects) subject.kill();
      sender.close();
      await broker.stop();
      for (const dir of dirs) rmSync(dir, { recursive: true, force: true });
    }
  },
};
