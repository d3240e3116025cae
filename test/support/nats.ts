/** Real nats-servers with JetStream on free ports. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { answers, freePort } from './mosquitto.ts';
import { NATS } from './other-brokers.ts';
import { waitFor } from './wait.ts';

export { hasNats } from './other-brokers.ts';

export interface NatsServer {
  readonly url: string;
  readonly dir: string;
  signal(signal: NodeJS.Signals): void;
  /** Starts it again after a signal that ended it, on the same port with the same files. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** @param config further lines of its configuration */
export async function startNatsServer(config = ''): Promise<NatsServer> {
  const port = await freePort();
  const own = `listen: 127.0.0.1:${port}\nserver_name: gatecast_test\njetstream { store_dir: "DIR/js" }\n`;
  return startNatsFile(port, `${own}${config}`);
}

/** @param config the whole file; `DIR` stands for the server's folder. It must listen on `port` */
export async function startNatsFile(port: number, config: string): Promise<NatsServer> {
  const dir = mkdtempSync(join(tmpdir(), 'gatecast-nats-'));
  const file = join(dir, 'nats.conf');
  writeFileSync(
    file,
    `${config.replaceAll('DIR', dir)}
`,
  );
  let child: ChildProcess;
  let output = '';
  const ended = (): boolean => child.exitCode !== null || child.signalCode !== null;
  const start = async (): Promise<void> => {
    child = spawn(NATS ?? '', ['-c', file], { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr?.on('data', (data) => {
      output = `${output}${data}`.slice(-20_000);
    });
    await waitFor('nats-server', () => {
      if (ended()) throw new Error(`nats-server ended: ${output}`);
      return answers(port);
    });
  };
  await start();
  return {
    url: `nats://127.0.0.1:${port}`,
    dir,
    signal: (signal) => {
      child.kill(signal);
    },
    restart: async () => {
      await waitFor('the end of nats-server', ended);
      await start();
    },
    stop: async () => {
      child.kill('SIGCONT');
      child.kill('SIGKILL');
      await waitFor('the end of nats-server', ended);
      rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
