/**
 * The composition root: what starts, in which order, and what stops. Data flows from the broker through the pipeline
 * to the publisher and the page; the store hangs on the pipeline, everything else on the timers named at the end.
 */

import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Alerts } from './agent/alerts.ts';
import { Announcer } from './agent/announcer.ts';
import { formerReadings } from './agent/arrival-times.ts';
import { ClockHold } from './agent/clock-hold.ts';
import { chooseGroupModel } from './agent/groups.ts';
import { Health } from './agent/health.ts';
import { swapLeads } from './agent/leads.ts';
import { Link } from './agent/link.ts';
import { type ChosenModel, publishedName } from './agent/model.ts';
import { openStore } from './agent/open-store.ts';
import { startPage } from './agent/page.ts';
import { Pipeline } from './agent/pipeline.ts';
import { type ConfigFile, configure, reload } from './agent/reload.ts';
import { AgentRemote, type RemoteSession } from './agent/remote.ts';
import { startReports } from './agent/reports.ts';
import { Requests } from './agent/requests.ts';
import { Stops } from './agent/stops.ts';
import { AgentStreams } from './agent/streams.ts';
import { Tuning } from './agent/tuning.ts';
import { deedsOf } from './agent/verbs.ts';
import { type Config, formatDuration } from './config/index.ts';
import { errorText } from './errors.ts';
import { alarms } from './forecast/anomalies.ts';
import { Engine } from './forecast/engine.ts';
import type { Forecast } from './forecast/forecast.ts';
import type { Logger } from './log.ts';
import { ModelRegistry } from './model/registry.ts';
import { ModelSlots } from './model/slots.ts';
import { HomeAssistant } from './mqtt/home-assistant.ts';
import type { Outgoing } from './mqtt/outbox.ts';
import { Publisher, statusOf } from './mqtt/publisher.ts';
import { topicsOf } from './mqtt/topics.ts';
import { lockDataDir } from './store/lock.ts';
import { DATABASE_FILE } from './store/sqlite-store.ts';
import { type Clock, startTime } from './system/clock.ts';
import { factsReader } from './system/facts.ts';
import { startWatchdog, systemdNotifier } from './system/notify.ts';

export interface AgentParts {
  readonly config: Config;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** How many ports after the configured one the page may take. */
  readonly fallbackPorts?: number;
  /** The config's file, for `reload`; left out where there is none. */
  readonly configFile?: ConfigFile;
  /** Told of the config when a reload has changed it. */
  readonly onConfig?: (config: Config) => void;
  /** Remote config; left out where it is switched off. */
  readonly remote?: RemoteSession;
  /** Called when the config needs another start: the owner stops this agent and starts another. */
  readonly onRestart?: (reason: string) => void;
  /** Told of every forecast that is published. */
  readonly onForecast?: (forecast: Forecast) => void;
}

export interface Agent {
  /** null: the config wants no page. */
  readonly pageUrl: string | null;
  readonly remote: AgentRemote | null;
  /** As the request of that name, answer included. */
  reload(): void;
  /** Within 5 s: what has arrived is handled, states are saved, `offline` is published. */
  stop(): Promise<void>;
}

/** Past inputs kept of each stream, so that another model can take it up with a state of its own. */
const WARM_UP_STEPS = 32;

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
  const { clock, log, version } = parts;
  // A reload replaces it: what may change while running is asked for each time.
  let config = parts.config;
  const { node, base, data_dir: dataDir } = config;

  // One agent a data directory.
  const lock = lockDataDir(dataDir);
  stops.add('lock', () => lock.release());

  // The store first: everything after it may be asked to remember.
  const { store, conditions: storeConditions } = openStore(() => config, clock, log);
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
  const streams = new AgentStreams({ config, engine, store, clock, log });
  const gone = await streams.restore();

  // Out: the broker and what is said there.
  const topics = topicsOf(base, node);
  const status = { version, since: startTime(clock), session: randomUUID() };
  const hold = new ClockHold({
    clock,
    probe: (answered) => link.client.ping(answered),
    keptMs: () => (config.mqtt.qos === 0 ? 0 : config.mqtt.session_expiry),
  });
  const known = engine.streams();
  hold.resume(known.reduce((newest, { lastObservedMs }) => Math.max(newest, lastObservedMs ?? 0), 0));
  const home = new HomeAssistant({
    prefix: config.publish.discovery_prefix,
    base,
    node,
    version,
    topics,
    settings: () => ({ quantiles: config.publish.quantiles, atMs: config.publish.at }),
  });
  const send = (message: Outgoing): void => link.client.publish(message);
  const announcer = new Announcer({
    home,
    enabled: () => config.publish.home_assistant,
    streams: () => streams.specs(),
    send,
    store,
    clock,
  });
  stops.add('announcer', () => announcer.stop());
  const link = new Link({
    config: () => config,
    clock,
    log,
    store,
    topics,
    status: (state) => statusOf(topics, { ...status, sinceMs: status.since(), state }),
    filters: () => streams.router.filters(),
    sensor: (message) => pipeline.receive(message),
    request: (message) => requests.receive(message),
    ahead: streams.ahead,
    remote: () => remote,
    home: { topic: home.statusTopic, heard: (message) => announcer.heard(message) },
    connected: (again, resumed) => {
      hold.connected(resumed);
      announcer.announce();
      remote?.connected();
      if (again) alerts.sayAgain();
    },
    answered: () => hold.answered(),
    lost: () => {
      hold.lost();
      pipeline.disconnected();
      announcer.pause();
    },
  });
  const publisher = new Publisher({
    topics,
    send,
    maxBytes: () => link.client.maxMessageBytes,
    settings: () => ({
      quantiles: config.publish.quantiles,
      everyMs: config.publish.every,
      atMs: config.publish.at,
    }),
    model: () => publishedName(tuning.current, version),
  });

  const alerts = new Alerts({
    store,
    now: () => clock.now(),
    publish: (id, alert) => publisher.alert(id, alert),
  });

  // What a former run, or the config before a reload, left with the broker.
  const tidy = (gone: readonly string[]): void => {
    const leads = config.publish.at.map(formatDuration);
    const former = swapLeads(store, leads).filter((lead) => !leads.includes(lead));
    for (const name of [...streams.specs().map((spec) => spec.name), ...gone])
      publisher.forgetLeads(name, former);
    for (const stream of gone) publisher.forget(stream);
  };
  publisher.resume(streams.specs().map(({ name }) => name));
  tidy(gone);

  // In: from a message to forecasts.
  const pipeline: Pipeline = new Pipeline({
    clock,
    router: streams,
    engine,
    store,
    checkpoints: streams.checkpoints,
    hold,
    get batchMs() {
      return config.publish.batch_window;
    },
    get flushMs() {
      return config.store.flush;
    },
    formerReadings: formerReadings(known, store),
    get durability() {
      return config.store.durability;
    },
    storeFails: (failing) => link.storeFailing(failing),
    discovered: async (found) => {
      await streams.discovered(found);
      announcer.add(found.map(({ spec }) => spec));
    },
    request: ({ topic, payload }) => send({ topic, payload, qos: 0, retain: false }),
    forecasts: (forecasts, nowMs) => {
      publisher.forecasts(forecasts, nowMs);
      tuning.observe(forecasts);
      remote?.observe(forecasts);
      for (const forecast of forecasts) {
        streams.board.record(forecast, nowMs);
        for (const anomaly of alarms(forecast, config.publish.anomalies)) {
          publisher.anomaly(forecast.stream, anomaly);
          streams.board.mark(forecast.stream, anomaly);
        }
        parts.onForecast?.(forecast);
      }
    },
    failed: (error, omitted) => log.error('forecasting failed', { reason: errorText(error), omitted }),
  });

  // The page looks at all of it.
  const health = new Health({
    node,
    version,
    since: status.since,
    brokerUrl: config.mqtt.url,
    clock,
    model: () => tuning.current,
    lastRun: () => tuning.lastRun,
    store,
    storeConditions,
    failures: () => ({ count: engine.failures, last: engine.lastFailure }),
    router: streams,
    pipeline,
    publisher,
    broker: () => link.client.status(),
    facts: factsReader(clock.monotonic),
    streams: () => streams.size,
    configVersion: () => remote?.version ?? null,
  });

  // The model learns from what is stored.
  const tuningWith = (chosen: ChosenModel): Tuning =>
    new Tuning({
      settings: config.finetune,
      timeZone: config.timezone,
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
      switched: () => streams.checkpoints.renewAll(),
      say: (group, input) => publisher.group(group, input),
    });
  let tuning = tuningWith(chosen);

  const restartTuning = async (): Promise<void> => {
    await tuning.stop();
    tuning = tuningWith(tuning.current);
    tuning.start();
  };

  /** Goes over to a config whose changes need no restart. @returns the streams that are not read any more */
  const take = async (next: Config): Promise<readonly string[]> => {
    const { removed } = await pipeline.between(() => streams.reconfigure(next));
    config = next;
    for (const stream of removed) {
      announcer.forget(stream);
      tuning.forget(stream);
      remote?.forget(stream);
    }
    tidy(removed);
    link.subscribe();
    announcer.announce();
    remote?.runs(next);
    parts.onConfig?.(next);
    return removed;
  };
  const remote: AgentRemote | null =
    parts.remote === undefined
      ? null
      : new AgentRemote({
          session: parts.remote,
          clock,
          log,
          topics,
          send,
          configure: (wanted, { dryRun }) =>
            configure({ running: config, wanted, dryRun, take, restartTuning, registry }),
          restart: (reason) => parts.onRestart?.(reason),
          connected: () => link.client.status().connected,
          streams: () => engine.streams().map(({ spec: { name }, intervalMs }) => ({ name, intervalMs })),
          errors: () => alerts.errors(),
        });

  // What an owner may ask for.
  const requests: Requests = new Requests({
    topics,
    clock,
    settings: () => config.requests,
    deeds: deedsOf({
      dataDir,
      configFile: parts.configFile?.path ?? null,
      clock,
      streams,
      pipeline,
      tuning: () => tuning,
      publisher,
      announcer,
      store,
      reload: () =>
        reload({
          file: parts.configFile,
          running: config,
          take,
          restartTuning,
          log,
        }),
    }),
    send,
    log,
  });

  const pageUrl = await startPage(config.http.listen, stops, log, {
    fallbackPorts: parts.fallbackPorts ?? 0,
    board: streams.board,
    status: () => health.pageStatus(),
    metrics: () => health.metrics(),
    clock,
  });

  remote?.start();
  if (remote !== null) stops.add('remote config', () => remote.stop());
  // Now it may begin. When it ends, what has arrived is handled while the broker still takes acknowledgements.
  link.subscribe();
  link.client.start();
  stops.add('broker', () => link.stop(1500));
  pipeline.start();
  stops.add('pipeline', async () => {
    await pipeline.stop();
    streams.save();
  });
  tuning.start();
  stops.add('tuning', () => tuning.stop());

  stops.add(
    'reports',
    startReports({
      config: () => config,
      clock,
      log,
      hold,
      alerts,
      health,
      remote: () => remote?.conditions() ?? [],
      publisher,
      engine,
      streams,
      slots,
      store,
      tuning: () => tuning,
      modelName: () => publishedName(tuning.current, version),
    }),
  );
  stops.add('known ahead', streams.ahead.start());
  const notifier = systemdNotifier(process.env);
  stops.add(
    'watchdog',
    startWatchdog(notifier, clock, () => pipeline.progress),
  );
  notifier.ready(`${streams.size} streams`);
  stops.add('notifier', () => notifier.stopping());
  return { pageUrl, remote, reload: () => requests.ask('reload'), stop: () => stops.run() };
}
