/** Remote config in a running agent on a real broker: what only the agent around it can show. */

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Agent } from '../../src/agent/contract.ts';
import { startAgent } from '../../src/agent.ts';
import { openStart } from '../../src/cli/shared/remote-session.ts';
import { silentLogger } from '../../src/log.ts';
import type { Reported } from '../../src/remote/contract.ts';
import { systemClock } from '../../src/system/clock.ts';
import { newKey, signed } from '../remote/gateway.ts';
import { cleanupsOfTest } from '../support/cleanups.ts';
import { hasMosquitto, startMosquitto, watch } from '../support/mosquitto.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const temp = tempDirs();
const cleanups = cleanupsOfTest();
const ops = newKey('ops');
const DESIRED = 'gatecast/cellar/config/desired';
const SECONDS = { payload: 'json', fields: ['v'], time: 't', interval: '1s', horizon: '10s' };

interface SetUp {
  readonly broker?: string;
  readonly login?: { readonly username: string; readonly password: string };
  readonly mqtt?: object;
  readonly remote?: object;
  readonly streams?: readonly object[];
}

/** A gateway with the config of a file, and a client that reads and writes all. */
async function gateway({ broker: settings, login, mqtt = {}, remote, streams = [] }: SetUp = {}) {
  const broker = await startMosquitto(settings);
  cleanups.push(() => broker.stop());
  const watcher = await watch(broker.url, 'gatecast/#', login);
  cleanups.push(() => watcher.close());
  const dir = temp();
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
      clock: systemClock,
      log: silentLogger,
    });
  };
  cleanups.push(stop);
  let at = 0;
  const feeding = setInterval(() => {
    at += 1;
    watcher.client.publish('s/a', JSON.stringify({ v: 20 + Math.sin(at / 7), t: Date.now() }));
  }, 250);
  cleanups.push(async () => clearInterval(feeding));
  const reported = (): Reported =>
    JSON.parse(watcher.on('gatecast/cellar/config/reported').at(-1)?.text ?? '{}') as Reported;
  const push = async (version: number, content: object, retain = true): Promise<void> => {
    const payload = await signed(ops, { nowMs: Date.now(), version }, { ...content });
    await watcher.client.publishAsync(DESIRED, payload, { qos: 1, retain });
  };
  const untilReported = (status: string, version: number | null): Promise<unknown> =>
    waitFor(
      `version ${version} ${status}`,
      () => reported().status === status && reported().version === version,
    ).catch((error: unknown) => {
      throw new Error(`${error}; last: ${JSON.stringify(reported())}`);
    });
  const forecasts = (): number => watcher.on('gatecast/cellar/forecast/s/a').length;
  await start();
  return { broker, watcher, file, text, start, stop, reported, push, untilReported, forecasts };
}

describe.skipIf(!hasMosquitto)('remote config in a running agent', () => {
  test('a push that is taken at the start, before the first forecast, and silences the streams is rolled back', async () => {
    const one = await gateway();
    await waitFor('forecasts', () => one.forecasts() > 2);
    const { effective_hash: good } = one.reported();
    await one.stop();
    // Longer away than three intervals: how old the last readings are does not matter.
    await sleep(4000);
    await one.push(1, { patch: { streams: { s: { match: 'nowhere/{n}' } } }, probation: '4s' });
    await one.start();
    await one.untilReported('probation', 1);
    await one.untilReported('rolled_back', 1);
    expect(one.reported()).toMatchObject({ code: 500, effective_hash: good });
    expect(one.reported().errors[0]?.text).toContain('1 of 1 streams have no forecasts');
    const before = one.forecasts();
    await waitFor('forecasts again', () => one.forecasts() > before);
    // The file is the owner's.
    expect(readFileSync(one.file, 'utf8')).toBe(one.text);
  });

  test('a push to a new gateway whose streams have had readings only, and which silences them, is rolled back', async () => {
    const one = await gateway({
      streams: [{ id: 'slow', match: 'slow/{n}', name: 'slow/{n}', ...SECONDS, interval: '5s' }],
    });
    // The first forecast comes at the end of the first interval: readings begin early in one.
    await waitFor('the begin of an interval', () => Date.now() % 5000 < 200);
    const feeding = setInterval(
      () => one.watcher.client.publish('slow/b', JSON.stringify({ v: 1 + (Date.now() % 7), t: Date.now() })),
      250,
    );
    cleanups.push(async () => clearInterval(feeding));
    await waitFor('the stream', () =>
      one.watcher.seen.some(({ topic }) => topic.startsWith('gatecast/cellar/')),
    );
    await sleep(1000);
    expect(one.watcher.on('gatecast/cellar/forecast/slow/b')).toEqual([]);
    // The probation is shorter than two intervals: it lasts until the stream had time for a forecast.
    await one.push(1, { patch: { streams: { slow: { match: 'nowhere/{n}' } } }, probation: '5s' });
    await one.untilReported('rolled_back', 1);
    expect(one.reported().errors[0]?.text).toContain('slow/b');
  });

  test('unsigned: plain JSON is taken, and an alert says that anybody can configure the gateway', async () => {
    const one = await gateway({ remote: { unsigned: true } });
    const alert = (): string => one.watcher.on('gatecast/cellar/alert/remote-config').at(-1)?.text ?? '{}';
    await waitFor('the alert', () => alert().includes('anyone who may publish'));
    const plain = JSON.stringify({ version: 1, patch: { log: { level: 'debug' } }, probation: '1s' });
    await one.watcher.client.publishAsync(DESIRED, plain, { qos: 1, retain: true });
    await one.untilReported('applied', 1);
    expect(one.reported().kid).toBeNull();
  });

  test('a credential that the broker refuses is found on a second connection: nothing changes', async () => {
    const passwords = join(temp(), 'passwords');
    writeFileSync(passwords, '');
    expect(spawnSync('mosquitto_passwd', ['-b', passwords, 'cellar', 'secret']).status).toBe(0);
    const password = join(temp(), 'password');
    writeFileSync(password, 'secret');
    const one = await gateway({
      broker: `allow_anonymous false\npassword_file ${passwords}`,
      login: { username: 'cellar', password: 'secret' },
      mqtt: { username: 'cellar', password_file: password },
    });
    await waitFor('a report', () => one.reported().status === 'applied');
    const { effective_hash: good } = one.reported();
    await one.push(1, { patch: { mqtt: { username: 'attic' } }, probation: '2s' });
    await one.untilReported('rejected', 1);
    expect(one.reported()).toMatchObject({ code: 500, effective_hash: good });
    expect(one.reported().errors[0]?.path).toBe('mqtt.username');
  });

  test('beside a rule that reads all topics, a push is taken once, and a retained one again at the next start', async () => {
    const all = { id: 'all', match: '#', payload: 'number', interval: '1h', horizon: '1h' };
    const one = await gateway({ streams: [all] });
    await one.push(1, { patch: { log: { level: 'debug' } }, probation: '1s' });
    await one.untilReported('applied', 1);
    const codes = one.watcher
      .on('gatecast/cellar/config/reported')
      .map(({ text }) => (JSON.parse(text) as Reported).code);
    expect(codes).not.toContain(409);
    await one.stop();
    await one.push(2, { patch: { log: { level: 'warn' } }, probation: '1s' });
    await one.start();
    await one.untilReported('applied', 2);
  });

  test('what a change needs: hot for rules, publish, thresholds, fine-tuning, limits and the log', async () => {
    const one = await gateway();
    await waitFor('a report', () => one.reported().status === 'applied');
    const answers = (): Reported[] =>
      one.watcher
        .on('gatecast/cellar/config/reported')
        .map(({ text }) => JSON.parse(text) as Reported)
        .filter(({ dry_run }) => dry_run === true);
    const cases: readonly (readonly [needs: string, patch: object])[] = [
      ['hot', { streams: { s: { horizon: '20s' } } }],
      ['hot', { streams: { s: { match: 't/{n}' } } }],
      ['hot', { streams: { new: { match: 'new/{n}' } } }],
      ['hot', { streams: { s: { limits: { min: 0, max: 100 } } } }],
      ['hot', { streams: { s: { thresholds: [{ name: 'hot', above: 30 }] } } }],
      ['hot', { publish: { every: '2m' } }],
      ['hot', { finetune: { enabled: true } }],
      ['hot', { lateness: '3s' }],
      ['hot', { ignore: ['x/#'] }],
      ['hot', { requests: { allow: [] } }],
      ['hot', { log: { level: 'debug' } }],
      ['reconnect', { mqtt: { username: 'x' } }],
      ['reconnect', { mqtt: { url: 'mqtt://elsewhere' } }],
      ['restart', { max_streams: 10 }],
      ['restart', { timezone: 'UTC' }],
      ['restart', { max_streams: 10, log: { level: 'debug' }, mqtt: { username: 'x' } }],
    ];
    for (const [at, [needs, patch]] of cases.entries()) {
      await one.push(1, { patch, dry_run: true, token: String(at) }, false);
      const answer = await waitFor(`an answer to ${JSON.stringify(patch)}`, () =>
        answers().find(({ token }) => token === String(at)),
      );
      expect({ patch, errors: answer.errors, needs: answer.needs, code: answer.code }).toEqual({
        patch,
        errors: [],
        needs,
        code: 200,
      });
    }
  });
});
