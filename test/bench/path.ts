/**
 * The whole path through a real Mosquitto: message -> sample -> bucket -> step -> forecast -> message, with 1,000
 * streams on a grid of one second, forecast 24 steps ahead with the shipped model. The agent has the environment that the service
 * gives it, and one core to itself where `taskset` can give it one; Mosquitto and this sender share the other.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, hasMosquitto, type Mosquitto, startMosquitto, watch } from '../support/mosquitto.ts';
import { sleep, waitFor } from '../support/wait.ts';
import { publishPacket, Sender } from './load.ts';
import { cpuMs, residentMb } from './process.ts';
import { type Bench, type Figure, percentile } from './report.ts';

const STREAMS = 1000;
const FLOOD = 300_000;
/** Samples that may be on the way while flooding: enough to keep the agent busy, too few to overrun it. */
const WINDOW = 20_000;
/** Nothing more is coming after this, ms. */
const QUIET = 2000;
const PACED_SECONDS = 20;
const CORES = cpus().length > 1 && spawnSync('taskset', ['--version']).status === 0 ? [0, 1] : null;

/**
 * The environment of the service: an owner's agent runs with it, and so does this one. What a shell has beside it costs memory
 * (with NODE_EXTRA_CA_CERTS, say, Node reads all certificates when it starts).
 */
const SERVICE_ENV: Record<string, string | undefined> = Object.fromEntries(
  readFileSync('deploy/systemd/gatecast.service', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('Environment='))
    .flatMap((line) => line.slice('Environment='.length).split(' '))
    .map((assignment) => assignment.split('=') as [string, string]),
);

interface Agent {
  readonly process: ChildProcess;
  /** What it counts as dropped, by reason, as its metrics page says. */
  dropped(): Promise<string>;
  /** A figure of its metrics page. */
  metric(name: string): Promise<number>;
  stop(): Promise<void>;
}

/** @param timed readings carry their own time */
async function startAgent(dir: string, url: string, timed: boolean): Promise<Agent> {
  const port = await freePort();
  const file = join(dir, 'gatecast.json');
  const config = {
    node: 'bench',
    mqtt: { url, qos: 0 },
    data_dir: dir,
    http: { listen: `127.0.0.1:${port}` },
    lateness: '0s',
    publish: { batch_window: '20ms', quantiles: [0.1, 0.5, 0.9] },
    streams: [
      {
        match: 'load/{n}',
        payload: 'json',
        fields: ['value'],
        ...(timed && { time: 'time' }),
        interval: '1s',
        horizon: '24s',
        name: '{n}',
      },
    ],
  };
  writeFileSync(file, JSON.stringify(config));
  const command = [process.execPath, 'dist/gatecast.js', 'run', '-c', file];
  if (CORES) command.unshift('taskset', '-c', `${CORES[0]}`);
  const child = spawn(command[0]!, command.slice(1), {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env.PATH, ...SERVICE_ENV },
  });
  let output = '';
  child.stderr.on('data', (data) => {
    output = (output + data).slice(-10_000);
  });
  const metrics = async () => (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const metric = async (name: string): Promise<number> => {
    const page = await metrics();
    return Number(new RegExp(`^gatecast_${name} (.*)$`, 'm').exec(page)?.[1] ?? Number.NaN);
  };
  await waitFor('the agent', async () => {
    if (child.exitCode !== null) throw new Error(`the agent ended: ${output}`);
    return (await metric('broker_connected').catch(() => 0)) === 1;
  });
  return {
    process: child,
    metric,
    dropped: async () => (await metrics()).match(/^gatecast_dropped_total.*$/gm)?.join(', ') ?? 'nothing',
    stop: async () => {
      child.kill('SIGTERM');
      await waitFor('the end of the agent', () => child.exitCode !== null || child.signalCode !== null);
    },
  };
}

const value = (stream: number, i: number): string =>
  (20 + 5 * Math.sin(i / 40 + stream) + (i % 7) / 50).toFixed(3);

/** One reading of every stream. */
const round = (i: number): Buffer =>
  Buffer.concat(
    Array.from({ length: STREAMS }, (_, s) => publishPacket(`load/${s}`, `{"value":${value(s, i)}}`)),
  );

/** As fast as it takes them: samples a second of wall clock, which one core bounds. */
async function flood(agent: Agent, sender: Sender): Promise<Figure[]> {
  const before = await agent.metric('samples_total');
  const forecastsBefore = await agent.metric('forecasts_total');
  const cpuBefore = cpuMs(agent.process.pid!);
  const started = performance.now();
  let handled = 0;
  let seconds = 0;
  let changed = started;
  const look = async () => {
    await sleep(10);
    const now = (await agent.metric('samples_total')) - before;
    if (now === handled) return;
    handled = now;
    changed = performance.now();
    seconds = (changed - started) / 1000;
  };
  for (let i = 0; i < FLOOD / STREAMS; i++) {
    await sender.send(round(i));
    while ((i + 1) * STREAMS - handled > WINDOW && performance.now() - changed < QUIET) await look();
  }
  while (handled < FLOOD && performance.now() - changed < QUIET) await look();
  const busy = (cpuMs(agent.process.pid!) - cpuBefore) / 1000;
  const forecasts = (await agent.metric('forecasts_total')) - forecastsBefore;
  if (handled < 0.999 * FLOOD)
    throw new Error(`of ${FLOOD} messages only ${handled} were taken; dropped: ${await agent.dropped()}`);
  return [
    {
      what: `whole path, ${STREAMS} streams, QoS 0, as fast as it takes them (meanwhile ${Math.round(forecasts / seconds)} forecasts/s)`,
      value: handled / seconds,
      unit: 'samples/s',
      limit: { side: 'least', value: 15_000 },
    },
    {
      what: 'the same by processor time, all threads of the agent',
      value: handled / busy,
      unit: 'samples per cpu-second',
      limit: null,
    },
  ];
}

/**
 * One message a millisecond, each of which closes its stream's bucket: its time stamp is one to two seconds ahead, so that it
 * is the message and never the wall clock that makes the forecast due. From the write to the socket until the forecast arrives here.
 */
async function paced(agent: Agent, sender: Sender, broker: Mosquitto): Promise<Figure[]> {
  const eyes = await watch(broker.url, 'gatecast/bench/forecast/#');
  const sent = new Map<string, number>();
  const latencies: number[] = [];
  eyes.client.on('message', (_topic, payload, packet) => {
    if (packet.retain) return;
    const now = performance.now();
    const { stream, origin } = JSON.parse(payload.toString()) as { stream: string; origin: string };
    const key = `${stream} ${Date.parse(origin)}`;
    const from = sent.get(key);
    if (from !== undefined) latencies.push(now - from);
    sent.delete(key);
  });
  const warmUp = 12 * STREAMS;
  const total = warmUp + PACED_SECONDS * STREAMS;
  const cpuBefore = cpuMs(agent.process.pid!);
  // Starts on a full second, so that one round of all streams has one time stamp.
  await sleep(1000 - (Date.now() % 1000));
  const second = Math.floor(Date.now() / 1000);
  const started = performance.now();
  for (let i = 0; i < total; ) {
    const due = Math.min(total, Math.floor(performance.now() - started));
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
  const seconds = (performance.now() - started) / 1000;
  const cores = (cpuMs(agent.process.pid!) - cpuBefore) / 1000 / seconds;
  await eyes.close();
  const expected = PACED_SECONDS * STREAMS;
  if (latencies.length < 0.999 * expected)
    throw new Error(`of ${expected} messages only ${latencies.length} had a forecast`);
  const rate = `${STREAMS} samples/s, batch window 20 ms`;
  return [
    {
      what: `message to published forecast, p99, ${rate}`,
      value: percentile(latencies, 0.99),
      unit: 'ms',
      limit: { side: 'most', value: 50 },
    },
    { what: 'the same, median', value: percentile(latencies, 0.5), unit: 'ms', limit: null },
    { what: `processor, ${rate}`, value: 100 * cores, unit: '% of a core', limit: null },
    {
      what: `resident memory, ${STREAMS} streams, ${rate}`,
      value: residentMb(agent.process.pid!),
      unit: 'MB',
      limit: { side: 'most', value: 150 },
    },
  ];
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
  const again = await startAgent(dir, broker.url, false);
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

export const path: Bench = {
  name: 'path',
  async run() {
    if (!hasMosquitto) throw new Error('Mosquitto is not installed');
    // Mosquitto inherits it.
    if (CORES) spawnSync('taskset', ['-a', '-p', '-c', `${CORES[1]}`, `${process.pid}`]);
    const broker = await startMosquitto('allow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 0');
    const sender = await Sender.connect(broker.port);
    const dirs: string[] = [];
    const agents: Agent[] = [];
    const start = async (timed: boolean): Promise<[Agent, string]> => {
      const dir = mkdtempSync(join(tmpdir(), 'gatecast-bench-'));
      dirs.push(dir);
      const agent = await startAgent(dir, broker.url, timed);
      agents.push(agent);
      return [agent, dir];
    };
    try {
      const [steady] = await start(true);
      const figures = await paced(steady, sender, broker);
      await steady.stop();

      const [flooded, dir] = await start(false);
      // Every stream is met, and has enough behind it for the network to speak.
      for (let i = 0; i < 12; i++) {
        await sender.send(round(i));
        await sleep(1000);
      }
      figures.unshift(...(await flood(flooded, sender)));
      figures.push(...(await restart(flooded, sender, broker, dir)));
      return figures;
    } finally {
      for (const { process: one } of agents) if (one.exitCode === null) one.kill('SIGKILL');
      sender.close();
      await broker.stop();
      for (const dir of dirs) rmSync(dir, { recursive: true, force: true });
    }
  },
};
