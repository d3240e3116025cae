/** The page of a running agent: what its parts show, and actions that reach them. */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { Agent } from '../../src/agent/contract.ts';
import { Page, type PageSources } from '../../src/agent/page.ts';
import type { Context } from '../../src/agent/part.ts';
import { startAgent } from '../../src/agent.ts';
import { validateConfig } from '../../src/config/index.ts';
import { silentLogger } from '../../src/log.ts';
import { systemClock } from '../../src/system/clock.ts';
import { Board } from '../../src/web/board.ts';
import { loadPast } from '../../src/web/past-file.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { fakeForecast } from '../support/forecasts.ts';
import { tempDirs } from '../support/temp.ts';

const temp = tempDirs();
const running: Agent[] = [];
afterEach(async () => {
  for (const agent of running.splice(0)) await agent.stop();
});

const TOKEN = 'a-token-of-some-length';

function tokenFile(text = `${TOKEN}\n`, mode = 0o600): string {
  const path = join(temp(), 'token');
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

/** No broker listens there. */
async function start(http: object, document: Record<string, unknown> = {}): Promise<string> {
  const stated = {
    node: 'test',
    mqtt: { url: 'mqtt://127.0.0.1:1' },
    data_dir: temp(),
    streams: [{ id: 'sensors', match: 'sensors/{place}', payload: 'number', interval: '1s', horizon: '10s' }],
    http: { listen: '127.0.0.1:0', ...http },
    ...document,
  };
  const agent = await startAgent({
    config: validateConfig(stated),
    document: () => stated,
    version: '1.2.3',
    clock: systemClock,
    log: silentLogger,
  });
  running.push(agent);
  if (agent.pageUrl === null) throw new Error('there is no page');
  return agent.pageUrl;
}

const get = async (url: string, path: string) =>
  (await (await fetch(url + path)).json()) as Readonly<Record<string, unknown>>;

test('shows the config with the origin of each key, and no secret', async () => {
  const url = await start(
    { token_file: tokenFile() },
    { mqtt: { url: 'mqtt://127.0.0.1:1', username: 'ada', password_file: '/nowhere' }, lateness: '3s' },
  );
  const { keys, notice, version } = (await get(url, '/api/config')) as {
    keys: { path: string; value: unknown; origin: string }[];
    notice: string | null;
    version: number | null;
  };
  const of = (path: string) => keys.find((key) => key.path === path);
  expect(of('lateness')).toEqual({ path: 'lateness', value: '3s', origin: 'file' });
  expect(of('streams.sensors.horizon')).toEqual({
    path: 'streams.sensors.horizon',
    value: '10s',
    origin: 'file',
  });
  expect(of('store.retention')).toEqual({ path: 'store.retention', value: '60d', origin: 'default' });
  expect(of('mqtt.password_file')?.value).toBe('/nowhere');
  expect([notice, version]).toEqual([null, null]);
  expect(JSON.stringify(keys)).not.toContain(TOKEN);
});

test('shows the model, the alerts and why forecasts wait', async () => {
  const url = await start({});
  const model = (await get(url, '/api/model')) as {
    champion: string;
    runs: unknown[];
    models: { name: string }[];
  };
  expect(model).toMatchObject({ champion: 'base', previous: null, runs: [], schedule: '17 3 * * *' });
  expect(model.models.map(({ name }) => name)).toContain('base');
  expect(await get(url, '/api/alerts')).toEqual({ alerts: [] });
  const { waiting } = (await get(url, '/api/status')) as { waiting: { reason: string; untilMs: number } };
  expect(['start', 'away']).toContain(waiting.reason);
  expect(waiting.untilMs - Date.now()).toBeLessThan(15 * 60_000);
});

test('an action of the page is queued with the requests of the broker and reaches the part that does it', async () => {
  const url = await start({ token_file: tokenFile() });
  const act = async (verb: string, body: object = {}, token = TOKEN) => {
    const response = await fetch(`${url}/api/actions/${verb}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
      body: JSON.stringify(body),
    });
    return { code: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  expect((await act('backup', {}, 'another-token-altogether')).code).toBe(401);
  expect((await act('backup')).body).toMatchObject({ file: expect.stringMatching(/^backups\//) });
  expect(await act('finetune')).toMatchObject({ code: 409, body: { error: { code: 'NOT_ENOUGH_DATA' } } });
  expect(await act('forget-stream', { stream: 'nobody' })).toMatchObject({
    code: 409,
    body: { error: { code: 'STREAM_UNKNOWN' } },
  });
  expect(await act('rollback-model')).toMatchObject({
    code: 409,
    body: { error: { code: 'MODEL_UNKNOWN' } },
  });
});

test.each([
  ['readable by others', () => tokenFile(undefined, 0o644), /may be read by other users/],
  ['too short', () => tokenFile('short\n'), /fewer than 16 characters/],
  ['missing', () => '/nowhere/token', /cannot be read/],
])('a token file that is %s ends the start, and the key is named', async (_, path, why) => {
  await expect(start({ token_file: path() })).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    issues: [{ path: 'http.token_file', message: expect.stringMatching(why) }],
  });
});

test.each([
  [{ frame_ancestors: ["http://a.example; script-src 'unsafe-inline'"] }, 'http.frame_ancestors[0]'],
  [{ frame_ancestors: ['http://a.example/path'] }, 'http.frame_ancestors[0]'],
  [{ frame_ancestors: ['*'] }, 'http.frame_ancestors[0]'],
  [{ user_header: 'X Remote' }, 'http.user_header'],
  [{ trusted_proxies: ['proxy.lan'] }, 'http.trusted_proxies[0]'],
])('%j is refused', (http, path) => {
  const config = { node: 'a', mqtt: { url: 'mqtt://a' }, streams: [{ match: 'a', payload: 'number' }], http };
  expect(() => validateConfig(config)).toThrow(
    expect.objectContaining({ issues: [expect.objectContaining({ path })] }),
  );
});

test('past forecasts are written every hour, so that a killed process loses at most those of the last hour', async () => {
  const HOUR = 3_600_000;
  const config = validateConfig({
    node: 'test',
    mqtt: { url: 'mqtt://127.0.0.1:1' },
    data_dir: temp(),
    streams: [{ match: 'a' }],
    http: { listen: '127.0.0.1:0' },
  });
  const clock = new FakeClock(0);
  const board = new Board();
  const page = new Page({ streams: { board }, requests: { verbs: [] } } as unknown as PageSources);
  await page.start({ config: () => config, clock, log: silentLogger } as unknown as Context);
  try {
    for (let minute = 0; minute < 60; minute++) {
      clock.advance(60_000);
      board.record(fakeForecast({ stream: 'tank', originMs: minute * 60_000, stepMs: 60_000 }), clock.now());
    }
    // No call of stop(), as after a kill -9.
    const after = new Board();
    after.announce('tank', null);
    loadPast(join(config.data_dir, 'past-forecasts.gz'), after, silentLogger);
    expect(after.get('tank')?.past?.at(1, HOUR).length).toBeGreaterThan(55);
  } finally {
    await page.stop();
  }
});
