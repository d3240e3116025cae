/**
 * A fine-tuning in the running daemon: 50 streams of five minutes with 30 days of history each, the shipped network made 64 units wide,
 * beside ten streams of one second whose forecasts are timed before and during the run. Processor time and memory are
 * the whole process's.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { recordHistory } from '../support/history.ts';
import { hasMosquitto, type Mosquitto, startMosquitto, type Watcher, watch } from '../support/mosquitto.ts';
import { normal } from '../support/random.ts';
import { sleep, waitFor } from '../support/wait.ts';
import { publishPacket, Sender } from './load.ts';
import { familyCpuMs, watchMemory } from './process.ts';
import { type Bench, type Figure, median, percentile } from './report.ts';

const STREAMS = 50;
const DAYS = 30;
const STEP_MS = 300_000;
const PROBES = 10;
/** Of each probe, ms. */
const PROBE_MS = 1000;
const IDLE_MS = 30_000;
const HIDDEN = 64;
const FORECASTS = 'gatecast/bench/forecast/';

/** Buckets that the start replays, so that the streams have states; the run reads the rest from the file. */
const REPLAYED = 700;

function configOf(dir: string, url: string): Record<string, unknown> {
  return {
    node: 'bench',
    mqtt: { url, qos: 0 },
    data_dir: dir,
    http: { listen: 'off' },
    model: { name: 'wide' },
    lateness: '0s',
    publish: { batch_window: '20ms' },
    // The run is asked for: it must not wait for a quiet machine.
    finetune: { schedule: 'off', on_drift: false, window: '30d', max_load: 32, max_temperature: 110 },
    streams: [
      { match: 'slow/{n}', payload: 'number', interval: '5m', horizon: '6h', name: 'slow-{n}' },
      {
        match: 'probe/{n}',
        payload: 'json',
        fields: ['value'],
        time: 'time',
        interval: '1s',
        horizon: '24s',
        name: 'probe-{n}',
      },
    ],
  };
}

/** What the fine-tuning starts from: the shipped model with more units, which change nothing until they are trained. */
function makeModel(dir: string): void {
  const options = ['--from', 'base', '--widen', `${HIDDEN}`, '--generated', '4', '--max-steps', '1'];
  const out = join(dir, 'models', 'wide');
  const { status, stderr } = spawnSync(
    process.execPath,
    ['dist/gatecast.js', 'train', ...options, '--out', out],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`no model of ${HIDDEN} units: ${stderr}`);
}

/** A day's season, a slower wander and noise: something to learn, and something that cannot be learnt. */
function record(dir: string, url: string): void {
  const noises = Array.from({ length: STREAMS }, (_, s) => normal(s + 1));
  const wander = new Float64Array(STREAMS);
  recordHistory({
    dir,
    config: configOf(dir, url),
    streams: noises.map((_, s) => ({ topic: `slow/${s}`, name: `slow-${s}` })),
    stepMs: STEP_MS,
    buckets: (DAYS * 86_400_000) / STEP_MS,
    replayed: REPLAYED,
    value: (s, _t, timeMs) => {
      const noise = noises[s]!;
      wander[s] = 0.99 * wander[s]! + 0.1 * noise();
      const phase = (2 * Math.PI * timeMs) / 86_400_000 + s;
      return 20 + 3 * Math.sin(phase) + Math.sin(3 * phase) + wander[s]! + 0.1 * noise();
    },
  });
}

interface Probe {
  readonly latencies: number[];
  stop(): Promise<void>;
}

/** Messages that each close the bucket before them; from the write to the socket until the forecast arrives here. */
async function probe(sender: Sender, eyes: Watcher): Promise<Probe> {
  const latencies: number[] = [];
  const sent = new Map<string, number>();
  let running = true;
  const heard = (topic: string, payload: Buffer, packet: { retain: boolean }) => {
    if (packet.retain || payload.length === 0 || !topic.startsWith(FORECASTS)) return;
    const { stream, origin } = JSON.parse(payload.toString()) as { stream: string; origin: string };
    const key = `${stream} ${Date.parse(origin)}`;
    const from = sent.get(key);
    if (from !== undefined) latencies.push(performance.now() - from);
    sent.delete(key);
  };
  eyes.client.on('message', heard);
  const sending = (async () => {
    const startedMs = performance.now();
    // A stamp one to two seconds ahead: the message closes the bucket, never the wall clock.
    const second = Math.floor(Date.now() / 1000) + 2;
    for (let i = 0; running; i++) {
      const labelMs = (second + Math.floor(i / PROBES)) * 1000;
      const value = (20 + 5 * Math.sin(i / 400) + (i % 7) / 50).toFixed(3);
      const name = `probe-${i % PROBES}`;
      await sender.send(
        publishPacket(
          `probe/${i % PROBES}`,
          `{"value":${value},"time":"${new Date(labelMs).toISOString()}"}`,
        ),
      );
      sent.set(`${name} ${labelMs - PROBE_MS}`, performance.now());
      await sleep(Math.max(0, startedMs + ((i + 1) * PROBE_MS) / PROBES - performance.now()));
    }
  })();
  return {
    latencies,
    stop: async () => {
      running = false;
      await sending;
      eyes.client.off('message', heard);
    },
  };
}

interface GroupMessage {
  readonly last_run: { readonly status: string; readonly reason: string; readonly streams?: number };
}

async function measure(dir: string, broker: Mosquitto): Promise<Figure[]> {
  const eyes = await watch(broker.url, 'gatecast/bench/#');
  const states: { atMs: number; cpu: number; message: GroupMessage }[] = [];
  const file = join(dir, 'gatecast.json');
  writeFileSync(file, JSON.stringify(configOf(dir, broker.url)));
  const child = spawn(process.execPath, ['dist/gatecast.js', 'run', '-c', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let output = '';
  child.stderr.on('data', (data) => {
    output += data;
  });
  const pid = child.pid!;
  const memory = watchMemory(pid);
  eyes.client.on('message', (topic, payload) => {
    if (topic !== 'gatecast/bench/model/default') return;
    states.push({ atMs: performance.now(), cpu: familyCpuMs(pid), message: JSON.parse(payload.toString()) });
  });
  const status = () => states.at(-1)?.message.last_run.status ?? '';
  const reached = (what: string, condition: () => boolean) =>
    waitFor(
      what,
      () => {
        if (child.exitCode !== null) throw new Error(`the agent ended: ${output}`);
        return condition();
      },
      120_000,
    );
  const sender = await Sender.connect(broker.port);
  try {
    await reached('the agent', () => states.length > 0);
    const during = await probe(sender, eyes);
    await reached('the run', () => status() === 'running');
    const began = states.at(-1)!;
    during.latencies.length = 0;
    await waitFor('the end of the run', () => !['running', 'paused'].includes(status()), 540_000);
    await during.stop();
    const ended = states.at(-1)!;
    const { last_run: run } = ended.message;
    if (run.streams !== STREAMS)
      throw new Error(`it learnt from ${run.streams} streams: ${run.reason}\n${output}`);
    const peak = memory.stop();
    await sleep(2000);
    const quiet = await probe(sender, eyes);
    await sleep(IDLE_MS);
    await quiet.stop();
    const [busy, still] = [percentile(during.latencies, 0.99), percentile(quiet.latencies, 0.99)];
    const what = `fine-tune, H = ${HIDDEN}, ${DAYS} days x ${STREAMS} streams of 5 min`;
    return [
      {
        what: `${what}, processor time of agent and trainer (${run.status})`,
        value: (ended.cpu - began.cpu) / 1000,
        unit: 's',
        limit: { side: 'most', value: 120 },
      },
      {
        what: 'the same, from start to end',
        value: (ended.atMs - began.atMs) / 1000,
        unit: 's',
        limit: null,
      },
      {
        what: 'peak memory of agent and trainer (shared pages counted once)',
        value: peak,
        unit: 'MB',
        limit: { side: 'most', value: 300 },
      },
      {
        what: 'delay of forecasts meanwhile, p99 against p99 of a quiet agent',
        value: busy - still,
        unit: 'ms',
        limit: { side: 'most', value: 50 },
      },
      { what: 'message to forecast meanwhile, p99', value: busy, unit: 'ms', limit: null },
      { what: 'the same, median', value: median(during.latencies), unit: 'ms', limit: null },
    ];
  } finally {
    memory.stop();
    child.kill('SIGTERM');
    await waitFor('the end of the agent', () => child.exitCode !== null || child.signalCode !== null);
    sender.close();
    await eyes.close();
  }
}

export const finetune: Bench = {
  name: 'finetune',
  async run() {
    if (!hasMosquitto) throw new Error('Mosquitto is not installed');
    const dir = mkdtempSync(join(tmpdir(), 'gatecast-bench-'));
    const broker = await startMosquitto('allow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 0');
    try {
      makeModel(dir);
      record(dir, broker.url);
      return await measure(dir, broker);
    } finally {
      await broker.stop();
      rmSync(dir, { recursive: true, force: true });
    }
  },
};
