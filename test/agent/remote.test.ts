/** Remote config in a running agent on a real broker: what only the agent around it can show. */

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Reported } from '../../src/remote/contract.ts';
import { type Clock, systemClock } from '../../src/system/clock.ts';
import { hasMosquitto } from '../support/mosquitto.ts';
import { DESIRED, gatewaysOfTest } from '../support/remote-agent.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

const temp = tempDirs();
const gateway = gatewaysOfTest();

describe.skipIf(!hasMosquitto)('remote config in a running agent', () => {
  test('unsigned: plain JSON is taken, and an alert says that anybody can configure the gateway', async () => {
    const one = await gateway({ remote: { unsigned: true } });
    const alert = (): string => one.watcher.on('gatecast/cellar/alert/remote-config').at(-1)?.text ?? '{}';
    await waitFor('the alert', () => alert().includes('anyone who may publish'));
    const push = (version: number, retain: boolean) => {
      const plain = JSON.stringify({ version, patch: { log: { level: 'debug' } }, probation: '1s' });
      return one.watcher.client.publishAsync(DESIRED, plain, { qos: 1, retain });
    };
    await push(1, true);
    await one.untilReported('applied', 1);
    expect(one.reported().kid).toBeNull();
    // If its acknowledgement is lost, it comes again with the session that the broker has kept.
    await one.stop();
    await push(1, false);
    await one.start();
    // A report of the copy would come by then; a later one replaces what waits to be sent.
    await new Promise((resolve) => setTimeout(resolve, 500));
    await push(2, true);
    await one.untilReported('applied', 2);
    const reports = one.watcher.on('gatecast/cellar/config/reported');
    expect(reports.filter(({ text }) => text.includes('"code":409'))).toEqual([]);
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

  test('a push is judged by what holds, also before the next look for alerts', async () => {
    const never = () => () => {};
    const clock: Clock = {
      ...systemClock,
      after: (ms, run) => (ms === 5000 ? never() : systemClock.after(ms, run)),
    };
    const one = await gateway({ more: { max_streams: 2 }, clock });
    const all = { match: 'noise/{n}', payload: 'number', interval: '1s', horizon: '10s' };
    await one.push(1, { patch: { streams: { all } }, probation: '1d' });
    await one.untilReported('probation', 1);
    await waitFor('the rollback', async () => {
      for (const topic of ['noise/a', 'noise/b', 'noise/c'])
        await one.watcher.client.publishAsync(topic, '1');
      return one.reported().status === 'rolled_back';
    });
    expect(one.reported().errors[0]?.text).toBe('a new alert was raised: stream-limit');
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
