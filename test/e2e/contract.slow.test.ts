/**
 * The contract from outside: the built daemon on a real Mosquitto, everything it says held against the shapes of the
 * reference, everything it can be asked asked.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Daemon, ensureBuilt, startDaemon } from '../support/daemon.ts';
import {
  hasMosquitto,
  type Mosquitto,
  type Seen,
  startMosquitto,
  type Watcher,
  watch,
} from '../support/mosquitto.ts';
import { seeded } from '../support/page.ts';
import { sensorsConfig } from '../support/sensors.ts';
import { SHAPES } from '../support/shapes.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const ROOT = 'gatecast/edge';
const MINUTE = 60_000;
const HORIZON_STEPS = 30;

describe.skipIf(!hasMosquitto)('the contract', () => {
  const temp = tempDirs();
  let dir: string;
  let broker: Mosquitto;
  let eyes: Watcher;
  let daemon: Daemon;
  const random = seeded(5);
  let minute = 0;
  const startMs = Math.floor(Date.now() / MINUTE) * MINUTE - 600 * MINUTE;

  const config = (change: Record<string, unknown> = {}) =>
    sensorsConfig(
      { node: 'edge', url: broker.url, dataDir: dir },
      { name: '{place}/value', unit: '°C', horizon: '30m', thresholds: [{ name: 'hot', above: 24 }] },
      { publish: { at: ['5m', '15m'] }, ...change },
    );

  beforeAll(async () => {
    ensureBuilt();
    dir = temp();
    broker = await startMosquitto('allow_anonymous true\nmax_queued_messages 10000');
    // What a former run left, and what somebody retained.
    const before = await watch(broker.url, 'nothing');
    const retain = { qos: 1, retain: true } as const;
    await before.client.publishAsync(`${ROOT}/alert/model`, '{"severity":"error"}', retain);
    await before.client.publishAsync(`${ROOT}/request/backup`, '{"transaction":"retained"}', retain);
    await before.close();
    eyes = await watch(broker.url, '#');
    daemon = await startDaemon(dir, config());
  });
  afterAll(async () => {
    if (daemon?.process.exitCode === null) daemon.process.kill('SIGKILL');
    await eyes?.close();
    await broker?.stop();
  });

  const on = (topic: string): Seen[] => eyes.on(`${ROOT}/${topic}`);
  const json = ({ text }: Seen): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>;
  /** One reading a minute of each place, on the data's own clock. */
  const send = async (places: readonly string[], change: (value: number) => number = (v) => v) => {
    const time = new Date(startMs + minute++ * MINUTE + 1000).toISOString();
    for (const place of places) {
      const value = change(20 + 3 * Math.sin(minute / 10) + random());
      await eyes.client.publishAsync(`sensors/${place}`, JSON.stringify({ value, time }), { qos: 1 });
    }
  };
  const until = async (what: string, places: readonly string[], enough: () => boolean) => {
    await waitFor(what, async () => {
      if (!enough()) await send(places);
      await sleep(15);
      return enough();
    });
  };
  let asked = 0;
  const ask = async (verb: string, more: Record<string, unknown> = {}) => {
    const transaction = `t${asked++}`;
    await eyes.client.publishAsync(`${ROOT}/request/${verb}`, JSON.stringify({ ...more, transaction }), {
      qos: 1,
    });
    const found = await waitFor(`the answer to ${verb}`, () =>
      on(`response/${verb}`).find((seen) => json(seen).transaction === transaction),
    );
    expect(found.retain).toBe(false);
    return SHAPES.response.parse(json(found));
  };
  /** Topics below the node that the broker keeps now. */
  const retained = async (filter: string): Promise<string[]> => {
    const look = await watch(broker.url, filter);
    await look.caughtUp();
    await look.close();
    return look.seen.filter(({ retain }) => retain).map(({ topic }) => topic);
  };

  test('status, health, model', async () => {
    await waitFor('online', () => on('status').some((seen) => json(seen).state === 'online'));
    await waitFor('health', () => on('health').length > 0);
    await waitFor('model', () => on('model/default').length > 0);
    SHAPES.status.parse(json(on('status').at(-1)!));
    expect(SHAPES.health.parse(json(on('health')[0]!)).state).toBe('ok');
    SHAPES.model.parse(json(on('model/default')[0]!));
  });

  test('what a former run left raised is taken back', async () => {
    await waitFor('the empty message', () => on('alert/model').at(-1)?.text === '');
  });

  test('forecasts, plain numbers, scores', async () => {
    await until('forecasts', ['pump', 'tank'], () => on('forecast/pump/value').length > 120);
    const last = SHAPES.forecast.parse(json(on('forecast/pump/value').at(-1)!));
    expect(last).toMatchObject({ stream: 'pump/value', unit: '°C', step_s: 60 });
    for (const quantile of [last.p10, last.p50, last.p90]) expect(quantile).toHaveLength(HORIZON_STEPS);
    for (const [at, p50] of last.p50.entries()) {
      expect(p50).toBeGreaterThanOrEqual(last.p10[at]!);
      expect(p50).toBeLessThanOrEqual(last.p90[at]!);
    }
    expect(last.crossing?.[0]).toMatchObject({ name: 'hot', above: 24 });
    const newest = (topic: string): string => on(topic).at(-1)?.text ?? '{}';
    await waitFor('both leads of the newest forecast', () => {
      const { p50 } = JSON.parse(newest('forecast/pump/value')) as { p50: number[] };
      return (
        Number(newest('forecast/pump/value/at/5m')) === p50[4] &&
        Number(newest('forecast/pump/value/at/15m')) === p50[14]
      );
    });
    await waitFor('scores', () => on('score/pump/value').length > 0);
    const score = SHAPES.score.parse(json(on('score/pump/value').at(-1)!));
    expect(score.by_lead.map(({ h }) => h)).toEqual([1, 2, 4, 8, 16, 30]);
  });

  test('an anomaly', async () => {
    await send(['pump', 'tank'], (value) => value + 60);
    const found = () => on('anomaly/tank/value').filter((seen) => Number(json(seen).observed) > 70);
    await until('the anomaly', ['pump', 'tank'], () => found().length > 0);
    const anomaly = SHAPES.anomaly.parse(json(found()[0]!));
    expect(anomaly.observed).toBeGreaterThan(anomaly.high);
    expect(found()[0]?.retain).toBe(false);
  });

  test('Home Assistant: devices, again when it comes back', async () => {
    const devices = () => eyes.seen.filter(({ topic }) => topic.startsWith('homeassistant/device/'));
    await waitFor('three devices', () => new Set(devices().map(({ topic }) => topic)).size === 3);
    for (const device of devices()) {
      const { cmps, availability } = SHAPES.device.parse(json(device));
      expect(availability[0]?.topic).toBe(`${ROOT}/status`);
      for (const component of Object.values(cmps)) {
        expect(component.unique_id).toBeTruthy();
        expect(String(component.state_topic ?? component.command_topic)).toMatch(
          new RegExp(`^${ROOT}/(health|alerts|model/|request/|summary/|forecast/)`),
        );
      }
    }
    const before = devices().length;
    await eyes.client.publishAsync('homeassistant/status', 'online', { qos: 1 });
    await waitFor('all of them again', () => devices().length >= before + 3);
  });

  test('backup: one file that an agent can go on from', async () => {
    const { status, data } = await ask('backup');
    expect(status).toBe('ok');
    const file = join(dir, String(data?.file));
    expect(existsSync(file)).toBe(true);
    const db = new Sqlite(file, { readonly: true });
    expect(db.pragma('integrity_check', { simple: true })).toBe('ok');
    expect(db.prepare('SELECT count(*) FROM sample').pluck().get()).toBeGreaterThan(200);
    expect(db.prepare('SELECT name FROM sqlar').pluck().all()).toContain('config/gatecast.json');
    db.close();
    expect(on('response/backup').some((seen) => json(seen).transaction === 'retained')).toBe(false);
  });

  test('finetune and rollback-model are answered; hostile requests too', async () => {
    const tune = await ask('finetune');
    expect(tune.status === 'ok' || tune.error?.startsWith('NOT_ENOUGH_DATA: ')).toBe(true);
    expect((await ask('rollback-model')).error).toMatch(/^(MODEL_UNKNOWN|BUSY): /);
    expect((await ask('forget-stream', { stream: 'nobody' })).error).toMatch(/^STREAM_UNKNOWN: /);
    expect((await ask('forget-stream')).error).toMatch(/^REQUEST_INVALID: /);
    expect((await ask('explode')).error).toMatch(/^REQUEST_INVALID: /);
    for (const payload of ['{', '[]', 'x'.repeat(100_000), '\u0000'])
      await eyes.client.publishAsync(`${ROOT}/request/forget-stream`, payload, { qos: 1 });
    await waitFor('refusals', () => on('response/forget-stream').length >= 6);
    for (const seen of on('response/forget-stream')) SHAPES.response.parse(json(seen));
  });

  test('reset-stream forgets what was learnt, and the stream goes on', async () => {
    const before = Number(json(on('forecast/tank/value').at(-1)!).seq);
    expect(await ask('reset-stream', { stream: 'tank/value' })).toMatchObject({ status: 'ok' });
    await waitFor('no score', () => on('score/tank/value').at(-1)?.text === '');
    const seq = () => Number(json(on('forecast/tank/value').at(-1)!).seq);
    await until('a young forecast', ['pump', 'tank'], () => seq() < before);
  });

  test('reload takes up what needs no restart, and says what does', async () => {
    const rule = config().streams[0]!;
    const next = config({
      max_streams: 50,
      publish: { at: ['5m'], quantiles: [0.1, 0.2, 0.5, 0.9] },
      streams: [{ ...rule, thresholds: [{ name: 'cold', below: 0 }] }],
    });
    writeFileSync(join(dir, 'gatecast.json'), JSON.stringify(next));
    const { status, data } = await ask('reload');
    expect(status).toBe('ok');
    expect(data?.restart).toEqual(['max_streams']);
    expect(String(data?.hot)).toContain('streams[0].thresholds[0]');
    const seq = Number(json(on('forecast/pump/value').at(-1)!).seq);
    const last = () => json(on('forecast/pump/value').at(-1)!);
    await until('the new settings', ['pump', 'tank'], () => 'p20' in last());
    expect(last().crossing).toMatchObject([{ name: 'cold', below: 0 }]);
    // Its state went on.
    expect(Number(last().seq)).toBeGreaterThan(seq);

    writeFileSync(join(dir, 'gatecast.json'), '{"node":');
    expect((await ask('reload')).error).toMatch(/^CONFIG_INVALID: /);
    writeFileSync(join(dir, 'gatecast.json'), JSON.stringify(next));
    expect((await ask('reload')).data).toMatchObject({ hot: [], restart: ['max_streams'] });
  });

  test('forget-stream leaves nothing of it with the broker; what sends again is a new stream', async () => {
    expect(await retained(`${ROOT}/+/tank/#`)).not.toEqual([]);
    const devices = await retained('homeassistant/device/+/config');
    expect(await ask('forget-stream', { stream: 'tank/value' })).toMatchObject({ status: 'ok' });
    await waitFor('empty messages', () => on('forecast/tank/value').at(-1)?.text === '');
    // Also the lead that was published before the reload.
    await waitFor('nothing that is kept', async () => (await retained(`${ROOT}/+/tank/#`)).length === 0);
    await waitFor(
      'one device fewer',
      async () => (await retained('homeassistant/device/+/config')).length === devices.length - 1,
    );
    const count = on('forecast/tank/value').length;
    await until('a new stream', ['pump', 'tank'], () => on('forecast/tank/value').length > count + 2);
    expect(Number(json(on('forecast/tank/value')[count]!).seq)).toBeLessThan(20);
  });

  test('a refused subscription or a silent stream is an alert with a text', async () => {
    // The readings are hours old, and the longest gap is two hours.
    await waitFor('the alert', () => on('alert/stale').length > 0);
    expect(SHAPES.alert.parse(json(on('alert/stale').at(-1)!)).severity).toBe('warning');
  });

  test('every topic was one of the contract, and the last word is offline', async () => {
    expect(await daemon.end('SIGTERM')).toBe(0);
    await waitFor('offline', () => on('status').some((seen) => json(seen).state === 'offline'));
    const known =
      /^gatecast\/edge\/(status|health|alerts|forecast\/.+|summary\/.+|score\/.+|anomaly\/.+|alert\/[^/]+|model\/[^/]+|request\/[^/]+|response\/[^/]+)$/;
    const others = eyes.seen.filter(
      ({ topic }) => !known.test(topic) && !/^(sensors|homeassistant|watcher)\//.test(topic),
    );
    expect(others).toEqual([]);
    expect(daemon.output()).not.toContain('stop failed');
  });
});
