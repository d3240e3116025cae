/** What `path.ts` measures: the agent, and the peers beside it, each a process of its own at the same broker. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../support/mosquitto.ts';
import { waitFor } from '../support/wait.ts';

export interface Subject {
  readonly pid: number;
  /** Readings handled so far. */
  taken(): Promise<number>;
  published(): Promise<number>;
  /** For an error message. */
  dropped(): Promise<string>;
  stop(): Promise<void>;
  kill(): void;
}

/** One core for the subject and one for the broker and the sender, where `taskset` can give them. */
export const CORES = cpus().length > 1 && spawnSync('taskset', ['--version']).status === 0 ? [0, 1] : null;

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

/** What `allocations.mjs` reads. */
const forProfiles = () => ({ GATECAST_BENCH_ALLOCATIONS: process.env.GATECAST_BENCH_ALLOCATIONS });

/** Behind `taskset`, on the subject's core. */
const onOwnCore = (command: readonly string[]): [string, string[]] => {
  const [program = '', ...args] = CORES ? ['taskset', '-c', `${CORES[0]}`, ...command] : command;
  return [program, args];
};

const ended = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

export interface AgentOptions {
  readonly dir: string;
  readonly url: string;
  /** Readings carry their own time. */
  readonly timed?: boolean;
  /** Of every stream, seconds; left out: 1. The horizon is 24 of them. */
  readonly intervalS?: number;
  readonly qos?: 0 | 1;
  /** Folder of another build. */
  readonly root?: string;
  /** Name of the node. */
  readonly node?: string;
  /** On all cores: several agents run at once. */
  readonly unpinned?: boolean;
  readonly durability?: 'crash' | 'power';
}

/** What the path bench asks of the agent beside what it asks of every subject. */
export interface Agent extends Subject {
  /** A figure of its metrics page. */
  metric(name: string): Promise<number>;
}

export async function startAgent(options: AgentOptions): Promise<Agent> {
  const {
    dir,
    url,
    timed = false,
    qos = 0,
    root = process.env.GATECAST_BENCH_ROOT ?? '.',
    node = 'bench',
    unpinned = false,
    intervalS = 1,
    durability = 'crash',
  } = options;
  const port = await freePort();
  const file = join(dir, 'gatecast.json');
  const config = {
    node,
    mqtt: { url, qos },
    data_dir: dir,
    http: { listen: `127.0.0.1:${port}` },
    lateness: '0s',
    store: { durability },
    max_streams: 20_000,
    publish: { batch_window: '20ms', quantiles: [0.1, 0.5, 0.9] },
    streams: [
      {
        match: 'load/{n}',
        payload: 'json',
        fields: ['value'],
        ...(timed && { time: 'time' }),
        interval: `${intervalS}s`,
        horizon: `${24 * intervalS}s`,
        name: '{n}',
      },
    ],
  };
  writeFileSync(file, JSON.stringify(config));
  const flags = process.env.GATECAST_BENCH_NODE?.split(' ') ?? [];
  const command = [process.execPath, ...flags, 'dist/gatecast.js', 'run', '-c', file];
  const [program, args] = unpinned ? [process.execPath, command.slice(1)] : onOwnCore(command);
  const child = spawn(program, args, {
    cwd: root,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env.PATH, ...SERVICE_ENV, ...forProfiles() },
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
  await waitFor(
    'the agent',
    async () => {
      if (ended(child)) throw new Error(`the agent ended: ${output}`);
      return (await metric('broker_connected').catch(() => 0)) === 1;
    },
    120_000,
  );
  return {
    pid: child.pid ?? 0,
    metric,
    taken: () => metric('samples_total'),
    published: () => metric('forecasts_total'),
    dropped: async () =>
      (await metrics()).match(/^gatecast_dropped_total.* [1-9].*$/gm)?.join(', ') ?? 'nothing',
    stop: async () => {
      child.kill('SIGTERM');
      await waitFor('the end of the agent', () => ended(child), 30_000);
    },
    kill: () => child.kill('SIGKILL'),
  };
}

/** @param script beside this file; it answers every IPC message with its counts */
export async function startPeer(script: string, url: string): Promise<Subject> {
  const file = join(import.meta.dirname, script);
  const [program, args] = onOwnCore([process.execPath, ...process.execArgv, file, url]);
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(() => Promise.reject(new Error(`${script} ended`))),
  ]);
  const counts = async (): Promise<{ taken: number; published: number }> => {
    const answer = once(child, 'message');
    child.send('counts');
    const [found] = await answer;
    return found as { taken: number; published: number };
  };
  return {
    pid: child.pid ?? 0,
    taken: async () => (await counts()).taken,
    published: async () => (await counts()).published,
    dropped: () => Promise.resolve('unknown'),
    stop: async () => {
      child.disconnect();
      await waitFor(`the end of ${script}`, () => ended(child));
    },
    kill: () => child.kill('SIGKILL'),
  };
}
