/** The agent's web page, if the config enables it: its server, who may log in, and which actions are allowed. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { errorText, GatecastError } from '../errors.ts';
import { readBounded } from '../system/files.ts';
import { Access } from '../web/access.ts';
import { parseListen } from '../web/listen.ts';
import { loadPast, savePast } from '../web/past-file.ts';
import { RuntimeMetrics } from '../web/runtime-metrics.ts';
import { PageServer } from '../web/server.ts';
import type { Alerts } from './alerts.ts';
import type { ClockHold } from './clock-hold.ts';
import { every } from './every.ts';
import type { Health } from './health.ts';
import { pageViews, type ViewSources } from './page-views.ts';
import type { Context, Part } from './part.ts';
import type { Requests } from './requests.ts';
import type { SitePart } from './site.ts';
import type { AgentStreams } from './streams.ts';

export interface PageSources extends ViewSources {
  readonly streams: Pick<AgentStreams, 'board' | 'firstMs'>;
  readonly health: Pick<Health, 'pageStatus' | 'metrics'>;
  readonly hold: Pick<ClockHold, 'waiting'>;
  readonly alerts: Pick<Alerts, 'list' | 'metrics'>;
  readonly requests: Pick<Requests, 'verbs' | 'act'>;
  readonly site: Pick<SitePart, 'view' | 'siteName'> | null;
  /** How many ports after the configured one the page may take. */
  readonly fallbackPorts: number | undefined;
}

/**
 * A crash loses the past forecasts since the last save. A save writes at most 16 kB for a stream of 288 leads: for the 64 streams that all
 * keep past forecasts, 24 MB a day.
 */
const SAVE_PAST_MS = 3_600_000;

export class Page implements Part {
  readonly name = 'page';
  /** URL of the page; null if it is off. */
  url: string | null = null;
  private server: PageServer | null = null;
  private runtime: RuntimeMetrics | null = null;
  private savePast: { readonly now: () => void; readonly end: () => void } | null = null;

  constructor(private readonly sources: PageSources) {}

  /** @throws GatecastError LISTEN_FAILED when no port is free, CONFIG_INVALID for a token file that cannot be used */
  async start(context: Context): Promise<void> {
    const { config, log, clock } = context;
    const { listen, token_file, user_header, trusted_proxies, frame_ancestors } = config().http;
    const address = parseListen(listen);
    if (address === null) return;
    const { streams, health, hold, alerts, requests, fallbackPorts = 0 } = this.sources;
    const file = join(config().data_dir, 'past-forecasts.gz');
    loadPast(file, streams.board, log);
    const save = (): void => savePast(file, streams.board, log);
    this.savePast = { now: save, end: every(clock, SAVE_PAST_MS, save, log) };
    if (token_file !== undefined) readToken(token_file);
    const runtime = new RuntimeMetrics(clock);
    this.runtime = runtime;
    this.server = new PageServer({
      ...address,
      fallbackPorts,
      board: streams.board,
      status: () => ({
        ...health.pageStatus(),
        waiting: hold.waiting(),
        alerts: alerts.list().filter(({ untilMs }) => untilMs === null).length,
        site: this.sources.site?.siteName ?? null,
      }),
      metrics: () => [...health.metrics(), ...alerts.metrics(), ...runtime.families()],
      clock,
      views: pageViews(context, this.sources),
      access: new Access({
        token: token_file === undefined ? null : tokenReader(token_file, clock.monotonic),
        userHeader: user_header?.toLowerCase() ?? null,
        trustedProxies: trusted_proxies,
        clock,
      }),
      frameAncestors: frame_ancestors,
      actions: requests.verbs,
      act: async (verb, ask, user) => {
        log.info('action on the page', { verb, user, stream: ask.stream ?? undefined });
        return requests.act(verb, ask);
      },
    });
    this.url = await this.server.start();
    log.info('page', { url: this.url });
  }

  async stop(): Promise<void> {
    this.savePast?.end();
    this.savePast?.now();
    await this.server?.stop();
    this.runtime?.stop();
  }
}

const LEAST_TOKEN = 16;
const MOST_TOKEN_BYTES = 4096;

/** @throws GatecastError CONFIG_INVALID */
function readToken(path: string): string {
  const wrong = (message: string, hint: string): GatecastError =>
    new GatecastError('CONFIG_INVALID', 'The page has no usable token', {
      issues: [{ path: 'http.token_file', message }],
      hint,
    });
  let token: string;
  let mode: number;
  try {
    token = readBounded(path, MOST_TOKEN_BYTES).toString('utf8').trim();
    ({ mode } = statSync(path));
  } catch (error) {
    throw wrong(`cannot be read: ${errorText(error)}`, 'The user that gatecast runs as needs to read it.');
  }
  // systemd credentials appear as group-readable, but the group has no members.
  const { CREDENTIALS_DIRECTORY: credentials } = process.env;
  const isCredential = credentials !== undefined && path.startsWith(`${credentials}/`);
  if ((mode & 0o077) !== 0 && !isCredential)
    throw wrong('may be read by other users', `Run \`chmod 600 ${path}\`.`);
  if (token.length < LEAST_TOKEN)
    throw wrong(
      `holds fewer than ${LEAST_TOKEN} characters`,
      `\`openssl rand -hex 24 > ${path}\` makes a token.`,
    );
  return token;
}

const TOKEN_MS = 2000;

/** Re-reads the token file from time to time. Null: the file is unusable now, and all logins fail. */
function tokenReader(path: string, monotonic: () => number): () => string | null {
  let token: string | null = null;
  let readMs = Number.NEGATIVE_INFINITY;
  return () => {
    if (monotonic() - readMs < TOKEN_MS) return token;
    readMs = monotonic();
    try {
      token = readToken(path);
    } catch {
      token = null;
    }
    return token;
  };
}
