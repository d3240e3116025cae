/**
 * The composition root: what starts, in which order, and what stops. Data flows from the broker through the pipeline to the
 * outputs and the page; the store hangs on the pipeline, everything else is a part of the list (`agent/part.ts`).
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Alerts } from './agent/alerts.ts';
import { type FormerReadings, formerReadings } from './agent/arrival-times.ts';
import { ClockHold } from './agent/clock-hold.ts';
import { type ConfigFile, Configurer } from './agent/configure.ts';
import { forecastHandler } from './agent/forecasts.ts';
import { chooseGroupModel } from './agent/groups.ts';
import { Health } from './agent/health.ts';
import { KnownAhead } from './agent/known-ahead.ts';
import { Link } from './agent/link.ts';
import { publishedName } from './agent/model.ts';
import { openStore } from './agent/open-store.ts';
import { Page } from './agent/page.ts';
import type { ConfigError, ConfigureOptions, Context, Part } from './agent/part.ts';
import { Pipeline } from './agent/pipeline.ts';
import { RateLimitedLog } from './agent/rate-limited-log.ts';
import { AgentRemote, type RemoteSession } from './agent/remote.ts';
import { Reports } from './agent/reports.ts';
import { Requests } from './agent/requests.ts';
import { Stops } from './agent/stops.ts';
import { AgentStreams } from './agent/streams.ts';
import { Systemd } from './agent/systemd.ts';
import { Tuning } from './agent/tuning.ts';
import { handlersOf } from './agent/verbs.ts';
import type { Config } from './config/index.ts';
import { errorText } from './errors.ts';
import { Engine } from './forecast/engine.ts';
import type { Forecast } from './forecast/forecast.ts';
import type { Logger } from './log.ts';
import { ModelRegistry } from './model/registry.ts';
import { ModelSlots } from './model/slots.ts';
import type { Outgoing } from './mqtt/outbox.ts';
import { topicsOf } from './mqtt/topics.ts';
import { Outputs, outputsOf } from './outputs/outputs.ts';
import { nodeAudience } from './remote/contract.ts';
import type { KeySet } from './remote/keys.ts';
import { diskFolder, remoteFolder } from './remote/open.ts';
import { SignedRequests } from './remote/signed-requests.ts';
import { lockDataDir } from './store/lock.ts';
import { DATABASE_FILE } from './store/sqlite-store.ts';
import { type Clock, startTime } from './system/clock.ts';
import { factsReader } from './system/facts.ts';

export interface AgentParts {
  readonly config: Config;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** How many ports after the configured one the page may take. */
  readonly fallbackPorts?: number;
  /** The config's file, for `reload`; left out where there is none. */
  readonly configFile?: ConfigFile;
  /** Called with the config when a change has been applied. */
  readonly onConfig?: (config: Config) => void;
  /** Remote config; left out where it is switched off. */
  readonly remote?: RemoteSession;
  /** Keys that may sign requests; none where left out. */
  readonly keys?: KeySet;
  /** Called with every forecast that is published. */
  readonly onForecast?: (forecast: Forecast) => void;
  /** Called when a part asks for a restart: the owner stops this agent and starts another. */
  readonly onRestart?: (reason: string) => void;
  /** More parts, for tests: before the broker in the list. */
  readonly moreParts?: readonly Part[];
}

export interface Agent {
  /** null: the config wants no page. */
  readonly pageUrl: string | null;
  readonly remote: AgentRemote | null;
  readonly parts: readonly Part[];
  readonly context: Context;
  /** Does what the request of that name does; the answer goes out as for a request. */
  reload(): void;
  /** Within 5 s: what has arrived is handled, states are saved, `offline` is published. */
  stop(): Promise<void>;
}

/** Past inputs kept of each stream, so that another model can begin with a warm state. */
const WARM_UP_STEPS = 32;

/** @throws GatecastError LOCKED, STORE_NEWER, CONFIG_INVALID, LISTEN_FAILED; what had been started is stopped again */
export async function startAgent(parts: AgentParts): Promise<Agent> {
  const stops = new Stops(parts.clock, parts.log);
  try {
    return await start(parts, stops);
  } catch (error) {
    await stops.run();
    throw error;
  }
}

async function start(given: AgentParts, stops: Stops): Promise<Agent> {
  const { clock, log, version } = given;
  const { node, base, data_dir: dataDir, model, finetune, timezone } = given.config;
  const config = (): Config => configurer.running;
  const between: Context['between'] = (action) => pipeline.between(action);
  const configurer: Configurer = new Configurer({
    config: given.config,
    parts: () => parts,
    streams: () => streams.specs().map(({ name }) => name),
    between,
    check: (wanted, running) =>
      wanted.model.name === running.model.name || registry.has(wanted.model.name)
        ? []
        : [noModel(wanted.model.name)],
    applied: (running, removed) => {
      for (const stream of removed) forget(stream);
      link.subscribe();
      remote?.runs(running);
      given.onConfig?.(running);
    },
    log,
  });

  // One agent for each data directory. Then the store, and the engine on its model; without a model the naive forecasters serve.
  const lock = lockDataDir(dataDir);
  stops.add('lock', () => lock.release());
  const { store, conditions: storeConditions } = openStore(config, clock, log);
  stops.add('store', () => store.close());
  const registry = new ModelRegistry(join(dataDir, 'models'));
  const slots = new ModelSlots(join(dataDir, 'models', 'slots.json'));
  const chosen = chooseGroupModel({ registry, slots, store, configured: model.name, log });
  if (chosen.model !== null) log.info('model loaded', { id: chosen.model.id, version: chosen.model.version });
  else log.error('no model, naive forecasts only', { reason: chosen.problem });
  const engine = new Engine(chosen.model, { warmUpSteps: WARM_UP_STEPS });
  stops.add('engine', () => engine.release());

  const modelName = () => publishedName(tuning.current, version);
  const since = startTime(clock);
  const hold: ClockHold = new ClockHold({
    clock,
    probe: (answered) => link.client.ping(answered),
    keptMs: () => (config().mqtt.qos === 0 ? 0 : config().mqtt.session_expiry),
  });
  let former: (stream: string) => FormerReadings | null = () => null;
  const warnings = new RateLimitedLog(clock);

  const ahead = new KnownAhead({ config: given.config, engine, store, clock, log });
  const streams = new AgentStreams({
    config: given.config,
    engine,
    store,
    clock,
    log,
    restored: (views) => {
      hold.resume(views.reduce((newest, { lastObservedMs }) => Math.max(newest, lastObservedMs ?? 0), 0));
      former = formerReadings(views, store);
    },
  });
  const common = {
    version,
    clock,
    log,
    store,
    topics: topicsOf(base, node),
    config,
    send: (message: Outgoing) => link.client.publish(message),
    resubscribe: () => link.subscribe(),
    between,
    configure: (wanted: Config, options?: ConfigureOptions) => configurer.configure(wanted, options),
    restart: (reason: string) => given.onRestart?.(reason),
  };
  const outputs = new Outputs(
    outputsOf({
      ...common,
      maxBytes: () => link.client.maxMessageBytes,
      streams: () => streams.specs(),
      model: modelName,
      sinceMs: since,
      session: randomUUID(),
    }),
    (output, reason) =>
      warnings.say(`${output} ${reason}`, (omitted) =>
        log.error('output failed', { output, reason, omitted }),
      ),
  );
  const context: Context = { ...common, outputs };
  const alerts = new Alerts({
    store,
    now: () => clock.now(),
    publish: (id, alert) => outputs.alert(id, alert),
  });
  const link: Link = new Link({
    config,
    clock,
    log,
    store,
    outputs,
    sensorFilters: () => streams.router.filters(),
    parts: () => parts,
    connected: (again, resumed) => {
      hold.connected(resumed);
      outputs.connected();
      remote?.connected();
      if (again) alerts.sayAgain();
    },
    answered: () => hold.answered(),
    lost: () => {
      hold.lost();
      pipeline.disconnected();
      outputs.disconnected();
    },
  });
  const pipeline: Pipeline = new Pipeline({
    clock,
    router: streams,
    engine,
    store,
    checkpoints: streams.checkpoints,
    hold,
    get batchMs() {
      return config().publish.batch_window;
    },
    get flushMs() {
      return config().store.flush;
    },
    formerReadings: (stream) => former(stream),
    get durability() {
      return config().store.durability;
    },
    storeFails: (failing) => link.storeFailing(failing),
    discovered: async (found) => {
      await streams.discovered(found);
      outputs.streams(found.map(({ spec }) => spec));
    },
    request: ({ topic, payload }) => context.send({ topic, payload, qos: 0, retain: false }),
    forecasts: (forecasts, nowMs) => handOut(forecasts, nowMs),
    failed: (error, omitted) => log.error('forecasting failed', { reason: errorText(error), omitted }),
  });
  const health = new Health({
    node,
    version,
    since,
    get brokerUrl() {
      return config().mqtt.url;
    },
    clock,
    model: () => tuning.current,
    lastRun: () => tuning.lastRun,
    store,
    storeConditions,
    failures: () => ({ count: engine.failures, last: engine.lastFailure }),
    router: streams,
    pipeline,
    outputs,
    broker: () => link.client.status(),
    facts: factsReader(clock.monotonic),
    streams: () => streams.size,
    configVersion: () => remote?.version ?? null,
  });
  const tuning: Tuning = new Tuning({
    settings: finetune,
    timeZone: timezone,
    configured: model.name,
    chosen,
    registry,
    slots,
    clock,
    log,
    engine,
    between,
    store,
    database: join(dataDir, DATABASE_FILE),
    facts: () => health.machine(),
    switched: () => streams.checkpoints.renewAll(),
    say: (group, status) => outputs.group(group, status),
  });
  const remote: AgentRemote | null =
    given.remote === undefined
      ? null
      : new AgentRemote({
          ...context,
          session: given.remote,
          connected: () => link.client.status().connected,
          streams: () => engine.streams().map(({ spec: { name }, intervalMs }) => ({ name, intervalMs })),
          errors: () => alerts.errors(),
        });
  const handOut = forecastHandler({ ...context, streams, tuning, remote, onForecast: given.onForecast });
  const forget = (stream: string): void => {
    for (const part of parts) part.forget?.(stream);
  };
  const { configFile, fallbackPorts = 0 } = given;
  const requests = new Requests({
    topics: context.topics,
    clock,
    settings: () => config().requests,
    signatures: new SignedRequests({
      keys: given.keys ?? new Map(),
      audience: nodeAudience(base, node),
      folder: diskFolder(remoteFolder(dataDir)),
      now: clock.now,
      clockIsSet: () => ClockHold.sane(clock.now()),
    }),
    handlers: handlersOf({ ...context, configFile, streams, tuning, forget }),
    send: context.send,
    log,
  });
  const page = new Page({
    fallbackPorts,
    board: streams.board,
    status: () => health.pageStatus(),
    metrics: () => health.metrics(),
    clock,
  });

  // Started in this order, stopped in reverse order; a config change applies in this order too.
  const parts: readonly Part[] = [
    ahead,
    streams,
    ...outputs.list,
    page,
    requests,
    ...(remote === null ? [] : [remote]),
    ...(given.moreParts ?? []),
    link,
    pipeline,
    tuning,
    new Reports({
      remote: () => remote?.conditions() ?? [],
      config,
      clock,
      log,
      hold,
      alerts,
      health,
      outputs,
      engine,
      streams,
      slots,
      store,
      tuning,
      model: modelName,
    }),
    new Systemd(pipeline, () => streams.size),
  ];
  for (const part of parts) {
    await part.start?.(context);
    if (part.stop !== undefined) stops.add(part.name, () => part.stop?.());
  }
  for (const stream of streams.gone) forget(stream);
  return {
    pageUrl: page.url,
    remote,
    parts,
    context,
    reload: () => requests.ask('reload'),
    stop: () => stops.run(),
  };
}

const noModel = (name: string): ConfigError => ({
  part: 'model',
  path: 'model.name',
  message: `there is no model '${name}' on this gateway`,
  hint: 'Import it with `gatecast model import`, or name one that `gatecast model list` shows.',
});
