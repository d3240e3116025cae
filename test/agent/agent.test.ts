/** The composition root in this process, with a real broker and a real store; tests mostly wait, so they run side by side. */
import { describe, expect, test } from 'vitest';
import { type Logger, silentLogger } from '../../src/log.ts';
import { ASSIGNED_TIME } from '../../src/series/quality.ts';
import { SqliteStore } from '../../src/store/sqlite-store.ts';
import { type Clock, systemClock } from '../../src/system/clock.ts';
import { keepAll } from '../fault/store-numbered.ts';
import { agentConfig, agentsOfFile, json, speak } from '../support/agents.ts';
import { hasMosquitto, type Watcher, watch } from '../support/mosquitto.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const temp = tempDirs();
const { cleanups, setUp, start, stop } = agentsOfFile();

describe.skipIf(!hasMosquitto).concurrent('the agent', () => {
  test('publishes status, health and forecasts on the broker and on the page, and offline at the end', async () => {
    const { broker, eyes } = await setUp();
    const agent = await start(agentConfig(broker.url, temp()));
    await waitFor('online', () => eyes.on('gatecast/test/status').length > 0);
    expect(json(eyes, 'gatecast/test/status')[0]).toMatchObject({ state: 'online', version: '1.2.3' });
    await waitFor('health', () => eyes.on('gatecast/test/health').length > 0);
    expect(json(eyes, 'gatecast/test/health')[0]).toMatchObject({ state: 'ok', streams: 0, dropped: {} });
    // On a busy machine the readings come late now and then: any bucket that had one will do.
    const good = () =>
      json(eyes, 'gatecast/test/forecast/tank').find(
        ({ model, input }) =>
          (model as { kind: string }).kind !== 'naive' && (input as { quality: string }).quality === 'good',
      );
    await speak(eyes, () => good() !== undefined);
    expect(good()).toMatchObject({ v: 1, stream: 'tank', step_s: 0.1 });
    expect(good()?.p50).toHaveLength(20);

    const page = (path: string) => fetch(agent.pageUrl + path).then((response) => response.json());
    expect(await page('/api/streams')).toMatchObject({ streams: [{ stream: 'tank' }] });
    expect(await page('/api/status')).toMatchObject({
      broker: { connected: true, protocol: 'MQTT 5' },
      health: { state: 'ok', streams: 1 },
    });

    await stop(agent);
    await waitFor('offline', () => json(eyes, 'gatecast/test/status').at(-1)?.state === 'offline');
  });

  test('after 2037 readings are accepted, stored over a restart, and forecast', async () => {
    const { broker, eyes } = await setUp();
    const dir = temp();
    const aheadMs = Date.UTC(2041, 0, 1) - Date.now();
    const clock: Clock = { ...systemClock, now: () => Date.now() + aheadMs };
    const forecasts = () => json(eyes, 'gatecast/test/forecast/tank');
    for (const run of [1, 2]) {
      const before = forecasts().length;
      const agent = await start(agentConfig(broker.url, dir), { clock });
      await speak(eyes, () => forecasts().length > before + 10);
      expect(forecasts().at(-1)?.origin, `run ${run}`).toMatch(/^2041-/);
      const status = await fetch(`${agent.pageUrl}/api/status`).then((response) => response.json());
      expect(status).toMatchObject({ health: { state: 'ok', dropped: {} } });
      await stop(agent);
    }
    expect(Number(forecasts().at(-1)?.seq)).toBeGreaterThan(20);
  });

  test('a table of known future values comes from a topic, which is then not read as a sensor', async () => {
    const { broker, eyes } = await setUp();
    const said: string[] = [];
    const log: Logger = {
      ...silentLogger,
      debug: (event: string) => said.push(event),
      warn: (event: string) => said.push(event),
      with: () => log,
    };
    const rule = { match: '+/{place}', payload: 'number', interval: '100ms', horizon: '2s', name: '{place}' };
    const covariates = [{ topic: 'known/tariff' }];
    await eyes.client.publishAsync('known/tariff', '[{"time":1,"value":2}]', { qos: 1, retain: true });
    await start(agentConfig(broker.url, temp(), { streams: [{ ...rule, covariates }] }), { log });
    await waitFor('the table', () => said.includes('known ahead'));
    await eyes.client.publishAsync('known/tariff', '17', { qos: 1 });
    await waitFor('a complaint', () => said.includes('covariate unusable'));
    await speak(eyes, () => json(eyes, 'gatecast/test/forecast/tank').length > 3);
    expect(eyes.on('gatecast/test/forecast/tariff')).toEqual([]);
  });

  test('a known stream is restored at the next start before it sends, and its sequence numbers continue', async () => {
    const { broker, eyes } = await setUp();
    const dir = temp();
    const first = await start(agentConfig(broker.url, dir));
    const forecasts = () => json(eyes, 'gatecast/test/forecast/tank');
    // Forecasts of intervals with a reading: a busy machine leaves others without.
    const good = () => forecasts().filter(({ input }) => (input as { quality: string }).quality === 'good');
    await speak(eyes, () => good().length >= 10);
    await stop(first);
    const seq = Number(forecasts().at(-1)?.seq);
    const seen = forecasts().length;
    const second = await start(agentConfig(broker.url, dir));
    const { streams } = (await (await fetch(`${second.pageUrl}/api/streams`)).json()) as {
      streams: { stream: string }[];
    };
    expect(streams.map(({ stream }) => stream)).toEqual(['tank']);
    await waitFor('a forecast of the silent stream', () => forecasts().length > seen);
    expect(Number(forecasts().at(-1)?.seq)).toBeGreaterThan(seq);
    const chart = (await (await fetch(`${second.pageUrl}/api/streams/tank`)).json()) as {
      points: unknown[][];
    };
    // The buckets from before the stop are on the chart too.
    expect(chart.points.filter(([, observed]) => observed !== null).length).toBeGreaterThanOrEqual(8);
  });

  test('readings without time stamps that waited at the broker over a restart get times before it', async () => {
    const { broker, eyes } = await setUp();
    const dir = temp();
    const former = await start(agentConfig(broker.url, dir));
    const forecasts = () => eyes.on('gatecast/test/forecast/tank').length;
    await speak(eyes, () => forecasts() > 10);
    await stop(former);
    const values = Array.from({ length: 20 }, (_, i) => 20 + i / 16);
    for (const value of values) {
      await sleep(50);
      await eyes.client.publishAsync('sensors/tank', String(value), { qos: 1 });
    }
    const restartMs = Date.now();
    const agent = await start(agentConfig(broker.url, dir));
    const stored = () =>
      [...agent.context.store.samples('tank', 0)].filter(({ value }) => values.includes(value));
    await waitFor('all of them', () => stored().length === values.length);
    expect(stored().map(({ value }) => value)).toEqual(values);
    expect(stored()[0]?.timeMs).toBeLessThan(restartMs);
    expect((stored()[0]?.mark ?? 0) & ASSIGNED_TIME).toBe(ASSIGNED_TIME);
    await stop(agent);
  });

  test('without a usable model it serves naive forecasts and says that it is degraded', async () => {
    const { broker, eyes } = await setUp();
    await start(agentConfig(broker.url, temp(), { model: { name: 'no-such-model' } }));
    const forecasts = () => json(eyes, 'gatecast/test/forecast/tank');
    await speak(eyes, () => forecasts().length >= 8);
    for (const { model } of forecasts()) expect((model as { kind: string }).kind).not.toBe('gru');
    const health = json(eyes, 'gatecast/test/health')[0]!;
    expect(health.state).toBe('degraded');
    expect(String(health.degraded)).toContain('no-such-model');
    await waitFor('the alert', () => eyes.on('gatecast/test/alert/model').length > 0);
    expect(json(eyes, 'gatecast/test/alert/model')[0]).toMatchObject({ severity: 'error' });
  });

  test('unreadable messages are counted by reason, and nothing stops', async () => {
    const { broker, eyes } = await setUp();
    const agent = await start(agentConfig(broker.url, temp()));
    await waitFor('online', () => eyes.on('gatecast/test/status').length > 0);
    for (const payload of ['NaN', '1e400', '', 'text', '{"a":1}'])
      await eyes.client.publishAsync('sensors/tank', payload, { qos: 1 });
    await eyes.client.publishAsync('sensors/tank', Buffer.alloc(5_000_000, '1'), { qos: 1 });
    await speak(eyes, () => json(eyes, 'gatecast/test/forecast/tank').length >= 3);
    const { health } = (await (await fetch(`${agent.pageUrl}/api/status`)).json()) as {
      health: { dropped: Record<string, number> };
    };
    expect(health.dropped).toMatchObject({ empty: 1, oversize: 1 });
    const total = Object.values(health.dropped).reduce((sum, n) => sum + n, 0);
    expect(total).toBeGreaterThanOrEqual(6);
  });

  test('starts without a broker, and forecasts reach one that comes later', async () => {
    const { broker, eyes } = await setUp();
    await eyes.close();
    broker.signal('SIGKILL');
    await sleep(100);
    const agent = await start(
      agentConfig(broker.url, temp(), { mqtt: { url: broker.url, qos: 1, max_backoff: '1s' } }),
    );
    const status = async () =>
      (await (await fetch(`${agent.pageUrl}/api/status`)).json()) as { health: { degraded: string[] } };
    await waitFor('the fault', async () =>
      (await status()).health.degraded.some((text) => text.startsWith('no broker')),
    );
    await broker.restart();
    const again = await watch(broker.url, 'gatecast/#');
    cleanups.push(() => again.close());
    await waitFor('online', () =>
      json(again, 'gatecast/test/status').some(({ state }) => state === 'online'),
    );
    await speak(again, () => json(again, 'gatecast/test/forecast/tank').length >= 3);
    await expect.poll(async () => (await status()).health.degraded).toEqual([]);
  });

  test('while the broker is away forecasts continue, and they are published when it returns', async () => {
    const { broker, eyes } = await setUp();
    await start(agentConfig(broker.url, temp(), { mqtt: { url: broker.url, qos: 1, max_backoff: '1s' } }));
    const seqs = (watcher: Watcher) =>
      json(watcher, 'gatecast/test/forecast/tank').map(({ seq }) => Number(seq));
    await speak(eyes, () => seqs(eyes).length >= 20);
    const before = seqs(eyes).at(-1)!;
    await eyes.close();
    broker.signal('SIGKILL');
    const killedMs = Date.now();
    await sleep(1500);
    await broker.restart();
    const again = await watch(broker.url, 'gatecast/#');
    cleanups.push(() => again.close());
    await waitFor('online again', () => json(again, 'gatecast/test/status').at(-1)?.state === 'online');
    // What was under way when the broker was killed is sent again first.
    const later = () =>
      json(again, 'gatecast/test/forecast/tank').find(
        ({ issued }) => Date.parse(String(issued)) >= killedMs + 1000,
      );
    await waitFor('a forecast', later);
    expect(Number(later()?.seq)).toBeGreaterThan(before + 8);
  });

  test('retained messages of devices that are gone take no place, are not announced, and keep no live sensor out', async () => {
    const { broker, eyes } = await setUp();
    const found = await watch(broker.url, 'homeassistant/#');
    cleanups.push(() => found.close());
    const send = (place: string, value: number, timeMs: number, retain: boolean) =>
      eyes.client.publishAsync(`sensors/${place}`, JSON.stringify({ t: value, at: timeMs }), {
        qos: 1,
        retain,
      });
    for (let i = 0; i < 8; i++) await send(`gone${i}`, 99, Date.now() - 60_000, true);
    const keptMs = Date.now() - 1000;
    await send('tank', 9, keptMs, true);
    const dir = temp();
    const agent = await start(
      agentConfig(broker.url, dir, {
        max_streams: 3,
        streams: [
          {
            match: 'sensors/{place}',
            name: '{place}',
            fields: ['t'],
            time: 'at',
            interval: '100ms',
            horizon: '2s',
          },
        ],
      }),
    );
    const metrics = () => fetch(`${agent.pageUrl}/metrics`).then((response) => response.text());
    await waitFor('the retained messages', async () => /only-retained"\} 9\n/.test(await metrics()));
    const forecasts = (place: string) => eyes.on(`gatecast/test/forecast/${place}`).length;
    const speakAs = async (places: readonly string[]) => {
      let i = 0;
      await waitFor(`forecasts of ${places.join()}`, async () => {
        if (places.every((place) => forecasts(place) > 0)) return true;
        i++;
        for (const place of places) await send(place, 10 + (i % 7), Date.now(), false);
        await sleep(50);
        return false;
      });
    };
    const announced = () => found.seen.map(({ topic, text }) => topic + text).join();
    await speakAs(['live-a', 'live-b']);
    await waitFor('their entities', () => /live-a/.test(announced()) && /live-b/.test(announced()));
    expect(announced()).not.toMatch(/gone|tank/);
    // A live reading takes the stream up, and the retained one with it.
    await speakAs(['tank']);
    await waitFor('its entities', () => /tank/.test(announced()));
    expect(announced()).not.toMatch(/gone/);
    expect(eyes.seen.filter(({ topic }) => /forecast.*gone/.test(topic))).toEqual([]);
    const { streams } = (await (await fetch(`${agent.pageUrl}/api/streams`)).json()) as {
      streams: unknown[];
    };
    expect(streams).toHaveLength(3);
    await stop(agent);
    const store = SqliteStore.open(
      keepAll(dir, ({ message }) => {
        throw new Error(message);
      }),
    );
    expect([...store.samples('tank', 0)][0]).toMatchObject({ timeMs: keptMs, value: 9 });
    store.close();
  });

  test('a reload that drops a stream clears its retained forecasts and leads at the broker', async () => {
    const { broker, eyes } = await setUp();
    const dir = temp();
    const rule = { match: 'sensors/{place}', payload: 'number', interval: '100ms', horizon: '2s' };
    const first = agentConfig(broker.url, dir, {
      publish: { at: ['1s'] },
      streams: [{ ...rule, name: '{place}' }],
    });
    const next = agentConfig(broker.url, dir, { streams: [{ ...rule, name: 'other/{place}' }] });
    await start(first, { configFile: { path: 'gatecast.yaml', read: () => next } });
    const at = 'gatecast/test/forecast/tank/at/1s';
    await speak(eyes, () => eyes.on(at).length > 0);
    await eyes.client.publishAsync('gatecast/test/request/reload', '', { qos: 1 });
    await waitFor('the answer', () => eyes.on('gatecast/test/response/reload').length > 0);
    await waitFor('an empty message', () => eyes.on('gatecast/test/forecast/tank').at(-1)?.text === '');
    await speak(eyes, () => eyes.on('gatecast/test/forecast/other/tank').length > 0);
    expect(eyes.on(at).at(-1)?.text).toBe('');
  });

  test('a data directory that does not know the session at the broker does not resume that session', async () => {
    const { broker, eyes } = await setUp();
    const rule = { payload: 'number', interval: '100ms', horizon: '2s' };
    const everything = [{ ...rule, match: '#', name: 'all/{topic}' }];
    const first = await start(agentConfig(broker.url, temp(), { streams: everything }));
    await waitFor('online', () => eyes.on('gatecast/test/status').length > 0);
    await stop(first);
    // Wants its requests and one topic; what the former one subscribed to would bring the requests a second time.
    const second = await start(agentConfig(broker.url, temp()));
    await waitFor('online again', () =>
      json(eyes, 'gatecast/test/status').some(({ session }, _i, all) => session !== all[0]?.session),
    );
    await eyes.client.publishAsync('elsewhere/tank', '1', { qos: 1 });
    await eyes.client.publishAsync('gatecast/test/request/no-such-verb', '{}', { qos: 1 });
    await speak(eyes, () => eyes.on('gatecast/test/forecast/tank').length > 0);
    await waitFor('the answer', () => eyes.on('gatecast/test/response/no-such-verb').length > 0);
    expect(eyes.on('gatecast/test/response/no-such-verb')).toHaveLength(1);
    const { health } = (await (await fetch(`${second.pageUrl}/api/status`)).json()) as {
      health: { dropped: Record<string, number> };
    };
    expect(health.dropped).toEqual({});
  });

  test('a second agent on the same data directory is refused, the first is not harmed', async () => {
    const { broker, eyes } = await setUp();
    const dir = temp();
    await start(agentConfig(broker.url, dir));
    await expect(start(agentConfig(broker.url, dir, { node: 'other' }))).rejects.toMatchObject({
      code: 'LOCKED',
    });
    await speak(eyes, () => json(eyes, 'gatecast/test/forecast/tank').length >= 3);
  });

  test('a start that fails half-way releases its resources', async () => {
    const { broker } = await setUp();
    const dir = temp();
    const taken = await start(agentConfig(broker.url, temp(), { node: 'other' }));
    const port = new URL(taken.pageUrl!).port;
    const config = agentConfig(broker.url, dir, { http: { listen: `127.0.0.1:${port}` } });
    await expect(start(config)).rejects.toMatchObject({ code: 'LISTEN_FAILED' });
    await start(agentConfig(broker.url, dir));
  });
});
