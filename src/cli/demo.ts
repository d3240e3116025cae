/** `gatecast demo`: an embedded broker with this machine's vitals, the agent, and the page. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { Forecast } from '../forecast/forecast.ts';
import { globals } from './shared/globals.ts';
import { numberOf } from './shared/values.ts';

interface Options {
  readonly verbose?: true;
  readonly http: string;
  readonly brokerPort: number;
}

export function registerDemo(program: Command): void {
  program
    .command('demo')
    .description("forecast this machine's own vitals: embedded broker, agent and page; needs no set-up")
    .option('-v, --verbose', 'print a line for each forecast')
    .option(
      '--http <host:port>',
      'address of the page; if the port is in use, the next free one',
      '127.0.0.1:8787',
    )
    .option('--broker-port <port>', 'port of the embedded broker; 0: any free one', port, 0)
    .addHelpText('after', '\nExample:\n  $ gatecast demo --verbose\n')
    .action((options: Options, command: Command) => demo(options, globals(command).dataDir));
}

async function demo(options: Options, wantedDataDir: string | undefined): Promise<void> {
  const [
    { startBroker },
    { VitalsPublisher },
    { demoConfig },
    { validateConfig },
    { systemClock },
    { runAgent },
  ] = await Promise.all([
    import('../demo/broker.ts'),
    import('../demo/publish.ts'),
    import('../demo/config.ts'),
    import('../config/index.ts'),
    import('../system/clock.ts'),
    import('./shared/run-agent.ts'),
  ]);
  const broker = await startBroker(options.brokerPort);
  const vitals = new VitalsPublisher({ publish: broker.publish, clock: systemClock });
  try {
    await withFolder(wantedDataDir, async (dataDir) => {
      const document = demoConfig({ brokerUrl: broker.url, dataDir, listen: options.http });
      const config = validateConfig(document);
      vitals.start();
      await runAgent({
        config,
        document: () => document,
        fallbackPorts: 20,
        onStarted: (pageUrl) =>
          console.log(welcome(broker.url, pageUrl, dataDir, wantedDataDir === undefined)),
        onForecast: options.verbose ? (forecast: Forecast) => console.log(line(forecast)) : undefined,
      });
    });
  } finally {
    vitals.stop();
    await broker.stop();
  }
}

/** Runs `action` in `wanted`, or in a temporary folder that is removed afterwards. */
async function withFolder(
  wanted: string | undefined,
  action: (folder: string) => Promise<void>,
): Promise<void> {
  if (wanted !== undefined) return action(wanted);
  const folder = mkdtempSync(join(tmpdir(), 'gatecast-demo-'));
  try {
    await action(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const port = (text: string): number =>
  numberOf(text, (n) => Number.isInteger(n) && n >= 0 && n <= 65_535, 'A number from 0 to 65535');

const welcome = (broker: string, page: string | null, dataDir: string, temporary: boolean): string => {
  const { hostname, port } = new URL(broker);
  return `
  page       ${page ?? 'off'}
  broker     ${broker}  (MQTT 3.1.1, this machine only)
  sensors    vitals/#                   this machine's vitals, once a second
             holes/#                    processor load, smoothed, with gaps that gatecast fills
  forecasts  gatecast/demo/forecast/#   the next 60 s of each, updated every second
  data       ${dataDir}${temporary ? '  (removed on exit)' : ''}

  watch      mosquitto_sub -h ${hostname} -p ${port} -v -t 'gatecast/#'
  stop       Ctrl-C
`;
};

/** Prints floating-point noise around 0 as 0. */
const number = (value: number): string => (Math.abs(value) < 1e-6 ? '0' : value.toPrecision(4));

function line(f: Forecast): string {
  const row = (f.leads - 1) * 9;
  const [low, middle, high] = [f.quantiles[row], f.quantiles[row + 4], f.quantiles[row + 8]];
  const observed = f.observed === null ? 'no reading' : number(f.observed);
  const ahead = `in ${(f.leads * f.stepMs) / 1000} s ${number(middle)} (${number(low)} to ${number(high)})`;
  const time = new Date(f.originMs).toISOString().slice(11, 19);
  return `${time}  ${f.stream.padEnd(18)} ${observed.padStart(10)} ${(f.unit ?? '').padEnd(4)}  ->  ${ahead}  ${f.kind}, ${f.input.quality}`;
}
