/** Who may read and act, over real sockets. */
import { request as httpRequest } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import { GatecastError } from '../../src/errors.ts';
import type { PageServer } from '../../src/web/server.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { fakeForecast } from '../support/forecasts.ts';
import { openAccess, startPage } from '../support/page.ts';

const TOKEN = 'correct-horse-battery';
const started: PageServer[] = [];
afterEach(async () => {
  for (const page of started.splice(0)) await page.stop();
});

interface Answer {
  readonly code: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Without `fetch`, which would not let a test choose `Origin` or `Host`. */
const ask = (
  url: string,
  path: string,
  headers: Record<string, string> = {},
  data?: unknown,
  localAddress?: string,
) =>
  new Promise<Answer>((resolve, reject) => {
    const call = httpRequest(
      url + path,
      {
        method: data === undefined ? 'GET' : 'POST',
        headers: { ...(data === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
        agent: false,
        localAddress,
      },
      (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => {
          const isJson = String(response.headers['content-type']).includes('json');
          resolve({
            code: response.statusCode ?? 0,
            headers: response.headers,
            body: isJson ? JSON.parse(text) : { text },
          });
        });
      },
    );
    call.on('error', reject);
    call.end(typeof data === 'string' ? data : data === undefined ? undefined : JSON.stringify(data));
  });

async function start(access: Parameters<typeof openAccess>[0] = {}) {
  const acted: unknown[] = [];
  const found = await startPage({
    access: openAccess(access),
    actions: ['finetune', 'reset-stream'],
    act: async (verb, asked, user) => {
      acted.push([verb, asked, user]);
      if (verb === 'reset-stream')
        throw new GatecastError('STREAM_UNKNOWN', 'There is no stream "x".', { hint: 'Look at the list.' });
      return { status: 'started' };
    },
  });
  started.push(found.page);
  found.board.record(fakeForecast({ stream: 'a' }), 1);
  return { ...found, acted };
}
const logIn = async (url: string, token = TOKEN, from?: string) => {
  const { code, headers } = await ask(url, '/api/login', {}, { token }, from);
  return { code, cookie: String(headers['set-cookie'] ?? '').split(';')[0] ?? '' };
};

describe('without a login configured', () => {
  test('everyone may read, and nobody may act', async () => {
    const { url, acted } = await start();
    expect((await ask(url, '/api/streams')).code).toBe(200);
    expect((await ask(url, '/api/session')).body).toMatchObject({ user: null, login: null, mayRead: true });
    const refused = await ask(url, '/api/actions/finetune', {}, {});
    expect(refused.code).toBe(401);
    expect(refused.body).toMatchObject({
      error: { code: 'LOGIN', message: expect.stringContaining('http.token_file') },
    });
    expect(acted).toEqual([]);
  });
});

describe('with a token', () => {
  test('allows actions after a login, but not before it or after a logout', async () => {
    const { url, acted } = await start({ token: () => TOKEN });
    expect((await ask(url, '/api/actions/finetune', {}, {})).code).toBe(401);
    const { code, cookie } = await logIn(url);
    expect(code).toBe(200);
    expect((await ask(url, '/api/session', { cookie })).body).toMatchObject({
      user: 'token',
      login: 'token',
    });
    const done = await ask(url, '/api/actions/finetune', { cookie }, { group: 'all', stream: 5 });
    expect(done).toMatchObject({ code: 200, body: { status: 'started' } });
    expect(acted).toEqual([['finetune', { stream: null, group: 'all' }, 'token']]);
    await ask(url, '/api/logout', { cookie }, {});
    expect((await ask(url, '/api/actions/finetune', { cookie }, {})).code).toBe(401);
  });

  test('the cookie is limited to this site and hidden from scripts', async () => {
    const { url } = await start({ token: () => TOKEN });
    const { headers } = await ask(url, '/api/login', { 'x-forwarded-proto': 'https' }, { token: TOKEN });
    expect(String(headers['set-cookie'])).toMatch(
      /; HttpOnly; SameSite=Strict; Path=\/; Max-Age=43200; Secure$/,
    );
  });

  test('a program sends the token itself', async () => {
    const { url } = await start({ token: () => TOKEN });
    const act = (token: string) =>
      ask(url, '/api/actions/finetune', { authorization: `Bearer ${token}` }, {});
    expect((await act(TOKEN)).code).toBe(200);
    expect((await act(`${TOKEN}x`)).code).toBe(401);
  });

  test('after ten wrong tokens of a client within a minute further ones are too many; a right token is always accepted', async () => {
    const clock = new FakeClock(0);
    const { url } = await start({ token: () => TOKEN, clock, trustedProxies: ['127.0.0.1'] });
    const from = async (client: string, token: string) =>
      (await ask(url, '/api/login', { 'x-forwarded-for': client }, { token })).code;
    const wrong = async (client: (i: number) => string) => {
      const codes: number[] = [];
      for (let i = 0; i < 11; i++) codes.push(await from(client(i), `wrong ${i}`));
      return [...new Set(codes.slice(0, 10)), codes[10]];
    };
    expect(await wrong(() => '192.0.2.9, 192.0.2.1')).toEqual([403, 429]);
    expect(await wrong((i) => `2001:db8:0:7::${i + 1}`)).toEqual([403, 429]);
    expect(await wrong((i) => `192.0.2.3:${i + 1024}`)).toEqual([403, 429]);
    for (const same of [
      '2001:db8:0:7:1:2:3:4',
      '2001:db8::7:1:2:3:4',
      '::ffff:192.0.2.1',
      '192.0.2.1:5678',
      '[2001:db8:0:7::9]:80',
      '[2001:db8:0:7::9]',
      '[::ffff:192.0.2.1]:80',
    ])
      expect(await from(same, 'wrong'), same).toBe(429);
    for (const other of ['192.0.2.9', '2001:db8:0:8::1', '2001:db8::7:0:0:1', 'unknown'])
      expect(await from(other, 'wrong'), other).toBe(403);
    // A program with a former token on the owner's address: each request counts once.
    const read = (client: string, token: string, data?: unknown) =>
      ask(
        url,
        data === undefined ? '/api/streams' : '/api/actions/finetune',
        { 'x-forwarded-for': client, authorization: `Bearer ${token}` },
        data,
      );
    for (let i = 0; i < 10; i++) expect((await read('192.0.2.4', 'former')).code).toBe(401);
    expect(await read('192.0.2.4', 'former')).toMatchObject({ code: 429, headers: { 'retry-after': '60' } });
    expect((await read('192.0.2.4', 'former', {})).code).toBe(429);
    expect(await from('192.0.2.4', 'wrong')).toBe(429);
    expect((await read('192.0.2.4', TOKEN)).code).toBe(200);
    expect((await read('192.0.2.4', TOKEN, {})).code).toBe(200);
    expect((await read('192.0.2.5', 'former')).code).toBe(401);
    expect(await from('192.0.2.1', TOKEN)).toBe(200);
    expect(await from('192.0.2.1', 'wrong')).toBe(429);
    clock.advance(60_001);
    expect(await from('192.0.2.1', 'wrong')).toBe(403);
    // Only a trusted proxy names clients.
    const direct = async (client: string) =>
      (await ask(url, '/api/login', { 'x-forwarded-for': client }, { token: 'wrong' }, '127.0.0.2')).code;
    for (let i = 0; i < 10; i++) expect(await direct(`192.0.2.${i}`)).toBe(403);
    expect(await direct('192.0.2.20')).toBe(429);
  });

  test('a session ends after twelve hours, and with the token that opened it', async () => {
    const clock = new FakeClock(0);
    let token: string | null = TOKEN;
    const { url } = await start({ token: () => token, clock });
    const { cookie } = await logIn(url);
    const user = async () => (await ask(url, '/api/session', { cookie })).body.user;
    expect(await user()).toBe('token');
    token = 'another-token-by-now';
    expect(await user()).toBeNull();
    token = TOKEN;
    expect(await user()).toBe('token');
    clock.advance(12 * 3_600_000 + 1);
    expect(await user()).toBeNull();
  });

  test("another site cannot act with a user's cookie", async () => {
    const { url, acted } = await start({ token: () => TOKEN });
    const { cookie } = await logIn(url);
    for (const headers of [
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { origin: `${url}0` },
      { 'sec-fetch-site': 'cross-site' },
    ] as Record<string, string>[])
      expect((await ask(url, '/api/actions/finetune', { cookie, ...headers }, {})).code).toBe(403);
    expect(acted).toEqual([]);
    expect((await ask(url, '/api/actions/finetune', { cookie, origin: url }, {})).code).toBe(200);
    const form = await ask(url, '/api/actions/finetune', { cookie, 'content-type': 'text/plain' }, 'a=1');
    expect(form.code).toBe(400);
  });

  test('an invalid body, an unknown action and a failing action are reported with the reason', async () => {
    const { url } = await start({ token: () => TOKEN });
    const { cookie } = await logIn(url);
    for (const body of ['{', '[]', '"x"', 'null', `{"stream":"${'x'.repeat(5000)}"}`])
      expect((await ask(url, '/api/actions/finetune', { cookie }, body)).code, body.slice(0, 20)).toBe(400);
    expect((await ask(url, '/api/actions/nothing', { cookie }, {})).code).toBe(404);
    expect((await ask(url, '/api/actions/__proto__', { cookie }, {})).code).toBe(405);
    const failed = await ask(url, '/api/actions/reset-stream', { cookie }, { stream: 'x' });
    expect(failed).toMatchObject({
      code: 409,
      body: {
        error: { code: 'STREAM_UNKNOWN', message: 'There is no stream "x".', hint: 'Look at the list.' },
      },
    });
  });

  test('reading stays open on this machine, and needs a login through a proxy', async () => {
    const { url } = await start({ token: () => TOKEN });
    const forwarded = { 'x-forwarded-for': '192.0.2.7' };
    for (const path of [
      '/api/streams',
      '/api/streams/a',
      '/api/status',
      '/api/config',
      '/api/events',
      '/metrics',
    ]) {
      expect((await ask(url, path, forwarded)).code, path).toBe(401);
      if (path !== '/api/events') expect((await ask(url, path)).code, path).toBe(200);
    }
    expect((await ask(url, '/', forwarded)).code).toBe(200);
    expect((await ask(url, '/healthz', forwarded)).body).toEqual({ state: 'ok' });
    expect((await ask(url, '/api/session', forwarded)).body).toMatchObject({ mayRead: false });
    const { cookie } = await logIn(url);
    expect((await ask(url, '/api/streams', { ...forwarded, cookie })).code).toBe(200);
  });
});

test('a token file that cannot be read blocks logins', async () => {
  const { url } = await start({ token: () => null });
  expect((await ask(url, '/api/streams', { 'x-forwarded-for': '192.0.2.7' })).code).toBe(401);
  expect((await ask(url, '/api/actions/finetune', {}, {})).code).toBe(401);
  expect((await logIn(url, '')).code).toBe(403);
});

describe('behind a proxy that logs users in', () => {
  const header = { 'x-remote-user': 'ada' };

  test('accepts the header of a trusted proxy', async () => {
    const { url, acted } = await start({ userHeader: 'x-remote-user', trustedProxies: ['127.0.0.1'] });
    expect((await ask(url, '/api/session', header)).body).toMatchObject({ user: 'ada', login: 'proxy' });
    expect((await ask(url, '/api/actions/finetune', header, {})).code).toBe(200);
    expect(acted).toEqual([['finetune', { stream: null, group: null }, 'ada']]);
    expect((await ask(url, '/api/actions/finetune', {}, {})).code).toBe(401);
  });

  test('ignores the header of other addresses', async () => {
    const { url } = await start({ userHeader: 'x-remote-user', trustedProxies: ['192.0.2.1'] });
    expect((await ask(url, '/api/actions/finetune', header, {})).code).toBe(401);
  });
});

test('only configured sites may show the page in a frame', async () => {
  const closed = await start();
  const { headers } = await ask(closed.url, '/');
  expect(headers['content-security-policy']).toContain("frame-ancestors 'none'");
  expect(headers['x-frame-options']).toBe('DENY');
  const origins = ['http://homeassistant.local:8123', 'https://ha.example'];
  const { page, url } = await startPage({ frameAncestors: origins });
  started.push(page);
  const open = (await ask(url, '/')).headers;
  expect(open['content-security-policy']).toContain(`frame-ancestors ${origins.join(' ')}`);
  expect(open['content-security-policy']).not.toContain('unsafe');
  expect(open['x-frame-options']).toBeUndefined();
});
