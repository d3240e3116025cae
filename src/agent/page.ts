/** The agent's web page, if the config enables it: the data it shows, who may log in, and which actions are allowed. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { configHash } from '../config/index.ts';
import { errorText, GatecastError, withoutSecrets } from '../errors.ts';
import type { Engine } from '../forecast/engine.ts';
import { SCORE_MEMORY } from '../forecast/track.ts';
import { scoreMessage } from '../outputs/json/messages.ts';
import type { GroupInput } from '../outputs/output.ts';
import { effectiveConfig, keyOrigins, layerOrder } from '../remote/layers.ts';
import type { JsonObject } from '../remote/merge-patch.ts';
import { readBounded } from '../system/files.ts';
import type { JobProgress } from '../training/job.ts';
import type { RunReport } from '../training/run-report.ts';
import { Access } from '../web/access.ts';
import { parseListen } from '../web/listen.ts';
import { loadPast, savePast } from '../web/past-file.ts';
import { RuntimeMetrics } from '../web/runtime-metrics.ts';
import { PageServer } from '../web/server.ts';
import type {
  ConfigView,
  History,
  HistorySpan,
  ModelView,
  PageViews,
  PastSpan,
  PushView,
  ReplayedPast,
  RunView,
  TrainingView,
} from '../web/views.ts';
import { ALERTS, type Alerts } from './alerts.ts';
import type { ClockHold } from './clock-hold.ts';
import { every } from './every.ts';
import type { Health } from './health.ts';
import { readHistory } from './history.ts';
import type { AgentModels } from './model.ts';
import type { Context, Part } from './part.ts';
import { replayPast } from './past-replay.ts';
import type { AgentRemote, RemoteSession } from './remote.ts';
import type { Requests } from './requests.ts';
import type { SitePart } from './site.ts';
import type { AgentStreams } from './streams.ts';
import type { TuningPart } from './tuning.ts';

export interface PageSources {
  readonly streams: Pick<AgentStreams, 'board' | 'firstMs'>;
  readonly health: Pick<Health, 'pageStatus' | 'metrics'>;
  readonly hold: Pick<ClockHold, 'waiting'>;
  readonly alerts: Pick<Alerts, 'list' | 'metrics'>;
  readonly engine: Pick<Engine, 'streams' | 'scores' | 'tables' | 'streamsInUse'>;
  readonly tuning: Pick<TuningPart, 'status' | 'runs' | 'progress' | 'probation'>;
  readonly models: Pick<AgentModels, 'registry' | 'current'>;
  readonly requests: Pick<Requests, 'verbs' | 'act'>;
  readonly remote: Pick<AgentRemote, 'version'> | null;
  readonly site: Pick<SitePart, 'view' | 'siteName'> | null;
  /** Remote config session; omitted if it is disabled. */
  readonly session: RemoteSession | undefined;
  /** The config as written in its file; omitted if there is no file. */
  readonly document: (() => JsonObject) | undefined;
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

function pageViews(context: Context, sources: PageSources): PageViews {
  const { engine, alerts } = sources;
  return {
    history: (stream, span) => history(context, sources, stream, span),
    replay: (stream, span) => replay(context, sources, stream, span),
    scores: (stream) => scoreMessage(engine.scores(stream), SCORE_MEMORY),
    alerts: () => alerts.list().map((alert) => ({ ...alert, meaning: ALERTS[alert.id] })),
    model: () => modelView(context, sources),
    config: () => configView(context, sources),
    site: async () => (await sources.site?.view()) ?? null,
  };
}

const MOST_ANOMALIES = 500;

async function history(
  { store, clock, config }: Context,
  { engine, streams }: PageSources,
  stream: string,
  { fromMs, toMs, points }: HistorySpan,
): Promise<History | null> {
  const view = engine.streams().find(({ spec }) => spec.name === stream);
  if (view === undefined) return null;
  const nowMs = clock.now();
  const firstMs = Math.max(streams.firstMs(stream) ?? 0, nowMs - config().store.retention);
  const span = { fromMs: Math.max(fromMs, firstMs), toMs: Math.min(toMs, nowMs), points };
  const pause = () => new Promise<void>((resolve) => setImmediate(resolve));
  const anomalies = store.anomaliesOf(stream, span.fromMs, span.toMs, MOST_ANOMALIES);
  return {
    firstMs,
    anomalies,
    ...(await readHistory(store, view, span, pause)),
  };
}

async function replay(
  { store, clock }: Context,
  { engine, models }: PageSources,
  stream: string,
  span: PastSpan,
): Promise<ReplayedPast> {
  const { model, trainedOn } = models.current;
  const sleep = (ms: number) => new Promise<void>((resolve) => void clock.after(ms, resolve));
  const replayed = await replayPast(
    { engine, model, store },
    { stream, ...span },
    { monotonic: clock.monotonic, sleep },
  );
  const trainedTo = trainedOn?.to;
  return { ...replayed, trainedToMs: trainedTo === undefined ? null : Date.parse(trainedTo) };
}

function modelView({ config }: Context, { tuning, models }: PageSources): ModelView {
  const { champion, version, trainedAt, previous, waitsFor, lastRun } = tuning.status();
  const { enabled, schedule } = config().finetune;
  return {
    champion,
    version,
    trainedAt,
    previous,
    probation: tuning.probation,
    training: trainingView(lastRun, tuning.progress),
    waitsFor,
    schedule: enabled ? schedule : 'off',
    runs: [...tuning.runs].reverse().map(runView),
    models: models.registry.list().map(({ name, manifest, source, problem }) => ({
      name,
      version: manifest?.version ?? null,
      cell: manifest?.spec?.cell ?? null,
      hidden: manifest?.spec?.hidden ?? null,
      source,
      problem,
    })),
  };
}

function trainingView(
  { status, reason, trigger, startedMs }: GroupInput['lastRun'],
  progress: JobProgress | null,
): TrainingView | null {
  if (status !== 'running' && status !== 'paused') return null;
  const training = progress?.phase === 'training' ? progress : null;
  const { done = 0, phase = 'reading' } = progress ?? {};
  const isTimed = training !== null && done > 0;
  return {
    trigger,
    startedMs,
    paused: status === 'paused' ? reason : null,
    phase,
    done,
    step: training?.step ?? null,
    maxSteps: training?.maxSteps ?? null,
    loss: training?.loss ?? null,
    validation: training?.validation ?? null,
    best: training?.best ?? null,
    leftMs: isTimed ? (training.elapsedMs * (1 - done)) / done : null,
  };
}

function runView({ status, reason, trigger, startedMs, endedMs, found }: RunReport): RunView {
  return {
    status,
    reason,
    trigger,
    startedMs,
    endedMs,
    seconds: found?.seconds ?? null,
    streams: found?.streams ?? null,
    leftOut: found?.problems ?? [],
    losses: found?.losses ?? null,
    gate: found?.gate ?? null,
  };
}

function configView({ config }: Context, { document, session, remote }: PageSources): ConfigView {
  const running = config();
  const hash = configHash(running);
  const version = remote?.version ?? null;
  if (document === undefined)
    return { hash, version, keys: [], notice: 'This agent was started without a config file.', push: null };
  const layers = session?.opened.life.running() ?? {};
  const order = layerOrder(running.remote_config.groups);
  const file = { document: document(), dataDir: running.data_dir };
  const keys = keyOrigins(file.document, layers, order).map((key) => ({
    ...key,
    value: key.path === 'data_dir' ? running.data_dir : redacted(key.path, key.value),
  }));
  const isRunning = effectiveConfig(file, layers, order).hash === hash;
  const notice = isRunning ? null : 'The config has changed, and some of its keys wait for a restart.';
  return { hash, version, keys, notice, push: pushView(session) };
}

function pushView(session: RemoteSession | undefined): PushView | null {
  const { layer = null, version, status, since, errors } = session?.opened.life.reported() ?? {};
  if (layer === null || version === undefined || status === undefined || since === undefined) return null;
  const problems = (errors ?? []).map(({ path, text, hint }) =>
    [path === '' ? text : `${path}: ${text}`, hint].filter(Boolean).join('; '),
  );
  return { version, layer, status, atMs: Date.parse(since), problems };
}

/** Hides secrets: they belong in separate files, but a config may contain one by mistake. */
function redacted(path: string, value: unknown): unknown {
  if (/(password|secret|token|passphrase)$/i.test(path)) return '(secret)';
  if (typeof value === 'string') return withoutSecrets(value);
  if (Array.isArray(value)) return value.map((one) => redacted(path, one));
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, redacted(key, one)]));
  return value;
}
