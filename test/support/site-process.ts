/** Members of a site as processes: `gatecast run` with real brokers, and sensors that never repeat a message of their own. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import mqtt, { type MqttClient } from 'mqtt';
import { openModel } from '../../src/agent/model.ts';
import { ModelRegistry } from '../../src/model/registry.ts';
import { type Daemon, spawnProgram } from './daemon.ts';
import { sensorsConfig } from './sensors.ts';
import { waitFor } from './wait.ts';

export interface MemberOptions {
  readonly node: string;
  readonly role: readonly ('bridge' | 'worker')[];
  readonly mqttUrl: string;
  readonly natsUrls: readonly string[];
  readonly dir: string;
  readonly site?: Readonly<Record<string, unknown>>;
  readonly rest?: Readonly<Record<string, unknown>>;
}

/** Writes the config file of a member and returns its path. */
export function memberFile({
  node,
  role,
  mqttUrl,
  natsUrls,
  dir,
  site = {},
  rest = {},
}: MemberOptions): string {
  const file = join(dir, `${node}.json`);
  const config = sensorsConfig(
    { node, url: mqttUrl, dataDir: join(dir, node) },
    // A busy machine may need seconds from a sensor to the bridge.
    { interval: '1s', lateness: '3s', horizon: '5s' },
    {
      finetune: { enabled: false },
      site: { name: 'plant', servers: natsUrls, role, checkpoint: '2s', ...site },
      ...rest,
    },
  );
  writeFileSync(file, JSON.stringify(config));
  return file;
}

export async function startMember(options: MemberOptions): Promise<Daemon> {
  const daemon = spawnProgram(['run', '-c', memberFile(options)]);
  try {
    await waitFor(`the member ${options.node}`, () => {
      const { exitCode, signalCode } = daemon.process;
      if (exitCode !== null || signalCode !== null) throw new Error(`it ended: ${daemon.output()}`);
      return daemon.output().includes('site opened');
    });
  } catch (error) {
    daemon.process.kill('SIGKILL');
    throw error;
  }
  return daemon;
}

/** Runs a command of the program to its end. @returns what it printed */
export async function command(args: readonly string[], code = 0): Promise<string> {
  const daemon = spawnProgram(args);
  await waitFor(`the end of gatecast ${args.join(' ')}`, daemon.closed);
  if (daemon.process.exitCode !== code)
    throw new Error(`exit code ${daemon.process.exitCode}: ${daemon.output()}`);
  return daemon.output();
}

/** The model that a release ships. */
export const shippedModel = () => openModel(new ModelRegistry(null), 'base').model;

/** Sensors that publish at QoS 1, each twice a second. */
export class Sensors {
  /** Readings that the broker has acknowledged. */
  sent = 0;
  private timer: NodeJS.Timeout | null = null;
  private pending: Promise<unknown>[] = [];

  private constructor(
    private readonly client: MqttClient,
    private readonly places: readonly string[],
  ) {}

  static async connect(url: string, count: number): Promise<Sensors> {
    const client = await mqtt.connectAsync(url, { protocolVersion: 5, reconnectPeriod: 200 });
    client.on('error', () => {});
    return new Sensors(
      client,
      Array.from({ length: count }, (_, at) => `place ${at}`),
    );
  }

  start(): void {
    let turn = 0;
    this.timer = setInterval(() => {
      turn++;
      for (const [at, place] of this.places.entries()) {
        const time = new Date(Date.now()).toISOString();
        const value = 20 + Math.sin(turn / 10 + at);
        this.pending.push(
          this.client
            .publishAsync(`sensors/${place}`, JSON.stringify({ time, value }), { qos: 1 })
            .then(() => {
              this.sent++;
            }),
        );
      }
    }, 500);
  }

  async stop(): Promise<void> {
    if (this.timer !== null) clearInterval(this.timer);
    await Promise.all(this.pending);
    await this.client.endAsync();
  }
}
