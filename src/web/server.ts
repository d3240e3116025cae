/** The web page's server: node:http, GET only, a fixed table of routes, bounded in connections and buffers. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { GatecastError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import { ASSETS, type Asset } from './assets.ts';
import type { Board } from './board.ts';
import { Events, MAX_WATCHED } from './events.ts';
import { hostAllowed, SECURITY_HEADERS } from './headers.ts';
import { type MetricFamily, renderMetrics } from './metrics.ts';
import { detail, type PageStatus, summary } from './wire.ts';

export interface PageOptions {
  readonly host: string;
  readonly port: number;
  /** How many of the following ports to try when `port` is taken. */
  readonly fallbackPorts?: number;
  readonly board: Board;
  readonly status: () => PageStatus;
  readonly metrics: () => readonly MetricFamily[];
  readonly clock: Clock;
  readonly maxClients?: number;
  readonly roundMs?: number;
}

interface Reply {
  readonly code: number;
  readonly type: string;
  readonly body: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

export class PageServer {
  private readonly events: Events;
  private server: Server | null = null;

  constructor(private readonly options: PageOptions) {
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

  /** @returns the page's URL. Throws USAGE when no port can be had. */
  async start(): Promise<string> {
    const { host, port, fallbackPorts = 0 } = this.options;
    for (let offset = 0; ; offset++) {
      const server = createServer({
        maxHeaderSize: 16 * 1024,
        requestTimeout: 10_000,
        headersTimeout: 3_000,
        // Node's own 30 s would let silent connections hold the page for as long.
        connectionsCheckingInterval: 500,
      });
      server.maxConnections = 128;
      server.on('request', (request, response) => this.answer(request, response));
      server.on('clientError', (_error, socket) => socket.destroy());
      try {
        await listen(server, host, port === 0 ? 0 : port + offset);
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        if (code === 'EADDRINUSE' && offset < fallbackPorts) continue;
        throw new GatecastError(
          'LISTEN_FAILED',
          `The web page cannot listen on ${host}:${port + offset} (${code}).`,
          {
            hint:
              code === 'EADDRINUSE'
                ? 'Another program, or another gatecast, has the port. Stop it, or set another in the config: http.listen (`off` for no page).'
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

  get clients(): number {
    return this.events.size;
  }

  /** Waiting in the sockets of all event clients. */
  get bufferedBytes(): number {
    return this.events.bufferedBytes;
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.setHeader(name, value);
    const url = parse(request.url ?? '/');
    if (request.method === 'GET' && url?.pathname === '/api/events' && this.hostFits(request))
      this.openEvents(url, response);
    else send(response, this.reply(request, url));
  }

  private hostFits(request: IncomingMessage): boolean {
    return hostAllowed(this.options.host, request.headers.host);
  }

  private openEvents(url: URL, response: ServerResponse): void {
    const watched = [...url.searchParams]
      .flatMap(([as, name]) => (as === 'stream' || as === 'row' ? [{ as, name } as const] : []))
      .slice(0, MAX_WATCHED);
    if (!this.events.add(response, watched))
      send(response, { ...text(503, 'Too many pages are open.'), headers: { 'Retry-After': '10' } });
  }

  private reply(request: IncomingMessage, url: URL | null): Reply {
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return { ...text(405, 'Only GET is served here.'), headers: { Allow: 'GET, HEAD' } };
    if (!this.hostFits(request)) return text(421, 'This page answers to its loopback name only.');
    if (url === null) return text(400, 'The address cannot be read.');
    const { board, status, metrics } = this.options;
    const path = url.pathname;
    const found = ASSETS.get(path);
    if (found) return assetReply(found, request.headers['if-none-match']);
    if (path === '/api/streams') return json(200, { streams: board.streams().map(summary) });
    if (path.startsWith('/api/streams/')) {
      const entry = board.get(decode(path.slice('/api/streams/'.length)));
      return entry ? json(200, detail(entry)) : json(404, { error: 'There is no stream of that name.' });
    }
    if (path === '/api/status') return json(200, status());
    if (path === '/healthz') {
      const { state, degraded } = status().health;
      return json(200, { state, degraded });
    }
    if (path === '/metrics')
      return { code: 200, type: 'text/plain; version=0.0.4; charset=utf-8', body: renderMetrics(metrics()) };
    return text(404, 'There is nothing here.');
  }
}

const listen = (server: Server, host: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.removeListener('error', reject);
      server.on('error', () => undefined);
      resolve();
    });
  });

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

/** For HEAD node:http itself leaves the body out. */
function send(response: ServerResponse, { code, type, body, headers = {} }: Reply): void {
  response.writeHead(code, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body), ...headers });
  response.end(body);
}
