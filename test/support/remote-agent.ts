/** An agent with remote config in the test's own process, on a real broker. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Agent } from '../../src/agent/contract.ts';
import { startAgent } from '../../src/agent.ts';
import { openStart } from '../../src/cli/shared/remote-session.ts';
import { silentLogger } from '../../src/log.ts';
import type { Reported } from '../../src/remote/contract.ts';
import { type Clock, systemClock } from '../../src/system/clock.ts';
import { newKey, signed } from '../remote/gateway.ts';
import { cleanupsOfTest } from './cleanups.ts';
import { startMosquitto, watch } from './mosquitto.ts';
import { tempDirs } from './temp.ts';
import { waitFor } from './wait.ts';

const ops = newKey('ops');
export const DESIRED = 'gatecast/cellar/config/desired';
export const SECONDS = { payload: 'json', fields: ['v'], time: 't', interval: '1s', horizon: '10s' };

interface SetUp {
  readonly broker?: string;
  readonly login?: { readonly username: string; readonly password: string };
  readonly mqtt?: object;
  readonly remote?: object;
  readonly streams?: readonly object[];
  /** Further keys of the file. */
  readonly more?: object;
  readonly clock?: Clock;
}

/** Starts gateways with the config of a file, and a client that reads and writes all; stopped after each test. */
export function gatewaysOfTest() {
  const temp = tempDirs();
  const cleanups = cleanupsOfTest();
  return (setUp: SetUp = {}) => gateway(setUp, temp(), cleanups);
}

async function gateway(
  { broker: settings, login, mqtt = {}, remote, streams = [], more = {}, clock = systemClock }: SetUp,
  dir: string,
  cleanups: (() => unknown)[],
) {
  const broker = await startMosquitto(settings);
  cleanups.push(() => broker.stop());
  const watcher = await watch(broker.url, 'gatecast/#', login);
  cleanups.push(() => watcher.close());
  mkdirSync(join(dir, 'data'));
  writeFileSync(join(dir, 'keys.jwks'), JSON.stringify({ keys: [ops.jwk] }));
  const file = join(dir, 'gatecast.json');
  const text = JSON.stringify({
    node: 'cellar',
    mqtt: { url: broker.url, max_backoff: '1s', ...mqtt },
    data_dir: join(dir, 'data'),
    http: { listen: 'off' },
    lateness: '0s',
    finetune: { enabled: false },
    publish: { home_assistant: false },
    streams: [{ id: 's', match: 's/{n}', name: 's/{n}', ...SECONDS }, ...streams],
    remote_config: { enabled: true, ...(remote ?? { keys: join(dir, 'keys.jwks') }) },
    ...more,
  });
  writeFileSync(file, text);
  let agent: Agent | null = null;
  const stop = async (): Promise<void> => {
    await agent?.stop();
    agent = null;
  };
  const start = async (): Promise<void> => {
    agent = await startAgent({
      ...(await openStart(file, undefined)),
      version: '1.2.3',
      clock,
      log: silentLogger,
    });
  };
  cleanups.push(stop);
  let at = 0;
  /** Times of the readings of `s/a`. */
  const fed: number[] = [];
  const feeding = setInterval(() => {
    at += 1;
    fed.push(Date.now());
    watcher.client.publish('s/a', JSON.stringify({ v: 20 + Math.sin(at / 7), t: fed.at(-1) }));
  }, 250);
  cleanups.push(async () => clearInterval(feeding));
  const reports = (): Reported[] =>
    watcher.on('gatecast/cellar/config/reported').map(({ text }) => JSON.parse(text) as Reported);
  const reported = (): Reported => reports().at(-1) ?? ({} as Reported);
  const push = async (version: number, content: object, retain = true): Promise<void> => {
    const payload = await signed(ops, { nowMs: Date.now(), version }, { ...content });
    await watcher.client.publishAsync(DESIRED, payload, { qos: 1, retain });
  };
  /** Also a state that another one has followed since. */
  const untilReported = (status: string, version: number | null): Promise<unknown> =>
    waitFor(`version ${version} ${status}`, () =>
      reports().some((one) => one.status === status && one.version === version),
    ).catch((error: unknown) => {
      throw new Error(`${error}; last: ${JSON.stringify(reported())}`);
    });
  const forecasts = (): number => watcher.on('gatecast/cellar/forecast/s/a').length;
  await start();
  return { broker, watcher, file, text, start, stop, reported, push, untilReported, forecasts, fed };
}
