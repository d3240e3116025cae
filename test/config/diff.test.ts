import { expect, test } from 'vitest';
import { configHash, diffConfig, takeHot, validateConfig } from '../../src/config/index.ts';

const config = (change: Record<string, unknown> = {}) =>
  validateConfig({
    node: 'n',
    mqtt: { url: 'mqtt://broker' },
    streams: [{ match: 'a/{b}', interval: '1m' }],
    ...change,
  });

test('keys that need no restart are applied, the others keep their running values', () => {
  const running = config();
  const wanted = config({
    node: 'other',
    mqtt: { url: 'mqtt://elsewhere', username: 'me' },
    streams: [{ match: 'c/#' }, { match: 'd' }],
    publish: { every: '10m', discovery_prefix: 'ha', quantiles: [0.5] },
    store: { max_size: '64MB' },
    max_streams: 5,
    log: { level: 'debug' },
  });
  const next = takeHot(running, wanted);
  expect(next.streams).toEqual(wanted.streams);
  expect(next.publish).toEqual({ ...wanted.publish, discovery_prefix: 'homeassistant' });
  expect(next.store).toEqual(wanted.store);
  expect(next.log).toEqual(wanted.log);
  expect(next.mqtt).toEqual(wanted.mqtt);
  expect([next.node, next.max_streams]).toEqual([running.node, running.max_streams]);
  // What is left between the two is what needs a restart, and nothing else.
  expect(diffConfig(next, wanted)).toEqual({
    hot: [],
    reconnect: [],
    restart: diffConfig(running, wanted).restart,
  });
  expect(diffConfig(next, wanted).restart).toContain('node');
  expect(diffConfig(running, wanted).reconnect).toEqual(['mqtt.url', 'mqtt.username']);
});

test('a removed optional key is removed from the result', () => {
  const rule = { match: 'a', thresholds: [{ name: 't', above: 1 }], unit: 'bar' };
  const next = takeHot(config({ streams: [rule] }), config({ streams: [{ match: 'a' }] }));
  expect(next.streams[0]).not.toHaveProperty('unit');
  expect(configHash(next)).toBe(configHash(config({ streams: [{ match: 'a' }] })));
});

test('no change: nothing to apply', () => {
  expect(takeHot(config(), config())).toEqual(config());
  expect(diffConfig(config(), config())).toEqual({ hot: [], reconnect: [], restart: [] });
});
