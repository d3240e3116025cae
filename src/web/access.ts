/**
 * Access control of the page. Without a token or proxy header in the config, everyone may read and nobody may act. With
 * either, actions need a login, and so does reading from another machine.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIPv6 } from 'node:net';
import type { Clock } from '../system/clock.ts';
import { isLoopback } from './headers.ts';

export interface AccessOptions {
  /** Reads the current token; returns null if unreadable, which blocks logins. null instead of a function: not configured. */
  readonly token: (() => string | null) | null;
  /** Header with the user name, lower case; null: no proxy login. */
  readonly userHeader: string | null;
  /** Addresses whose `userHeader` and `X-Forwarded-For` are trusted. */
  readonly trustedProxies: readonly string[];
  readonly clock: Pick<Clock, 'monotonic'>;
}

const COOKIE = 'gatecast_session';
const SESSION_MS = 12 * 3_600_000;
const MOST_SESSIONS = 32;
const MINUTE_MS = 60_000;
/** Wrong tokens of one client per minute, after which further ones are answered as too many. */
const MOST_WRONG = 10;
/** Most wrong tokens remembered. */
const MOST_KEPT = 1000;

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
const plainAddress = (address = ''): string => address.replace(/^::ffff:/, '');
/** Some proxies add the port: `192.0.2.1:5678`, `[2001:db8::1]:80`. Each connection has another one. */
const withoutPort = (hop: string): string =>
  /^\[(.*)\](:\d+)?$/.exec(hop)?.[1] ?? hop.replace(/^([\d.]+):\d+$/, '$1');

/** The first 64 bits of an IPv6 address, because one client has as many addresses as it likes; any other address as it is. */
function network(address: string): string {
  if (!isIPv6(address)) return address.slice(0, 64);
  const [head, tail] = address
    .replace(/%.*/, '')
    .split('::')
    .map((part) => part.split(':'));
  const missing = 8 - (head?.length ?? 0) - (tail?.length ?? 0);
  const groups = [...(head ?? []), ...Array<string>(Math.max(0, missing)).fill('0'), ...(tail ?? [])];
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group || '0', 16))
    .join(':');
}

interface Session {
  readonly untilMs: number;
  /** Digest of the login token: a changed token ends the session. */
  readonly token: Buffer;
}

export class Access {
  private readonly sessions = new Map<string, Session>();
  /** Wrong tokens of the last minute, oldest first. */
  private wrong: { readonly ms: number; readonly client: string }[] = [];

  constructor(private readonly options: AccessOptions) {}

  /** Login method; null: none. */
  get login(): 'token' | 'proxy' | null {
    if (this.options.token !== null) return 'token';
    return this.options.userHeader === null ? null : 'proxy';
  }

  /** User of the request; null: not logged in. */
  user(request: IncomingMessage): string | null {
    const { headers } = request;
    const named = this.options.userHeader === null ? undefined : headers[this.options.userHeader];
    if (typeof named === 'string' && named !== '' && this.isProxy(request)) return named.slice(0, 200);
    const bearer = bearerOf(request);
    if (bearer !== undefined) return this.isRight(bearer) ? 'token' : null;
    const token = this.options.token?.() ?? null;
    const session = this.sessions.get(cookieOf(request) ?? '');
    if (token === null || session === undefined || session.untilMs < this.options.clock.monotonic())
      return null;
    return timingSafeEqual(session.token, digest(token)) ? 'token' : null;
  }

  mayRead(request: IncomingMessage): boolean {
    if (this.login === null || this.user(request) !== null) return true;
    const { headers, socket } = request;
    // a reverse proxy on this machine forwards requests of others
    const isForwarded = headers.forwarded !== undefined || headers['x-forwarded-for'] !== undefined;
    return isLoopback(plainAddress(socket.remoteAddress)) && !isForwarded;
  }

  /** Call once per request: counts a wrong token of a program. @returns whether its client sent too many within a minute */
  sendsTooMany(request: IncomingMessage): boolean {
    if (this.options.token === null || bearerOf(request) === undefined) return false;
    return this.user(request) === null && this.isOften(request);
  }

  /** @returns the `Set-Cookie` of a new session, or the reason for the refusal */
  logIn(request: IncomingMessage, token: string): { readonly cookie: string } | 'wrong' | 'too-many' {
    if (!this.isRight(token)) return this.isOften(request) ? 'too-many' : 'wrong';
    const nowMs = this.options.clock.monotonic();
    for (const [id, { untilMs }] of this.sessions) if (untilMs < nowMs) this.sessions.delete(id);
    const [oldest] = this.sessions.keys();
    if (oldest !== undefined && this.sessions.size >= MOST_SESSIONS) this.sessions.delete(oldest);
    const id = randomBytes(32).toString('base64url');
    this.sessions.set(id, { untilMs: nowMs + SESSION_MS, token: digest(token) });
    return { cookie: this.cookie(request, id, SESSION_MS / 1000) };
  }

  /** @returns the `Set-Cookie` that removes the session */
  logOut(request: IncomingMessage): string {
    this.sessions.delete(cookieOf(request) ?? '');
    return this.cookie(request, '', 0);
  }

  /** A right token is accepted whatever came before: nobody can lock its owner out, and its length protects it. */
  private isRight(token: string): boolean {
    const wanted = this.options.token?.() ?? null;
    return wanted !== null && timingSafeEqual(digest(token), digest(wanted));
  }

  /** Counts a wrong token. @returns whether the client had too many within a minute */
  private isOften(request: IncomingMessage): boolean {
    const nowMs = this.options.clock.monotonic();
    const client = this.clientOf(request);
    this.wrong = [...this.wrong.filter(({ ms }) => nowMs - ms < MINUTE_MS), { ms: nowMs, client }].slice(
      -MOST_KEPT,
    );
    return this.wrong.filter((one) => one.client === client).length > MOST_WRONG;
  }

  private clientOf(request: IncomingMessage): string {
    const hops = request.headers['x-forwarded-for'];
    const last = typeof hops === 'string' && this.isProxy(request) ? hops.split(',').at(-1)?.trim() : '';
    return network(plainAddress(last ? withoutPort(last) : request.socket.remoteAddress));
  }

  private cookie(request: IncomingMessage, id: string, seconds: number): string {
    const secure = request.headers['x-forwarded-proto'] === 'https' ? '; Secure' : '';
    return `${COOKIE}=${id}; HttpOnly; SameSite=Strict; Path=/; Max-Age=${seconds}${secure}`;
  }

  private isProxy({ socket }: IncomingMessage): boolean {
    return this.options.trustedProxies.includes(plainAddress(socket.remoteAddress));
  }
}

const bearerOf = ({ headers }: IncomingMessage): string | undefined =>
  /^Bearer (\S+)$/.exec(headers.authorization ?? '')?.[1];

const cookieOf = ({ headers }: IncomingMessage): string | undefined =>
  new RegExp(`(?:^|;\\s*)${COOKIE}=([\\w-]+)`).exec(headers.cookie ?? '')?.[1];

/**
 * Whether a page of this server sent the request (CSRF protection): browsers send `Origin` with every POST, and another
 * site must not act with the user's cookie. A request without `Origin` is not from a browser.
 */
export function isSameOrigin({ headers }: IncomingMessage): boolean {
  const { origin, host } = headers;
  if (origin === undefined) return headers['sec-fetch-site'] === undefined;
  try {
    return new URL(origin).host === (headers['x-forwarded-host'] ?? host);
  } catch {
    return false;
  }
}
