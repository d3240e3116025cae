/**
 * The composition root: what starts, in which order, and what stops. Data flows from the broker through the pipeline
 * to the publisher and the page; the store hangs on the pipeline, everything else on the timers named at the end.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Alerts } from './agent/alerts.ts';
import { chartPast } from './agent/chart-past.ts';
import { Checkpoints } from './agent/checkpoints.ts';
import { ClockHold } from './agent/clock-hold.ts';
import { rolledBack, staleStreams, streamLimit } from './agent/conditions.ts';
import { every } from './agent/every.ts';
import { swapFilters } from './agent/former-filters.ts';
import { chooseGroupModel, GROUP } from './agent/groups.ts';
import { Health } from './agent/health.ts';
import { type KnownStream, KnownStreams } from './agent/known-streams.ts';
import type { ChosenModel } from './agent/model.ts';
import { Pipeline } from './agent/pipeline.ts';
import { restoreStreams } from './agent/restore.ts';
import { Stops } from './agent/stops.ts';
import { Tuning } from './agent/tuning.ts';
import { type Config, createRouter, resolveTimeZone } from './config/index.ts';
import { alarms } from './forecast/anomalies.ts';
import { Engine } from './forecast/engine.ts';
import type { Forecast } from './forecast/forecast.ts';
import type { Logger } from './log.ts';
import { ModelRegistry } from './model/registry.ts';
import { ModelSlots } from './model/slots.ts';
import { Client } from './mqtt/client.ts';
import { brokerOptions } from './mqtt/options.ts';
import { Publisher, statusOf } from './mqtt/publisher.ts';
import { topicsOf } from './mqtt/topics.ts';
import { lockDataDir } from './store/lock.ts';
import { DATABASE_FILE, SqliteStore } from './store/sqlite-store.ts';
import type { Clock } from './system/clock.ts';
import { factsReader } from './system/facts.ts';
import { startWatchdog, systemdNotifier } from './system/notify.ts';
import { Board } from './web/board.ts';
import { parseListen } from './web/listen.ts';
import { PageServer } from './web/server.ts';

export interface AgentParts {
  readonly config: Config;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** How many ports after the configured one the page may take. */
  readonly fallbackPorts?: number;
  /** Told of every forecast that is published. */
  readonly onForecast?: (forecast: Forecast) => void;
}

export interface Agent {
  /** null: the config wants no page. */
  readonly pageUrl: string | null;
  /** Within 5 s: what has arrived is handled, states are saved, `offline` is published. */
  stop(): Promise<void>;
}

const ALERTS_MS = 5000;
const HEALTH_MS = 60_000;
const SCORES_MS = 300_000;
/** How many of a stream's forecasts its scores look back on: the memory of `forecast/track.ts`. */
const SCORE_WINDOW = 1000;
/** Past inputs kept of each stream, so that another model can take it up with a state of its own. */
const WARM_UP_STEPS = 48;

/** @throws GatecastError LOCKED, STORE_NEWER, CONFIG_INVALID, USAGE; what had been started is stopped again */
export async function startAgent(parts: AgentParts): Promise<Agent> {
  const stops = new Stops(parts.clock, parts.log);
  try {
    return await start(parts, stops);
  } catch (error) {
    await stops.run();
    throw error;
  }
}

async function start(parts: AgentParts, stops: Stops): Promise<Agent> {
  const { config, clock, log, version } = parts;
  const { node, base, data_dir: dataDir } = config;

  // One agent a data directory.
  const lock = lockDataDir(dataDir);
  stops.add('lock', () => lock.release());

  // The store first: everything after it may be asked to remember.
  let storeFault: string | null = null;
  const store = SqliteStore.open({
    dir: dataDir,
    maxBytes: config.store.max_size,
    retentionMs: config.store.retention,
    clock,
    onFault: ({ kind, message }) => {
      if (kind === 'unavailable') storeFault = message;
      if (kind === 'recovered') storeFault = null;
      log[kind === 'recovered' ? 'info' : 'error'](`store ${kind}`, { message });
    },
  });
  stops.add('store', () => store.close());

  // The model, and the engine on it. Without a model the naive forecasters serve.
  const registry = new ModelRegistry(join(dataDir, 'models'));
  const slots = new ModelSlots(join(dataDir, 'models', 'slots.json'));
  const chosen = chooseGroupModel({ registry, slots, store, configured: config.model.name, log });
  if (chosen.model !== null) log.info('model loaded', { id: chosen.model.id, version: chosen.model.version });
  else log.error('no model, naive forecasts only', { reason: chosen.problem });
  const engine = new Engine(chosen.model, { warmUpSteps: WARM_UP_STEPS });
  stops.add('engine', () => engine.release());

  // The streams of former runs, where they were.
  const board = new Board((stream, beforeMs, most) => {
    const view = engine.streams().find(({ spec }) => spec.name === stream);
    return view ? chartPast(store, view, beforeMs, most) : [];
  });
  const router = createRouter(config);
  const known = new KnownStreams(store);
  const checkpoints = new Checkpoints(engine, store);
  const takeUp = async (streams: readonly KnownStream[]): Promise<void> => {
    for (const { spec } of streams) board.announce(spec.name, spec.unit);
    for (const { name, state, replayed } of await restoreStreams(engine, store, streams)) {
      checkpoints.add(name, state, replayed);
      if (state === 'rebuilt') log.warn('state rebuilt from stored samples', { stream: name, replayed });
    }
  };
  const startedMs = clock.monotonic();
  await takeUp(known.restore(router));
  log.info('streams restored', { streams: board.size, ms: Math.round(clock.monotonic() - startedMs) });

  // Out: the broker and what is said there.
  const topics = topicsOf(base, node);
  const status = { version, sinceMs: clock.now(), session: randomUUID() };
  const hold = new ClockHold(clock.monotonic());
  const filters = router.filters();
  const client = new Client({
    options: brokerOptions(config.mqtt, `${base}-${node}`.replaceAll('/', '-')),
    clock,
    random: Math.random,
    log,
    will: () => statusOf(topics, { ...status, state: 'offline' }),
    birth: () => [statusOf(topics, { ...status, state: 'online' })],
    message: (message) => pipeline.receive(message),
    changed: ({ connected, connects }) => {
      if (connected) hold.connected(clock.monotonic());
      if (connected && connects > 1) alerts.sayAgain();
    },
    formerFilters: swapFilters(store, filters),
  });
  client.setSubscriptions(filters.map((filter) => ({ filter, qos: config.mqtt.qos === 0 ? 0 : 1 })));
  const nameOf = ({ model }: ChosenModel) => ({
    id: model?.id ?? 'naive',
    version: model?.version ?? version,
  });
  const publisher = new Publisher({
    topics,
    send: (message) => client.publish(message),
    settings: () => ({
      quantiles: config.publish.quantiles,
      everyMs: config.publish.every,
      atMs: config.publish.at,
    }),
    model: () => nameOf(tuning.current),
  });

  const alerts = new Alerts({ store, now: clock.now, publish: (id, alert) => publisher.alert(id, alert) });

  // In: from a message to forecasts.
  const pipeline: Pipeline = new Pipeline({
    clock,
    router,
    engine,
    store,
    checkpoints,
    hold,
    batchMs: config.publish.batch_window,
    flushMs: config.store.flush,
    discovered: async (found) => {
      for (const stream of found) known.add(stream, stream.firstMs);
      await takeUp(found);
      known.save();
      log.info('streams discovered', { new: found.length, streams: board.size, first: found[0]?.spec.name });
    },
    request: ({ topic, payload }) => client.publish({ topic, payload, qos: 0, retain: false }),
    forecasts: (forecasts, nowMs) => {
      publisher.forecasts(forecasts, nowMs);
      tuning.observe(forecasts);
      for (const forecast of forecasts) {
        board.record(forecast, nowMs);
        for (const anomaly of alarms(forecast, config.publish.anomalies)) {
          publisher.anomaly(forecast.stream, anomaly);
          board.mark(forecast.stream, anomaly);
        }
        parts.onForecast?.(forecast);
      }
    },
    failed: (error) => log.error('forecasting failed', { reason: reasonOf(error) }),
  });

  // The page looks at all of it.
  const health = new Health({
    node,
    version,
    brokerUrl: config.mqtt.url,
    clock,
    model: () => tuning.current,
    lastRun: () => tuning.lastRun,
    store,
    storeFault: () => storeFault,
    failures: () => ({ count: engine.failures, last: engine.lastFailure }),
    router,
    pipeline,
    broker: () => client.status(),
    facts: factsReader(clock.monotonic),
    streams: () => board.size,
  });

  // The model learns from what is stored.
  const tuning: Tuning = new Tuning({
    settings: config.finetune,
    timeZone: resolveTimeZone(config.timezone),
    configured: config.model.name,
    chosen,
    registry,
    slots,
    clock,
    log,
    engine,
    pipeline: () => pipeline,
    store,
    database: join(dataDir, DATABASE_FILE),
    facts: () => health.machine(),
    switched: () => checkpoints.renewAll(),
    say: (group, input) => publisher.group(group, input),
  });

  const listen = parseListen(config.http.listen);
  let pageUrl: string | null = null;
  if (listen !== null) {
    const page = new PageServer({
      ...listen,
      fallbackPorts: parts.fallbackPorts ?? 0,
      board,
      status: () => health.pageStatus(),
      metrics: () => health.metrics(),
      clock,
    });
    pageUrl = await page.start();
    stops.add('page', () => page.stop());
    log.info('page', { url: pageUrl });
  }

  // Now it may begin. When it ends, what has arrived is handled while the broker still takes acknowledgements.
  client.start();
  stops.add('broker', () => client.stop([statusOf(topics, { ...status, state: 'offline' })], 1500));
  pipeline.start();
  stops.add('pipeline', async () => {
    await pipeline.stop();
    known.save();
    checkpoints.saveAll(clock.monotonic);
  });

  tuning.start();
  stops.add('tuning', () => tuning.stop());

  const checkAlerts = (): void =>
    alerts.check([
      ...health.ills(),
      ...rolledBack(slots.get(GROUP, config.model.name)),
      ...streamLimit(router.stats().streams, config.max_streams, router.dropped()['stream-limit'] ?? 0),
      ...(hold.mayClose(clock.monotonic()) ? staleStreams(engine.streams(), clock.now()) : []),
    ]);
  stops.add('timers', every(clock, ALERTS_MS, checkAlerts));

  const sayHealth = (): void => publisher.health({ ...health.message(), model: nameOf(tuning.current) });
  const sayScores = (): void => {
    tuning.say();
    for (const { name } of board.streams()) {
      const scores = engine.scores(name);
      if (scores.length > 0) publisher.score(name, scores, SCORE_WINDOW);
    }
  };
  stops.add('timers', every(clock, HEALTH_MS, sayHealth));
  stops.add('timers', every(clock, SCORES_MS, sayScores));
  stops.add(
    'timers',
    every(clock, HEALTH_MS, () => store.trim(clock.now())),
  );
  sayHealth();

  const notifier = systemdNotifier(process.env);
  stops.add(
    'watchdog',
    startWatchdog(notifier, clock, () => pipeline.rounds),
  );
  notifier.ready(`${board.size} streams`);
  stops.add('notifier', () => notifier.stopping());
  return { pageUrl, stop: () => stops.run() };
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
