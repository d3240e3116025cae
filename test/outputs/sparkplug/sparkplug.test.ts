/**
 * gatecast as a Sparkplug B edge node, on a real Mosquitto, seen by a host that decodes with readers of its own, that of Eclipse Tahu
 * among them, and holds every message against the rules of the specification.
 */
import mqtt, { type MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { validateConfig } from '../../../src/config/index.ts';
import { createRouter } from '../../../src/config/resolve.ts';
import type { Forecast } from '../../../src/forecast/forecast.ts';
import { silentLogger } from '../../../src/log.ts';
import { Client, type ClientParts } from '../../../src/mqtt/client.ts';
import { deviceLevel } from '../../../src/outputs/sparkplug/edge-node.ts';
import { Sparkplug, type SparkplugSpec } from '../../../src/outputs/sparkplug/sparkplug.ts';
import { Q } from '../../../src/quantiles.ts';
import { systemClock } from '../../../src/system/clock.ts';
import { sparkplug } from '../../ingest/sparkplug-messages.ts';
import { plainForecast } from '../../support/forecasts.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { hasMosquitto, type Mosquitto, startMosquitto } from '../../support/mosquitto.ts';
import { startProxy } from '../../support/proxy.ts';
import { hasTahu, ownReader, type Reader, tahuReader } from '../../support/sparkplug-reader.ts';
import { waitFor } from '../../support/wait.ts';
import { type Received, SparkplugHost } from './host.ts';

const GROUP = 'plant';
const NODE = 'edge';
/** A command as a host sends it: one boolean that is true. */
const command = (name: string): Buffer => sparkplug([{ name, time: 1, type: 11, bool: true }], undefined, 1);

const spec = (name: string, device: string, more: Partial<SparkplugSpec> = {}): SparkplugSpec => ({
  name,
  device,
  unit: '°C',
  thresholds: [],
  ...more,
});

const forecastOf = (stream: string, base: number, change: Partial<Forecast> = {}): Forecast =>
  plainForecast(stream, {
    unit: '°C',
    originMs: base * 60_000,
    leads: 60,
    quantiles: Float64Array.from({ length: 60 * Q }, (_, i) => base + Math.floor(i / Q) + (i % Q) / 10),
    ...change,
  });

describe.skipIf(!hasMosquitto)('the edge node, read by a reader of the tests', () =>
  edgeNodeTests(() => ownReader),
);
// Without the library these tests are skipped, and CI counts a skipped test as a failure.
describe.skipIf(!hasMosquitto || !hasTahu)('the edge node, read by the library of Eclipse Tahu', () =>
  edgeNodeTests(tahuReader),
);

function edgeNodeTests(readerOf: () => Reader): void {
  let decode: Reader;
  let broker: Mosquitto;
  let eyes: MqttClient;
  const seen: Received[] = [];
  /** What the connection of the edge node has received. */
  const link = { connects: 0, states: 0 };
  const edgeClient = (parts: ClientParts) =>
    new Client({
      ...parts,
      message: (incoming) => {
        parts.message(incoming);
        if (incoming.topic.includes('/STATE/')) link.states++;
      },
      changed: (status) => {
        parts.changed?.(status);
        link.connects = status.connects;
      },
    });
  let host: SparkplugHost;
  beforeAll(async () => {
    decode = readerOf();
    broker = await startMosquitto();
    eyes = await mqtt.connectAsync(broker.url, { reconnectPeriod: 50 });
    eyes.on('message', (topic, payload, { qos, retain }) => {
      if (/\/[ND]CMD\/|\/STATE\//.test(topic)) return;
      const received = { topic, payload: decode(payload), qos, retain };
      seen.push(received);
      host.receive(received);
    });
    await eyes.subscribeAsync('spBv1.0/#', { qos: 1 });
  });
  afterAll(async () => {
    await eyes?.endAsync(true);
    await broker?.stop();
  });

  function setUp(streams: SparkplugSpec[], store = new MemoryStore(), more: Record<string, unknown> = {}) {
    seen.length = 0;
    Object.assign(link, { connects: 0, states: 0 });
    host = new SparkplugHost(GROUP, NODE);
    const configOf = (change: Record<string, unknown> = {}) =>
      validateConfig({
        node: 'n',
        mqtt: { url: broker.url, max_backoff: '1s' },
        streams: [{ match: 'a' }],
        sparkplug: { enabled: true, group: GROUP, node: NODE, leads: ['10m'] },
        ...more,
        ...change,
      });
    const state = { config: configOf(), streams };
    const output = new Sparkplug({
      config: () => state.config,
      streams: () => state.streams,
      store,
      clock: systemClock,
      log: silentLogger,
      version: '1.2.3',
      edgeClient,
    });
    return { output, state, store, configOf };
  }
  const kinds = () => seen.map(({ topic }) => topic.split('/').slice(2).join('/').replace('/edge', ''));
  const until = (what: string, count: number) => waitFor(what, () => seen.length >= count);
  const value = (device: string, metric: string) => host.values.get(device)?.get(metric);

  test('births, data by alias, a rebirth on command, and its death', async () => {
    const { output } = setUp([spec('pump/t', 'pump'), spec('pump/p', 'pump'), spec('tank', 'tank')]);
    output.start();
    await until('the births', 3);
    expect(kinds()).toEqual(['NBIRTH', 'DBIRTH/pump', 'DBIRTH/tank']);
    expect(value('', 'Properties/version')).toBe('1.2.3');
    expect(value('pump', 'Forecast/pump/t/next/p50')).toBeNull();
    const pump = seen[1]?.payload.metrics.find(({ name }) => name === 'Forecast/pump/t/10m/p90');
    expect(pump).toMatchObject({ type: 'Double', properties: { engUnit: { type: 'String', value: '°C' } } });

    output.forecast(forecastOf('pump/t', 20), 1_700_000_000_000);
    output.health({ state: 'degraded' } as Parameters<typeof output.health>[0]);
    await until('data', 5);
    expect(value('pump', 'Forecast/pump/t/next/p50')).toBe(20.4);
    expect(value('pump', 'Forecast/pump/t/10m/p10')).toBe(29);
    expect(value('pump', 'Forecast/pump/t/anomaly')).toBe(false);
    expect(value('', 'Health/ok')).toBe(false);
    // What did not change is not sent again.
    output.forecast(forecastOf('pump/t', 20, { originMs: 21 * 60_000 }), 1_700_000_001_000);
    output.anomaly('pump/t', { timeMs: 0, observed: 0, p50: 0, low: 0, high: 0, score: 9 });
    output.forecast(forecastOf('pump/t', 20, { originMs: 22 * 60_000 }), 1_700_000_002_000);
    await until('the anomaly', 6);
    expect(seen[5]?.payload.metrics.map(({ value: one }) => one)).toEqual([true]);

    const bdSeq = value('', 'bdSeq');
    const ask = (payload: Buffer | string) => eyes.publishAsync(`spBv1.0/${GROUP}/NCMD/${NODE}`, payload);
    await ask('nonsense');
    await ask(command('Node Control/Reboot'));
    await ask(command('Node Control/Rebirth'));
    await until('the births again', 9);
    expect(kinds().slice(6)).toEqual(['NBIRTH', 'DBIRTH/pump', 'DBIRTH/tank']);
    expect(value('', 'bdSeq')).toBe(bdSeq);
    expect(value('pump', 'Forecast/pump/t/next/p50')).toBe(20.4);
    expect(value('', 'Health/ok')).toBe(false);

    await output.stop();
    await until('the death', 10);
    expect(host.online).toBe(false);
    expect(host.violations).toEqual([]);
  });

  test('streams that come, change and go: births and deaths of devices; sequence numbers go round', async () => {
    const { output } = setUp([spec('a/x', 'a')]);
    output.start();
    await until('the births', 2);
    output.streams([
      spec('a/y', 'a', { thresholds: [{ name: 'hot', side: 'above', value: 5 }] }),
      spec('b/x', 'b/1'),
    ]);
    // Before their birth is due.
    const crossings = [
      { name: 'hot', side: 'above', value: 5, atMs: 1_700_000_000_000, probability: 0.5 },
    ] as const;
    output.forecast(forecastOf('a/y', 7, { crossings }), 1_700_000_000_000);
    await until('the births and the data', 5);
    expect(kinds().slice(2).sort()).toEqual(['DBIRTH/a', 'DBIRTH/b:1', 'DDATA/a']);
    expect(value('a', 'Forecast/a/y/hot/probability')).toBe(0.5);
    expect(value('a', 'Forecast/a/y/hot/time')).toBe(1_700_000_000_000);
    for (let i = 0; i < 300; i++)
      output.forecast(forecastOf('a/x', i, { originMs: i * 60_000 }), 1_700_000_000_000 + i);
    await until('data', 305);
    output.forecast(forecastOf('never declared', 1), 1_700_000_000_000);
    output.forget('b/x');
    output.forget('a/y');
    await until('the end of them', 307);
    expect(kinds().slice(305)).toEqual(['DDEATH/b:1', 'DBIRTH/a']);
    expect([...(host.values.get('a')?.keys() ?? [])].some((name) => name.includes('a/y'))).toBe(false);
    await output.stop();
    expect(host.violations).toEqual([]);
  });

  test('a stale stream has the quality of one', async () => {
    const { output } = setUp([spec('a', 'a')]);
    output.start();
    await until('the births', 2);
    const input = { quality: 'stale', observedMs: 0, ageMs: 9e6 } as const;
    output.forecast(forecastOf('a', 1, { input }), 1_700_000_000_000);
    await until('data', 3);
    for (const { properties } of seen[2]?.payload.metrics ?? [])
      expect(properties?.Quality).toEqual({ type: 'Int32', value: 500 });
    await output.stop();
  });

  test('a connection that is lost: the will, new births with the next number, and what was made meanwhile as history', async () => {
    const proxy = await startProxy(broker.port);
    const { output } = setUp([spec('a', 'a')], new MemoryStore(), {
      mqtt: { url: proxy.url, max_backoff: '1s' },
    });
    output.start();
    await until('the births', 2);
    output.forecast(forecastOf('a', 1), 1_700_000_000_000);
    await until('data', 3);
    const bdSeq = Number(value('', 'bdSeq'));
    proxy.cut();
    await until('the will', 4);
    expect(kinds()[3]).toBe('NDEATH');
    expect(host.online).toBe(false);
    await waitFor('the loss at this end', () => !output.isBorn);
    output.forecast(forecastOf('a', 2), 1_700_000_060_000);
    output.forecast(forecastOf('a', 3), 1_700_000_120_000);
    proxy.restore();
    await until('births and history', 8);
    expect(kinds().slice(4)).toEqual(['NBIRTH', 'DBIRTH/a', 'DDATA/a', 'DDATA/a']);
    expect(value('', 'bdSeq')).toBe(bdSeq + 1);
    const history = seen.slice(6).flatMap(({ payload }) => payload.metrics);
    expect(history.every(({ isHistorical }) => isHistorical === true)).toBe(true);
    expect(new Set(history.map(({ timestamp }) => timestamp))).toEqual(
      new Set([1_700_000_060_000, 1_700_000_120_000]),
    );
    // The birth already has the newest.
    expect(value('a', 'Forecast/a/next/p50')).toBe(3.4);
    expect(host.violations).toEqual([]);
    await output.stop();
    await proxy.stop();
  });

  test('without a broker the newest forecasts wait, within bounds', async () => {
    const { output } = setUp([spec('a', 'a')], new MemoryStore(), { mqtt: { url: 'mqtt://127.0.0.1:1' } });
    output.start();
    for (let i = 0; i < 1005; i++)
      output.forecast(forecastOf('a', i, { originMs: i * 60_000 }), 1_700_000_000_000 + i);
    expect(output.dropped()).toMatchObject({ 'sparkplug-backlog': 5 });
    await output.stop();
  });

  test('the number of the session goes on after a restart', async () => {
    const store = new MemoryStore();
    const sessions: unknown[] = [];
    for (let run = 0; run < 3; run++) {
      const { output } = setUp([spec('a', 'a')], store);
      output.start();
      await until('the births', 2);
      sessions.push(value('', 'bdSeq'));
      await output.stop();
      await until('the death', 3);
      expect(host.online).toBe(false);
    }
    expect(sessions).toEqual([0, 1, 2]);
  });

  test('other leads are another birth; another connection a new session', async () => {
    const { output, state, configOf } = setUp([spec('a', 'a')]);
    output.start();
    await until('the births', 2);
    const next = configOf({ publish: { at: ['20m'] } });
    const change = output.prepare(next, state.config);
    state.config = next;
    await change?.settle?.();
    await until('another birth', 3);
    expect(value('a', 'Forecast/a/20m/p50')).toBeNull();
    const other = configOf({ publish: { at: ['20m'] }, mqtt: { url: broker.url, keepalive: '20s' } });
    const moved = output.prepare(other, state.config);
    state.config = other;
    await moved?.settle?.();
    await until('the death and the births', 6);
    expect(kinds().slice(3)).toEqual(['NDEATH', 'NBIRTH', 'DBIRTH/a']);
    expect(output.prepare(other, other)).toBeNull();
    expect(host.violations).toEqual([]);
    await output.stop();
  });

  /** The primary host, as the specification's test kit plays it: its STATE messages are retained, QoS 1. */
  const state = (id: string, payload: object | string) =>
    eyes.publishAsync(
      `spBv1.0/STATE/${id}`,
      typeof payload === 'string' ? payload : JSON.stringify(payload),
      { qos: 1, retain: true },
    );
  const waiting = async (id: string) => {
    const store = new MemoryStore();
    const parts = setUp([spec('a', 'a')], store, {
      sparkplug: { enabled: true, group: GROUP, node: NODE, primary_host: id },
    });
    parts.output.start();
    await waitFor('the subscriptions', () => link.connects === 1);
    return { ...parts, heard: () => link.states };
  };

  test('tck-id-message-flow-edge-node-birth-publish-phid-wait, -id, -online, -timestamp: births wait for the host', async () => {
    await state('other', { online: true, timestamp: 9_000 });
    await state('scada', { online: false, timestamp: 5_000 });
    const { output, heard } = await waiting('scada');
    await waitFor('the retained STATE', () => heard() === 1);
    output.forecast(forecastOf('a', 1), 1_700_000_000_000);
    // A rebirth command does not replace the host's STATE.
    await eyes.publishAsync(`spBv1.0/${GROUP}/NCMD/${NODE}`, command('Node Control/Rebirth'), { qos: 1 });
    const ignored = [
      { online: true, timestamp: 4_999 },
      { online: 'true', timestamp: 6_000 },
      { online: true },
      { online: true, timestamp: '6000' },
      '{"online": true, "timestamp": 1e999}',
      { online: true, timestamp: 2 ** 53 },
      { online: true, timestamp: Date.now() + 2 * 86_400_000 },
      'ONLINE',
      'null',
      '[]',
      `{"online": true, "timestamp": 6000, "x": "${'x'.repeat(5000)}"}`,
    ];
    for (const [at, payload] of ignored.entries()) {
      await state('scada', payload);
      await waitFor('the STATE', () => heard() === 2 + at);
    }
    expect(output.isBorn).toBe(false);
    expect(seen).toEqual([]);
    // Equal to the newest one: valid.
    await state('scada', { online: true, timestamp: 5_000 });
    await until('births, and what was forecast before them', 3);
    expect(kinds()).toEqual(['NBIRTH', 'DBIRTH/a', 'DDATA/a']);
    expect(seen[2]?.payload.metrics.every(({ isHistorical }) => isHistorical === true)).toBe(true);
    // Said twice, it is no other birth.
    await state('scada', { online: true, timestamp: 5_001 });
    await waitFor('the STATE', () => heard() === 3 + ignored.length);
    expect(seen.length).toBe(3);
    await output.stop();
    await until('the death', 4);
    expect(host.violations).toEqual([]);
  });

  test('tck-id-operational-behavior-edge-node-termination-host-offline, -reconnect, -timestamp: a session ends with the host', async () => {
    await state('scada', { online: true, timestamp: 10_000 });
    const { output, heard } = await waiting('scada');
    await until('the births', 2);
    const bdSeq = Number(value('', 'bdSeq'));
    // The late death of a former session of the host.
    await state('scada', { online: false, timestamp: 9_999 });
    await waitFor('the STATE', () => heard() === 2);
    output.forecast(forecastOf('a', 1), 1_700_000_000_000);
    await until('data', 3);
    expect(kinds()[2]).toBe('DDATA/a');

    await state('scada', { online: false, timestamp: 10_000 });
    await until('the death', 4);
    expect(kinds()[3]).toBe('NDEATH');
    expect(host.online).toBe(false);
    await waitFor('a new connection, and the retained STATE', () => link.connects === 2 && heard() === 4);
    output.forecast(forecastOf('a', 2), 1_700_000_060_000);
    expect(seen.length).toBe(4);

    await state('scada', { online: true, timestamp: 20_000 });
    await until('births and history', 7);
    expect(kinds().slice(4)).toEqual(['NBIRTH', 'DBIRTH/a', 'DDATA/a']);
    expect(value('', 'bdSeq')).toBe(bdSeq + 1);
    expect(seen[6]?.payload.metrics.every(({ isHistorical }) => isHistorical === true)).toBe(true);
    expect(value('a', 'Forecast/a/next/p50')).toBe(2.4);
    await output.stop();
    await until('the death', 8);
    expect(host.violations).toEqual([]);
  });
}

test('is off by default, and then does nothing', async () => {
  const config = validateConfig({
    node: 'n',
    mqtt: { url: 'mqtt://127.0.0.1:1' },
    streams: [{ match: 'a' }],
  });
  const output = new Sparkplug({
    config: () => config,
    streams: () => [spec('a', 'a')],
    store: new MemoryStore(),
    clock: systemClock,
    log: silentLogger,
    version: '1',
  });
  output.start();
  output.streams([spec('b', 'b')]);
  output.forecast(forecastOf('a', 1), 0);
  expect(output.prepare(config, config)).toBeNull();
  await output.stop();
  expect(output.dropped()).toEqual({});
});

test('its own messages are never read as sensors', () => {
  const config = (enabled: boolean) =>
    validateConfig({
      node: 'n',
      mqtt: { url: 'mqtt://b' },
      streams: [{ match: 'spBv1.0/#', payload: 'sparkplug' }],
      sparkplug: { enabled, group: 'g' },
    });
  const birth = sparkplug([{ name: 'x', time: 1.7e12, type: 10, double: 1 }], 0, 1.7e12);
  const streams = (enabled: boolean, node: string) =>
    createRouter(config(enabled)).message(`spBv1.0/g/NBIRTH/${node}`, birth, 1.7e12).samples.length;
  expect([streams(true, 'n'), streams(true, 'other'), streams(false, 'n')]).toEqual([0, 1, 1]);
});

test('another device never has the same level', () => {
  const names = ['a/b', 'a:b', 'a%3Ab', 'a%b', 'a%25b', 'a/:b', 'a:/b'];
  expect(new Set(names.map(deviceLevel)).size).toBe(names.length);
  for (const name of names) expect(deviceLevel(name)).not.toMatch(/[/+#]/);
});
