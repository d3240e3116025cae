/** A real Mosquitto on a free port, and a plain client to look at what it carries. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt, randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { waitFor } from './wait.ts';

const BINARY = ['/usr/sbin/mosquitto', '/usr/local/sbin/mosquitto', '/opt/homebrew/sbin/mosquitto'].find(
  existsSync,
);

/** For `describe.skipIf`: CI installs Mosquitto, so nothing is skipped there. */
export const hasMosquitto = BINARY !== undefined;
if (!hasMosquitto)
  console.warn('SKIPPED: tests against a real broker need Mosquitto (apt-get install mosquitto)');

export interface Mosquitto {
  readonly port: number;
  readonly pid: number | undefined;
  readonly url: string;
  readonly dir: string;
  /** Signals the broker: SIGTERM saves its sessions, SIGKILL does not, SIGSTOP makes it half-open. */
  signal(signal: NodeJS.Signals): void;
  /** Starts it again after a signal that ended it, on the same port with the same files. */
  restart(): Promise<void>;
  /** What it has logged. */
  output(): string;
  stop(): Promise<void>;
}

/** @param config further lines of mosquitto.conf; `DIR` stands for its folder */
export async function startMosquitto(config = 'allow_anonymous true'): Promise<Mosquitto> {
  const dir = mkdtempSync(join(tmpdir(), 'gatecast-broker-'));
  const port = await freePort();
  const file = join(dir, 'mosquitto.conf');
  const lines = [
    `listener ${port} 127.0.0.1`,
    `user ${userInfo().username}`,
    'persistence true',
    `persistence_location ${dir}/`,
    'log_dest stderr',
    config.replaceAll('DIR', dir),
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  let child: ChildProcess;
  let output = '';
  const ended = (): boolean => child.exitCode !== null || child.signalCode !== null;
  const start = async (): Promise<void> => {
    child = spawn(BINARY!, ['-c', file], { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr!.on('data', (data) => {
      output += data;
    });
    await waitFor('Mosquitto', () => {
      if (ended()) throw new Error(`Mosquitto ended: ${output}`);
      return answers(port);
    });
  };
  await start();
  return {
    port,
    get pid() {
      return child.pid;
    },
    dir,
    url: `mqtt://127.0.0.1:${port}`,
    signal: (signal) => {
      child.kill(signal);
    },
    output: () => output,
    restart: async () => {
      await waitFor('the end of Mosquitto', ended);
      await start();
    },
    stop: async () => {
      child.kill('SIGCONT');
      child.kill('SIGKILL');
      await waitFor('the end of Mosquitto', ended);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/**
 * A port for a server that is started later, or again after a while. Not one of those that the system gives to outgoing
 * connections (32768 and above on Linux): until the server listens, one of them could take it, even one that tries to reach the
 * server and then is connected to itself.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(15_000, 32_000);
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
}
const given = new Set<number>();

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.on('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });

export function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: '127.0.0.1' });
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

export interface Seen {
  readonly topic: string;
  readonly text: string;
  readonly retain: boolean;
  readonly qos: number;
}

/** A plain client that keeps all it sees under `filter`. */
export interface Watcher {
  readonly seen: Seen[];
  readonly client: MqttClient;
  on(topic: string): Seen[];
  /**
   * Resolves when this client has received all that the broker had when called. Call it before a check of messages whose
   * arrival at the broker is only known from somewhere else: another client, the output of a process, a page.
   */
  caughtUp(): Promise<void>;
  close(): Promise<void>;
}

export async function watch(url: string, filter: string, options: IClientOptions = {}): Promise<Watcher> {
  const client = await mqtt.connectAsync(url, { protocolVersion: 5, reconnectPeriod: 200, ...options });
  client.on('error', () => {});
  const seen: Seen[] = [];
  const marks = `watcher/${client.options.clientId}/${randomUUID()}`;
  let mark = 0;
  let returned = 0;
  client.on('message', (topic, payload, packet) => {
    if (topic === marks) returned = Number(payload.toString());
    else seen.push({ topic, text: payload.toString(), retain: packet.retain, qos: packet.qos });
  });
  await client.subscribeAsync(filter, { qos: 1 });
  return {
    seen,
    client,
    on: (topic) => seen.filter((message) => message.topic === topic),
    // A broker delivers the messages of one quality of service to one client in the order of their arrival.
    async caughtUp() {
      if (mark === 0) await client.subscribeAsync(marks, { qos: 1 });
      mark += 1;
      const sent = mark;
      await client.publishAsync(marks, String(sent), { qos: 1 });
      await waitFor('a message to return from the broker', () => returned >= sent);
    },
    close: () => client.endAsync(true),
  };
}
