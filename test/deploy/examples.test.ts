// The examples that owners copy: the config is valid, and the broker's access list lets through what each user needs.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mqtt, { type MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startAgent } from '../../src/agent.ts';
import { loadConfig, validateConfig } from '../../src/config/index.ts';
import { silentLogger } from '../../src/log.ts';
import { topicsOf } from '../../src/mqtt/topics.ts';
import { systemClock } from '../../src/system/clock.ts';
import { hasMosquitto, type Mosquitto, startMosquitto } from '../support/mosquitto.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

it('has an example config that is valid', () => {
  const config = loadConfig('deploy/examples/gatecast.yaml');
  expect(config.node).toBe('cellar');
  expect(config.streams).toHaveLength(2);
});

describe.skipIf(!hasMosquitto)('gatecast.acl', () => {
  let broker: Mosquitto;
  let dir: string;
  const clients: MqttClient[] = [];
  const users = ['gatecast', 'viewer', 'operator'] as const;
  const by = new Map<string, MqttClient>();

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'gatecast-acl-'));
    const passwords = join(dir, 'passwd');
    for (const [i, user] of users.entries()) {
      const args = i === 0 ? ['-c', '-b'] : ['-b'];
      const { status, stderr } = spawnSync('mosquitto_passwd', [...args, passwords, user, 'secret'], {
        encoding: 'utf8',
      });
      if (status !== 0) throw new Error(stderr);
    }
    const acl = join(process.cwd(), 'deploy/examples/mosquitto/gatecast.acl');
    broker = await startMosquitto(`allow_anonymous false\npassword_file ${passwords}\nacl_file ${acl}`);
    for (const username of users) {
      const client = await mqtt.connectAsync(broker.url, {
        protocolVersion: 5,
        username,
        password: 'secret',
      });
      clients.push(client);
      by.set(username, client);
    }
  });
  afterAll(async () => {
    for (const client of clients) await client.endAsync(true);
    await broker?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  /** Whether the broker takes a message on the topic from the user. */
  const mayPublish = async (user: string, topic: string): Promise<boolean> => {
    try {
      // 16 (nobody listens) is a success, 135 (not authorised) rejects.
      await by.get(user)!.publishAsync(topic, '1', { qos: 1 });
      return true;
    } catch (error) {
      expect(String(error)).toMatch(/not authorized/i);
      return false;
    }
  };

  it.each([
    ['gatecast', 'gatecast/cellar/status', true],
    ['gatecast', 'gatecast/cellar/forecast/kitchen/temperature', true],
    ['gatecast', 'gatecast/cellar/config/reported', true],
    ['gatecast', 'homeassistant/device/gatecast_cellar/config', true],
    ['gatecast', 'gatecast/attic/forecast/kitchen', false],
    ['gatecast', 'gatecast/cellar/config/desired', false],
    ['gatecast', 'zigbee2mqtt/kitchen', false],
    ['viewer', 'gatecast/cellar/forecast/kitchen', false],
    ['viewer', 'gatecast/cellar/request/finetune', false],
    ['operator', 'gatecast/cellar/config/desired', true],
    ['operator', 'gatecast/fleet/houses/config/desired', true],
    ['operator', 'gatecast/cellar/request/finetune', true],
    ['operator', 'gatecast/cellar/forecast/kitchen', false],
  ])('%s publishing to %s: %s', async (user, topic, allowed) => {
    expect(await mayPublish(user, topic)).toBe(allowed);
  });

  it('allows every topic that the agent publishes, by the topic names of the code', async () => {
    const topics = topicsOf('gatecast', 'cellar');
    const said = [
      topics.status,
      topics.health,
      topics.forecast('kitchen'),
      topics.forecastAt('kitchen', '1h'),
      topics.score('kitchen'),
      topics.anomaly('kitchen'),
      topics.alert('disk'),
      topics.model('base'),
      topics.configReported,
      topics.response('finetune'),
      topics.trial,
    ];
    const refused: string[] = [];
    for (const topic of said) if (!(await mayPublish('gatecast', topic))) refused.push(topic);
    expect(refused).toEqual([]);
  });
});

const temp = tempDirs();
const ACL = readFileSync('deploy/examples/mosquitto/gatecast.acl', 'utf8');
const REMOTE_ACL = /```conf\n(.*?)```/s.exec(readFileSync('docs/remote-config.md', 'utf8'))?.[1] ?? '';
const withoutTrial = (acl: string): string => acl.replace(/^.*\/trial\n/m, '');

describe.skipIf(!hasMosquitto)('a new password at a broker with an access list', () => {
  it.each([
    ['gatecast.acl', 'gatecast', ACL, null],
    ['the list of remote-config.md', 'cellar', REMOTE_ACL, null],
    ['gatecast.acl without trial', 'gatecast', withoutTrial(ACL), 'gatecast/cellar/trial'],
    [
      'the list of remote-config.md without trial',
      'cellar',
      withoutTrial(REMOTE_ACL),
      'gatecast/cellar/trial',
    ],
  ])('%s', async (_name, username, acl, refused) => {
    const dir = temp();
    const file = (name: string, text: string): string => {
      writeFileSync(join(dir, name), text);
      return join(dir, name);
    };
    const passwords = file('passwords', '');
    const allow = (password: string): void => {
      const { status } = spawnSync('mosquitto_passwd', ['-b', passwords, username, password]);
      expect(status).toBe(0);
    };
    allow('former');
    const broker = await startMosquitto(
      `allow_anonymous false\npassword_file ${passwords}\nacl_file ${file('acl', acl)}`,
    );
    const configOf = (password: string) =>
      validateConfig({
        node: 'cellar',
        data_dir: join(dir, 'data'),
        mqtt: { url: broker.url, username, password_file: file(password, password), connect_timeout: '2s' },
        streams: [{ match: 'meters/+' }],
        http: { listen: 'off' },
      });
    const agent = await startAgent({
      config: configOf('former'),
      version: '1',
      clock: systemClock,
      log: silentLogger,
    });
    try {
      const { context } = agent;
      allow('fresh');
      broker.signal('SIGHUP');
      const wrong = await context.configure(configOf('wrong'));
      expect(wrong.errors).toMatchObject([{ part: 'broker', path: 'mqtt.password_file' }]);
      // The broker reads the file again a moment after the signal.
      let result = await context.configure(configOf('fresh'));
      await waitFor('the new password', async () => {
        if (result.errors.some(({ message }) => message.includes('login')))
          result = await context.configure(configOf('fresh'));
        return !result.errors.some(({ message }) => message.includes('login'));
      });
      if (refused === null) expect(result).toMatchObject({ errors: [], reconnect: ['mqtt.password_file'] });
      else expect(result.errors[0]?.message).toContain(refused);
    } finally {
      await agent.stop();
      await broker.stop();
    }
  });
});
