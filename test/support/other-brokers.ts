/** nats-server's MQTT gateway and RabbitMQ's MQTT plugin, on free ports, with files of their own. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './mosquitto.ts';
import { waitFor } from './wait.ts';

export const NATS = ['/usr/sbin/nats-server', '/usr/bin/nats-server', '/usr/local/bin/nats-server'].find(
  existsSync,
);
const RABBIT = ['/usr/lib/rabbitmq/bin/rabbitmq-server'].find(existsSync);
export const hasNats = NATS !== undefined;
export const hasRabbit = RABBIT !== undefined;
if (!hasNats) console.warn('SKIPPED: tests against NATS need nats-server (apt-get install nats-server)');
if (!hasRabbit) console.warn('SKIPPED: tests against RabbitMQ need it (apt-get install rabbitmq-server)');

export interface OtherBroker {
  readonly url: string;
  stop(): Promise<void>;
}

async function started(
  child: ChildProcess,
  dir: string,
  port: number,
  ended: () => void = () => {},
): Promise<OtherBroker> {
  const answers = (): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = createConnection({ port, host: '127.0.0.1' });
      socket.on('connect', () => {
        socket.destroy();
        resolve(true);
      });
      socket.on('error', () => resolve(false));
    });
  await waitFor('the broker', answers);
  return {
    url: `mqtt://127.0.0.1:${port}`,
    stop: async () => {
      // RabbitMQ runs in children of the script that starts it: the group ends.
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      await waitFor('its end', () => child.exitCode !== null || child.signalCode !== null);
      ended();
      rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

export async function startNats(): Promise<OtherBroker> {
  const dir = mkdtempSync(join(tmpdir(), 'gatecast-nats-'));
  const [port, own] = [await freePort(), await freePort()];
  const config = `listen: 127.0.0.1:${own}\nserver_name: gatecast_test\njetstream { store_dir: "${dir}/js" }\nmqtt { listen: 127.0.0.1:${port} }\n`;
  writeFileSync(join(dir, 'nats.conf'), config);
  const child = spawn(NATS ?? '', ['-c', join(dir, 'nats.conf')], { stdio: 'ignore', detached: true });
  return started(child, dir, port);
}

export async function startRabbit(settings: readonly string[] = []): Promise<OtherBroker> {
  const dir = mkdtempSync(join(tmpdir(), 'gatecast-rabbit-'));
  const [port, amqp, dist, epmd] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const lines = [
    `listeners.tcp.1 = 127.0.0.1:${amqp}`,
    `mqtt.listeners.tcp.1 = 127.0.0.1:${port}`,
    'mqtt.allow_anonymous = true',
    'log.console = true',
    'log.file = false',
    ...settings,
  ];
  writeFileSync(join(dir, 'rabbitmq.conf'), `${lines.join('\n')}\n`);
  writeFileSync(join(dir, 'plugins'), '[rabbitmq_mqtt].\n');
  const child = spawn(RABBIT ?? '', [], {
    stdio: 'ignore',
    detached: true,
    env: {
      ...process.env,
      HOME: dir,
      RABBITMQ_NODENAME: `gatecast${port}@localhost`,
      RABBITMQ_CONFIG_FILE: join(dir, 'rabbitmq.conf'),
      RABBITMQ_ENABLED_PLUGINS_FILE: join(dir, 'plugins'),
      RABBITMQ_MNESIA_BASE: join(dir, 'mnesia'),
      RABBITMQ_LOG_BASE: dir,
      RABBITMQ_DIST_PORT: String(dist),
      ERL_EPMD_PORT: String(epmd),
    },
  });
  // Erlang's port mapper outlives the server that started it.
  return started(child, dir, port, () => {
    spawnSync('epmd', ['-port', String(epmd), '-kill'], { stdio: 'ignore' });
  });
}
