// The examples that owners copy: the config is valid, and the broker's access list lets through what each user needs.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mqtt, { type MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/index.ts';
import { topicsOf } from '../../src/mqtt/topics.ts';
import { hasMosquitto, type Mosquitto, startMosquitto } from '../support/mosquitto.ts';

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

  it('lets the agent publish all that it says, by the names that the code has for it', async () => {
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
    ];
    const refused: string[] = [];
    for (const topic of said) if (!(await mayPublish('gatecast', topic))) refused.push(topic);
    expect(refused).toEqual([]);
  });
});
