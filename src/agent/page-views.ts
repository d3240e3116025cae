/** The data of the web page besides the board: history, past forecasts, models and fine-tuning, config. */
import { configHash } from '../config/index.ts';
import { withoutSecrets } from '../errors.ts';
import type { Engine } from '../forecast/engine.ts';
import { SCORE_MEMORY } from '../forecast/track.ts';
import { scoreMessage } from '../outputs/json/messages.ts';
import type { GroupInput } from '../outputs/output.ts';
import { effectiveConfig, keyOrigins, layerOrder } from '../remote/layers.ts';
import type { JsonObject } from '../remote/merge-patch.ts';
import { pause } from '../system/clock.ts';
import type { JobProgress } from '../training/job.ts';
import type { RunReport } from '../training/run-report.ts';
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
import { readHistory } from './history.ts';
import type { AgentModels } from './model.ts';
import type { Context } from './part.ts';
import { replayPast } from './past-replay.ts';
import type { AgentRemote, RemoteSession } from './remote.ts';
import type { SitePart } from './site.ts';
import type { AgentStreams } from './streams.ts';
import type { TuningPart } from './tuning.ts';

export interface ViewSources {
  readonly streams: Pick<AgentStreams, 'firstMs'>;
  readonly alerts: Pick<Alerts, 'list'>;
  readonly engine: Pick<Engine, 'streams' | 'scores' | 'tables' | 'streamsInUse'>;
  readonly tuning: Pick<TuningPart, 'status' | 'runs' | 'progress' | 'probation'>;
  readonly models: Pick<AgentModels, 'registry' | 'current'>;
  readonly remote: Pick<AgentRemote, 'version'> | null;
  readonly site: Pick<SitePart, 'view'> | null;
  /** Remote config session; omitted if it is disabled. */
  readonly session: RemoteSession | undefined;
  /** The config as written in its file; omitted if there is no file. */
  readonly document: (() => JsonObject) | undefined;
}

export function pageViews(context: Context, sources: ViewSources): PageViews {
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
  { engine, streams }: ViewSources,
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
  return { firstMs, anomalies, ...(await readHistory(store, view, span, pause)) };
}

async function replay(
  { store, clock }: Context,
  { engine, models }: ViewSources,
  stream: string,
  span: PastSpan,
): Promise<ReplayedPast> {
  const { model, trainedOn } = models.current;
  const replayed = await replayPast(
    { engine, model, store },
    { stream, ...span },
    { monotonic: clock.monotonic, sleep: (ms) => pause(clock, ms) },
  );
  const trainedTo = trainedOn?.to;
  return { ...replayed, trainedToMs: trainedTo === undefined ? null : Date.parse(trainedTo) };
}

function modelView({ config }: Context, { tuning, models }: ViewSources): ModelView {
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

function runView({ found, ...run }: RunReport): RunView {
  return {
    ...run,
    seconds: found?.seconds ?? null,
    streams: found?.streams ?? null,
    leftOut: found?.problems ?? [],
    losses: found?.losses ?? null,
    gate: found?.gate ?? null,
  };
}

function configView({ config }: Context, { document, session, remote }: ViewSources): ConfigView {
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
