/** HTTP server of the page: fixed routes; limited connections, buffers and bodies. POST needs a login. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { errorText, GatecastError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import { jsonOrNull } from '../system/json.ts';
import { type Access, isSameOrigin } from './access.ts';
import { ASSETS, type Asset, INLINE_HASHES } from './assets.ts';
import type { Board, BoardStream } from './board.ts';
import { Events, MAX_WATCHED } from './events.ts';
import { hostAllowed, securityHeaders } from './headers.ts';
import { type MetricFamily, renderMetrics } from './metrics.ts';
import type { PageViews, SiteView } from './views.ts';
import { detail, historyWire, type PageStatus, pastWire, replayWire, scoresWire, summary } from './wire.ts';

export interface PageOptions {
  readonly host: string;
  readonly port: number;
  /** Number of following ports to try if `port` is in use. */
  readonly fallbackPorts?: number;
  readonly board: Board;
  readonly status: () => PageStatus;
  readonly metrics: () => readonly MetricFamily[];
  readonly clock: Clock;
  readonly views: PageViews;
  readonly access: Access;
  /** Origins that may show the page in a frame. */
  readonly frameAncestors?: readonly string[];
  /** Verbs that a logged-in user may request. */
  readonly actions: readonly string[];
  /** @throws GatecastError if it fails */
  readonly act: (verb: string, ask: ActionArguments, user: string) => Promise<object>;
  readonly maxClients?: number;
  readonly roundMs?: number;
}

interface Reply {
  readonly code: number;
  readonly type: string;
  readonly body: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

interface ActionArguments {
  readonly stream: string | null;
  readonly group: string | null;
}

const MOST_BODY_BYTES = 4096;
/** Maximum number of concurrent reads of histories, and of replays. */
const MOST_READS = 2;
const MOST_REPLAYS = 1;
const MOST_POINTS = 2000;

export class PageServer {
  private readonly events: Events;
  private server: Server | null = null;
  private readonly headers: Readonly<Record<string, string>>;
  private readonly reads = new Places(MOST_READS);
  private readonly replays = new Places(MOST_REPLAYS);
  /** The reading of the site that is under way. */
  private site: Promise<SiteView | null> | null = null;

  constructor(private readonly options: PageOptions) {
    this.headers = securityHeaders(options.frameAncestors ?? [], INLINE_HASHES);
    this.events = new Events({
      board: options.board,
      status: options.status,
      clock: options.clock,
      maxClients: options.maxClients ?? 16,
      maxBufferBytes: 512 * 1024,
      roundMs: options.roundMs ?? 250,
      statusMs: 2000,
      stuckMs: 30_000,
    });
  }

  /** @returns the page's URL. @throws GatecastError LISTEN_FAILED if no port is free */
  async start(): Promise<string> {
    const { host, port, fallbackPorts = 0 } = this.options;
    for (let offset = 0; ; offset++) {
      const server = createServer({
        maxHeaderSize: 16 * 1024,
        requestTimeout: 10_000,
        headersTimeout: 3_000,
        // Node's default is 30 s, for which silent connections would stay open.
        connectionsCheckingInterval: 500,
      });
      server.maxConnections = 128;
      server.on('request', (request, response) => this.answer(request, response));
      server.on('clientError', (_error, socket) => socket.destroy());
      try {
        server.listen(port === 0 ? 0 : port + offset, host);
        await once(server, 'listening');
        server.on('error', () => {});
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        if (code === 'EADDRINUSE' && offset < fallbackPorts) continue;
        throw new GatecastError(
          'LISTEN_FAILED',
          `The web page cannot listen on ${host}:${port + offset} (${code}).`,
          {
            hint:
              code === 'EADDRINUSE'
                ? 'Another program, or another gatecast, uses the port. Stop it, or set another port in the config: http.listen (`off` for no page).'
                : 'Set another address in the config: http.listen (`off` for no page).',
            cause: error,
          },
        );
      }
      this.server = server;
      const address = server.address() as AddressInfo;
      const name = address.family === 'IPv6' ? `[${address.address}]` : address.address;
      return `http://${name}:${address.port}`;
    }
  }

  async stop(): Promise<void> {
    this.events.stop();
    const server = this.server;
    this.server = null;
    if (!server) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  /** Bytes waiting in the sockets of all event clients. */
  get bufferedBytes(): number {
    return this.events.bufferedBytes;
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    for (const [name, value] of Object.entries(this.headers)) response.setHeader(name, value);
    const url = parse(request.url ?? '/');
    const refused = this.refusal(request, url);
    if (refused !== null || url === null) send(response, refused ?? text(400, 'The URL is invalid.'));
    else if (request.method === 'GET' && url.pathname === '/api/events') this.openEvents(url, response);
    else
      this.reply(request, url).then(
        (reply) => send(response, reply),
        (error: unknown) => send(response, failed(error)),
      );
  }

  private refusal(request: IncomingMessage, url: URL | null): Reply | null {
    if (!hostAllowed(this.options.host, request.headers.host))
      return text(421, 'This server accepts only a loopback host name.');
    if (url === null) return text(400, 'The URL is invalid.');
    const isPost = request.method === 'POST' && POSTS.test(url.pathname);
    if (request.method !== 'GET' && request.method !== 'HEAD' && !isPost)
      return { ...text(405, 'Only GET and HEAD are allowed.'), headers: { Allow: 'GET, HEAD' } };
    if (isPost && !isSameOrigin(request))
      return problem(403, 'FORBIDDEN', 'The request was sent from another site.');
    if (this.options.access.sendsTooMany(request)) return tooMany();
    const isOpen = ASSETS.has(url.pathname) || OPEN.has(url.pathname);
    return isOpen || this.options.access.mayRead(request)
      ? null
      : problem(401, 'LOGIN', 'Log in to read this.');
  }

  private openEvents(url: URL, response: ServerResponse): void {
    const watched = [...url.searchParams]
      .flatMap(([as, name]) => (as === 'stream' || as === 'row' ? [{ as, name } as const] : []))
      .slice(0, MAX_WATCHED);
    if (!this.events.add(response, watched))
      send(response, { ...text(503, 'Too many pages are open.'), headers: { 'Retry-After': '10' } });
  }

  private async reply(request: IncomingMessage, url: URL): Promise<Reply> {
    if (request.method === 'POST') return this.post(request, url.pathname);
    const { board, status, metrics, views, access } = this.options;
    const path = url.pathname;
    const found = ASSETS.get(path);
    if (found) return assetReply(found, request.headers['if-none-match']);
    switch (path) {
      case '/api/streams':
        return json(200, { streams: board.streams().map(summary) });
      case '/api/status':
        return json(200, status());
      case '/api/alerts':
        return json(200, { alerts: views.alerts() });
      case '/api/model':
        return json(200, views.model());
      case '/api/config':
        return json(200, views.config());
      case '/api/site':
        return json(200, await this.siteView());
      case '/api/session':
        return json(200, {
          user: access.user(request),
          login: access.login,
          mayRead: access.mayRead(request),
          actions: this.options.actions,
        });
      case '/healthz': {
        const { state, degraded } = status().health;
        return json(200, access.mayRead(request) ? { state, degraded } : { state });
      }
      case '/metrics':
        return {
          code: 200,
          type: 'text/plain; version=0.0.4; charset=utf-8',
          body: renderMetrics(metrics()),
        };
    }
    const [, kind = '', name = ''] = /^\/api\/(streams|history|past|scores)\/(.+)$/.exec(path) ?? [];
    const entry = name === '' ? undefined : board.get(decode(name));
    if (entry !== undefined) return this.streamReply(kind, entry, url.searchParams);
    return name === '' ? text(404, 'Not found.') : noStream();
  }

  private async streamReply(kind: string, entry: BoardStream, query: URLSearchParams): Promise<Reply> {
    const { views } = this.options;
    if (kind === 'streams') return json(200, detail(entry));
    if (kind === 'scores') return json(200, scoresWire(entry, views.scores(entry.name)));
    const fromMs = whole(query, 'from', 0, 0);
    const toMs = whole(query, 'to', this.options.clock.now(), 0);
    if (kind === 'history') {
      const points = Math.min(MOST_POINTS, whole(query, 'points', 600, 1));
      return this.reads.use(async () => {
        const history = await views.history(entry.name, { fromMs, toMs, points });
        return history === null ? noStream() : json(200, historyWire(history));
      });
    }
    const lead = whole(query, 'lead', 1, 1);
    const published = pastWire(entry, lead, query.has('from') ? fromMs : null);
    if (published !== null) return json(200, published);
    return this.replays.use(async () =>
      json(200, replayWire(await views.replay(entry.name, { lead, fromMs, toMs }), lead)),
    );
  }

  /** Reads the site once for all pages that ask meanwhile: it takes several requests to NATS for each partition. */
  private siteView(): Promise<SiteView | null> {
    this.site ??= this.options.views.site().finally(() => {
      this.site = null;
    });
    return this.site;
  }

  private async post(request: IncomingMessage, path: string): Promise<Reply> {
    const { access, actions, act } = this.options;
    if (path === '/api/logout')
      return { ...json(200, {}), headers: { 'Set-Cookie': access.logOut(request) } };
    const body = await bodyOf(request);
    if (body === null)
      return problem(400, 'REQUEST_INVALID', 'The body is not a JSON object, or is too large.');
    const textOf = (key: string): string | null => {
      const value = Object.hasOwn(body, key) ? body[key] : null;
      return typeof value === 'string' && value !== '' && value.length <= 1024 ? value : null;
    };
    if (path === '/api/login') {
      const opened = access.logIn(request, textOf('token') ?? '');
      if (opened === 'too-many') return tooMany();
      if (opened === 'wrong') return problem(403, 'LOGIN', 'The token is wrong.');
      return { ...json(200, { user: 'token' }), headers: { 'Set-Cookie': opened.cookie } };
    }
    const user = access.user(request);
    if (user === null)
      return problem(
        401,
        'LOGIN',
        access.login === null
          ? 'Actions are off: set http.token_file or http.user_header in the config.'
          : 'Log in first.',
      );
    const verb = path.slice('/api/actions/'.length);
    if (!actions.includes(verb)) return problem(404, 'REQUEST_INVALID', `There is no action '${verb}'.`);
    return json(200, await act(verb, { stream: textOf('stream'), group: textOf('group') }, user));
  }
}

/** Limits how many requests do expensive work at the same time. */
class Places {
  private taken = 0;

  constructor(private readonly most: number) {}

  async use(work: () => Promise<Reply>): Promise<Reply> {
    if (this.taken >= this.most)
      return {
        ...problem(503, 'BUSY', 'The server is reading for another page.'),
        headers: { 'Retry-After': '1' },
      };
    this.taken++;
    try {
      return await work();
    } finally {
      this.taken--;
    }
  }
}

const POSTS = /^\/api\/(login|logout|actions\/[a-z-]{1,32})$/;
/** Served without a login. */
const OPEN: ReadonlySet<string> = new Set(['/api/session', '/api/login', '/api/logout', '/healthz']);

/** An integer in a query; `otherwise` if it is missing or not a number. */
function whole(query: URLSearchParams, name: string, otherwise: number, least: number): number {
  const value = Math.round(Number(query.get(name) ?? Number.NaN));
  return Number.isSafeInteger(value) && value >= least ? value : otherwise;
}

/** Null: no JSON object, or too large. */
async function bodyOf(request: IncomingMessage): Promise<Readonly<Record<string, unknown>> | null> {
  if (!/^application\/json\b/.test(request.headers['content-type'] ?? '')) return null;
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MOST_BODY_BYTES) return null;
    chunks.push(chunk);
  }
  const value = jsonOrNull(Buffer.concat(chunks));
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : null;
}

function parse(target: string): URL | null {
  try {
    return new URL(target, 'http://localhost');
  } catch {
    return null;
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}

const text = (code: number, message: string): Reply => ({
  code,
  type: 'text/plain; charset=utf-8',
  body: `${message}\n`,
});
const problem = (code: number, name: string, message: string, hint = ''): Reply =>
  json(code, { error: { code: name, message, hint } });
const tooMany = (): Reply => ({
  ...problem(429, 'BUSY', 'Too many wrong tokens; wait a minute.'),
  headers: { 'Retry-After': '60' },
});
const noStream = (): Reply => problem(404, 'STREAM_UNKNOWN', 'There is no stream with this name.');
/** Codes of failures that may soon be over. */
const UNAVAILABLE: ReadonlySet<string> = new Set(['BUSY', 'SITE_UNREACHABLE']);
const failed = (error: unknown): Reply => {
  if (!(error instanceof GatecastError)) return problem(500, 'INTERNAL', errorText(error));
  const { code, message, hint, issues } = error;
  const details = issues.map((issue) => `${issue.path} ${issue.message}`.trim());
  return problem(UNAVAILABLE.has(code) ? 503 : 409, code, [message, ...details].join('; '), hint);
};
const json = (code: number, data: unknown): Reply => ({
  code,
  type: 'application/json; charset=utf-8',
  body: JSON.stringify(data),
  headers: { 'Cache-Control': 'no-store' },
});

function assetReply({ type, body, etag }: Asset, known: string | undefined): Reply {
  const isKnown = known === etag;
  const headers = { ETag: etag, 'Cache-Control': 'no-cache' };
  return { code: isKnown ? 304 : 200, type, body: isKnown ? '' : body, headers };
}

/** Sends a reply; node:http omits the body for HEAD. */
function send(response: ServerResponse, { code, type, body, headers = {} }: Reply): void {
  response.writeHead(code, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body), ...headers });
  response.end(body);
}
