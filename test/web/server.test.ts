import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect, createServer } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { GatecastError } from '../../src/errors.ts';
import { Board } from '../../src/web/board.ts';
import { hostAllowed } from '../../src/web/headers.ts';
import { renderMetrics } from '../../src/web/metrics.ts';
import type { PageServer } from '../../src/web/server.ts';
import type { PastSpan, ReplayedPast } from '../../src/web/views.ts';
import { fakeForecast } from '../support/forecasts.ts';
import { fakeStatus, fakeViews, startPage } from '../support/page.ts';
import { stopwatch } from '../support/run-delay.ts';
import { waitFor } from '../support/wait.ts';

const started: PageServer[] = [];
const start = async (...args: Parameters<typeof startPage>) => {
  const result = await startPage(...args);
  started.push(result.page);
  return result;
};
afterEach(async () => {
  for (const page of started.splice(0)) await page.stop();
});

/** Without `fetch`, which does not let a test choose `Host`. */
const raw = (url: string, path: string, options: { method?: string; host?: string } = {}) =>
  new Promise<{ code: number; headers: Record<string, unknown>; body: string }>((resolve, reject) => {
    const { port } = new URL(url);
    const call = httpRequest(
      {
        port,
        host: '127.0.0.1',
        path,
        method: options.method ?? 'GET',
        headers: options.host === undefined ? {} : { host: options.host },
        agent: false,
      },
      (response) => {
        let body = '';
        response.on('data', (chunk) => {
          body += chunk;
        });
        response.on('end', () => resolve({ code: response.statusCode!, headers: response.headers, body }));
      },
    );
    call.on('error', reject);
    call.end();
  });

/** Reads server-sent events until `enough` returns true. */
async function events(url: string, enough: (seen: { event: string; data: unknown }[]) => boolean) {
  const abort = new AbortController();
  const response = await fetch(url, { signal: abort.signal });
  const seen: { event: string; data: unknown }[] = [];
  let text = '';
  for await (const chunk of response.body!) {
    text += Buffer.from(chunk).toString();
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const [, event, data] = /event: (.*)\ndata: (.*)/.exec(text.slice(0, end)) ?? [];
      if (event && data) seen.push({ event, data: JSON.parse(data) });
      text = text.slice(end + 2);
    }
    if (enough(seen)) break;
  }
  abort.abort();
  return seen;
}

describe('routes', () => {
  test('the page and its files, with ETag and security headers', async () => {
    const { url } = await start();
    const { body: page } = await raw(url, '/');
    const linked = [...page.matchAll(/(?:(?:href|src)="|import\('\.\/)([^":']+\.(?:css|js))["']/g)].map(
      ([, path]) => `/${path}`,
    );
    expect(linked).toEqual(['/page.js']);
    for (const path of ['/', ...new Set(linked)]) {
      const { code, headers, body } = await raw(url, path);
      expect(code, path).toBe(200);
      expect(body.length).toBeGreaterThan(900);
      expect(headers['content-security-policy']).toContain("default-src 'none'");
      expect(headers['content-security-policy']).not.toContain('unsafe');
      expect(headers['x-content-type-options']).toBe('nosniff');
      const again = await fetch(url + path, { headers: { 'if-none-match': String(headers.etag) } });
      expect(again.status).toBe(304);
    }
  });

  test('streams, one stream (names hold slashes and spaces), status, health', async () => {
    const { url, board } = await start({
      status: () => {
        const status = fakeStatus();
        return { ...status, health: { ...status.health, state: 'degraded', degraded: ['no model'] } };
      },
    });
    board.record(fakeForecast({ stream: 'a b/c', leads: 4 }), 1);
    const list = (await (await fetch(`${url}/api/streams`)).json()) as { streams: { stream: string }[] };
    expect(list.streams.map((s) => s.stream)).toEqual(['a b/c']);
    for (const path of ['/api/streams/a%20b/c', '/api/streams/a%20b%2Fc']) {
      const one = (await (await fetch(url + path)).json()) as { forecast: { p50: number[] } };
      expect(one.forecast.p50).toHaveLength(4);
    }
    expect((await fetch(`${url}/api/streams/none`)).status).toBe(404);
    expect((await fetch(`${url}/api/streams/%E0%A4%A`)).status).toBe(404);
    expect(await (await fetch(`${url}/healthz`)).json()).toEqual({
      state: 'degraded',
      degraded: ['no model'],
    });
    expect((await fetch(`${url}/nothing`)).status).toBe(404);
  });

  test('only GET and HEAD', async () => {
    const { url } = await start();
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS'])
      expect(await raw(url, '/api/streams', { method })).toMatchObject({
        code: 405,
        headers: { allow: 'GET, HEAD' },
      });
    expect(await raw(url, '/', { method: 'HEAD' })).toMatchObject({ code: 200, body: '' });
  });

  test('a host name of another site is refused, for events too', async () => {
    const { url } = await start();
    for (const path of ['/', '/api/streams', '/api/events', '/metrics'])
      expect((await raw(url, path, { host: 'evil.example:8787' })).code).toBe(421);
    expect((await raw(url, '/', { host: 'localhost:1' })).code).toBe(200);
  });

  test('metrics', async () => {
    const { url } = await start({
      metrics: () => [{ name: 'gatecast_samples_total', help: 'x', type: 'counter', values: [{ value: 3 }] }],
    });
    const response = await fetch(`${url}/metrics`);
    expect(response.headers.get('content-type')).toContain('version=0.0.4');
    expect(await response.text()).toContain('\ngatecast_samples_total 3\n');
  });
});

test('connections that send nothing hold their places for seconds only', async () => {
  const { url } = await start();
  const { port } = new URL(url);
  // As many as the page takes.
  const silent = Array.from({ length: 128 }, () => connect(Number(port), '127.0.0.1').on('error', () => {}));
  try {
    // Node's own limit is half a minute or more.
    const closed = Promise.all(silent.map((socket) => once(socket.resume(), 'close'))).then(() => true);
    const watch = stopwatch();
    const late = waitFor('20 s of this process', () => watch.ms() > 20_000).then(() => false);
    expect(await Promise.race([closed, late])).toBe(true);
    watch.stop();
    expect((await raw(url, '/healthz')).code).toBe(200);
  } finally {
    for (const socket of silent) socket.destroy();
  }
});

test('hostAllowed', () => {
  expect(hostAllowed('127.0.0.1', '127.0.0.1:8787')).toBe(true);
  expect(hostAllowed('127.0.0.1', 'LOCALHOST')).toBe(true);
  expect(hostAllowed('::1', '[::1]:8787')).toBe(true);
  expect(hostAllowed('127.0.0.1', undefined)).toBe(false);
  expect(hostAllowed('127.0.0.1', '127.0.0.1.evil.example')).toBe(false);
  expect(hostAllowed('0.0.0.0', 'gateway.lan')).toBe(true);
});

test('metric labels are escaped', () => {
  const text = renderMetrics([
    {
      name: 'gatecast_drops_total',
      help: 'two\nlines',
      type: 'counter',
      values: [{ labels: { reason: 'a"b\\c\nd' }, value: Number.POSITIVE_INFINITY }],
    },
  ]);
  expect(text).toBe(
    '# HELP gatecast_drops_total two\\nlines\n# TYPE gatecast_drops_total counter\ngatecast_drops_total{reason="a\\"b\\\\c\\nd"} +Inf\n',
  );
});

describe('events', () => {
  test('sends the history first, then only new data; the status at once', async () => {
    const { url, board } = await start();
    for (let i = 0; i < 3; i++) board.record(fakeForecast({ stream: 'a', originMs: 1000 * i }), 0);
    const seen = await events(`${url}/api/events?stream=a&stream=unknown`, (all) => {
      const streams = all.filter((e) => e.event === 'stream').length;
      if (streams === 1 && all.some((e) => e.event === 'status'))
        board.record(fakeForecast({ stream: 'a', originMs: 3000 }), 0);
      return streams >= 2;
    });
    const times = seen
      .filter((e) => e.event === 'stream')
      .map((e) => (e.data as { points: number[][] }).points.map((p) => p[0]));
    expect(times[0]).toEqual([0, 1000, 2000]);
    expect(times[1]).toEqual([2000, 3000]);
    expect(seen.some((e) => e.event === 'status')).toBe(true);
  });

  test('when the clock is set back, the page is sent the whole history again', async () => {
    const { url, board } = await start();
    for (const originMs of [1000, 2000, 900_000, 901_000])
      board.record(fakeForecast({ stream: 'a', originMs }), 0);
    const seen = await events(`${url}/api/events?stream=a`, (all) => {
      const streams = all.filter((e) => e.event === 'stream').length;
      if (streams === 1) board.record(fakeForecast({ stream: 'a', originMs: 3000 }), 0);
      return streams >= 2;
    });
    const last = seen.filter((e) => e.event === 'stream').at(-1)!.data as { points: number[][] };
    expect(last.points.map((p) => p[0])).toEqual([1000, 2000, 3000]);
  });

  test('the past of several charts is read in several rounds, so that forecasts are not delayed', async () => {
    let turn = 0;
    const turns = setInterval(() => turn++, 0);
    const readIn: number[] = [];
    const board = new Board(() => {
      readIn.push(turn);
      const until = performance.now() + 60;
      while (performance.now() < until);
      return [];
    });
    const names = ['a', 'b', 'c', 'd'];
    for (const stream of names) board.record(fakeForecast({ stream, originMs: 1000 }), 0);
    const { url } = await start({ board, roundMs: 20 });
    const query = names.map((name) => `stream=${name}`).join('&');
    const sent = (all: readonly { event: string }[]) => all.filter((e) => e.event === 'stream').length;
    await events(`${url}/api/events?${query}`, (all) => sent(all) >= 4);
    clearInterval(turns);
    expect(new Set(readIn).size).toBe(4);
  });

  test('new streams are announced', async () => {
    const { url, board } = await start();
    const seen = await events(`${url}/api/events`, (all) => {
      board.announce('fresh', null);
      return all.some((e) => e.event === 'streams');
    });
    expect(seen.find((e) => e.event === 'streams')?.data).toEqual({ count: 1 });
  });

  test('the number of clients is bounded, and a place is free again when one leaves', async () => {
    const { url } = await start({ maxClients: 2 });
    const aborts = [new AbortController(), new AbortController()];
    const ask = (signal?: AbortSignal) => fetch(`${url}/api/events`, { signal });
    for (const { signal } of aborts) await ask(signal);
    const refused = await ask();
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('10');
    aborts[0]!.abort();
    await expect.poll(async () => (await ask(aborts[1]!.signal)).status).toBe(200);
    aborts[1]!.abort();
  });

  test('a client that reads nothing uses a bounded buffer and later gets the newest state', async () => {
    const board = new Board();
    const { url, page } = await start({ board, roundMs: 1 });
    const call = httpRequest(`${url}/api/events?stream=wide`);
    call.end();
    await new Promise<void>((resolve) => call.on('response', (response) => resolve(void response.pause())));
    let most = 0;
    for (let i = 0; i < 3000; i++) {
      board.record(fakeForecast({ stream: 'wide', originMs: i * 1000, leads: 336 }), 0);
      if (i % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      most = Math.max(most, page.bufferedBytes);
    }
    expect(most).toBeGreaterThan(100_000);
    expect(most).toBeLessThan(1_200_000);
    call.destroy();
  });
});

test('the next free port is used if requested; otherwise a port in use is an error', async () => {
  const blocker = createServer();
  await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
  const { port } = blocker.address() as { port: number };
  const { url } = await start({ port, fallbackPorts: 20 });
  expect(Number(new URL(url).port)).toBeGreaterThan(port);
  await expect(startPage({ port })).rejects.toMatchObject({ code: 'LISTEN_FAILED' });
  await new Promise((resolve) => blocker.close(resolve));
});

test('the site is read once for all pages that ask at the same time, and again afterwards', async () => {
  let reads = 0;
  const site = (): Promise<null> => {
    reads++;
    return new Promise((resolve) => setImmediate(resolve, null));
  };
  const { url } = await start({ views: fakeViews({ site }) });
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.write(`GET /api/site HTTP/1.1\r\nHost: localhost\r\n\r\n`.repeat(8));
  let answers = '';
  for await (const chunk of socket) {
    answers += String(chunk);
    if (answers.split('HTTP/1.1 200').length > 8) break;
  }
  expect(reads).toBe(1);
  expect(await raw(url, '/api/site')).toMatchObject({ code: 200, body: 'null' });
  expect(reads).toBe(2);
});

test('a site that does not answer is 503, and is asked again', async () => {
  let reads = 0;
  const site = async (): Promise<null> => {
    if (++reads > 1) return null;
    throw new GatecastError('SITE_UNREACHABLE', 'NATS does not answer');
  };
  const { url } = await start({ views: fakeViews({ site }) });
  const refused = await raw(url, '/api/site');
  expect(refused.code).toBe(503);
  expect(JSON.parse(refused.body)).toMatchObject({ error: { code: 'SITE_UNREACHABLE' } });
  expect((await raw(url, '/api/site')).code).toBe(200);
});

test('one replay of past forecasts runs at a time, and its place is free after a failure too', async () => {
  const asked: PastSpan[] = [];
  let end: (fails: boolean) => void = () => {};
  const replay = async (_stream: string, span: PastSpan): Promise<ReplayedPast> => {
    asked.push(span);
    const fails = await new Promise<boolean>((resolve) => {
      end = resolve;
    });
    if (fails) throw new GatecastError('STORE_FAILED', 'no disk');
    return { points: [{ timeMs: 5000, p10: 1, p50: 2, p90: 3 }], complete: true, trainedToMs: 4000 };
  };
  const board = new Board();
  board.announce('tank', null);
  const { url } = await start({ board, views: fakeViews({ replay }) });
  const path = '/api/past/tank?lead=7&from=1000&to=9000';
  for (const fails of [true, false]) {
    const first = raw(url, path);
    await expect.poll(() => asked.length).toBe(fails ? 1 : 2);
    const second = await raw(url, path);
    expect([second.code, JSON.parse(second.body).error.code]).toEqual([503, 'BUSY']);
    end(fails);
    const { code, body } = await first;
    expect(code).toBe(fails ? 409 : 200);
    if (!fails)
      expect(JSON.parse(body)).toEqual({
        lead: 7,
        replayed: true,
        complete: true,
        trained_to_ms: 4000,
        points: [[5000, 1, 2, 3]],
      });
  }
  expect(asked).toEqual([0, 1].map(() => ({ lead: 7, fromMs: 1000, toMs: 9000 })));
});
