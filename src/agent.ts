/**
 * The composition root: what starts, in which order, and what stops. Data flows from the broker through the pipeline to the
 * outputs and the page; the store hangs on the pipeline, everything else is a part of the list (`agent/part.ts`).
 */
import { randomUUID } from 'node:crypto';
import { Alerts } from './agent/alerts.ts';
import { createClockHold } from './agent/clock-hold.ts';
import { Configurer } from './agent/configure.ts';
import type { Agent, AgentOptions } from './agent/contract.ts';
import { forecastHandler } from './agent/forecasts.ts';
import { GROUP } from './agent/groups.ts';
import { Health } from './agent/health.ts';
import { KnownAhead } from './agent/known-ahead.ts';
import { Link } from './agent/link.ts';
import { LoggedErrors } from './agent/logged-errors.ts';
import { publishedName } from './agent/model.ts';
import { openData } from './agent/open.ts';
import { Page } from './agent/page.ts';
import type { Context, Part } from './agent/part.ts';
import { createPipeline, type Pipeline } from './agent/pipeline.ts';
import { AgentRemote } from './agent/remote.ts';
import { Reports } from './agent/reports.ts';
import { createRequests } from './agent/requests.ts';
import type { SitePart, SiteParts } from './agent/site.ts';
import { Stops } from './agent/stops.ts';
import { AgentStreams } from './agent/streams.ts';
import { Systemd } from './agent/systemd.ts';
import { TuningPart } from './agent/tuning.ts';
import type { Config } from './config/index.ts';
import { topicsOf } from './mqtt/topics.ts';
import { createOutputs } from './outputs/outputs.ts';
import { startTime } from './system/clock.ts';

/** A worker of a site takes its readings from there. */
const takesSensors = ({ site }: Config): boolean => site === undefined || site.role.includes('bridge');
const NO_SENSORS = { filters: () => [] };

/** Loads the part, and with it the NATS clients, only if the config has a site. */
async function createSite(context: Context, parts: Omit<SiteParts, 'settings'>): Promise<SitePart | null> {
  const { site: settings } = context.config();
  if (settings === undefined) return null;
  const { SitePart } = await import('./agent/site.ts');
  return new SitePart(context, { ...parts, settings });
}

/** @throws GatecastError LOCKED, STORE_NEWER, CONFIG_INVALID, LISTEN_FAILED; what had been started is stopped again */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const stops = new Stops(options.clock, options.log);
  try {
    return await start(options, stops);
  } catch (error) {
    await stops.run();
    throw error;
  }
}

async function start(options: AgentOptions, stops: Stops): Promise<Agent> {
  const { config, version, clock, remote: session, document, fallbackPorts } = options;
  const errors = new LoggedErrors();
  const log = errors.counted(options.log);
  const running = { config };
  const opened = openData({ ...options, log }, () => running.config, stops);

  // What every part may use. These functions call parts that are made below.
  const context: Context = {
    version,
    clock,
    log,
    store: opened.store,
    topics: topicsOf(config.base, config.node),
    since: startTime(clock),
    session: randomUUID(),
    config: () => running.config,
    send: (message) => link.send(message),
    maxMessageBytes: () => link.client.maxMessageBytes,
    resubscribe: () => link.subscribe(),
    between: (action) => pipeline.between(action),
    configure: (wanted, how) => configurer.configure(wanted, how),
    forget: (stream) => {
      for (const part of parts) part.forget?.(stream);
    },
    restart: (reason) => options.onRestart?.(reason),
  };
  /** The context of one part: its log lines name it. */
  const contextOf = (part: string): Context => ({ ...context, log: log.with({ part }) });
  const specs = () => streams.specs();
  const modelName = () => publishedName(opened.models.current, version);

  const configurer: Configurer = new Configurer({
    ...contextOf('config'),
    running,
    streams: specs,
    parts: () => parts,
    onConfig: options.onConfig,
  });
  const ahead = new KnownAhead({ ...contextOf('known ahead'), engine: opened.engine });
  // A push on trial is judged by the streams of the former run.
  const atOnce = session?.opened.onTrial === true ? { atOnce: Number.POSITIVE_INFINITY } : {};
  const streams = new AgentStreams({ ...contextOf('streams'), engine: opened.engine, ...atOnce });
  const outputs = createOutputs({ ...contextOf('outputs'), streams: specs, model: modelName, group: GROUP });
  const link: Link = new Link({
    ...contextOf('broker'),
    outputs,
    streams: takesSensors(config) ? streams : NO_SENSORS,
    parts: () => parts,
    pipeline: () => (site?.isBridge === true ? site : pipeline),
  });
  const hold = createClockHold(contextOf('clock'), link, streams);
  const site = await createSite(contextOf('site'), { ...opened, streams, hold, modelName });
  const alerts = new Alerts({ ...context, outputs });
  const tuning = new TuningPart({ ...contextOf('fine-tuning'), ...opened, streams, outputs });
  const checkAlerts = () => reports.checkAlerts();
  const pushes = { ...contextOf('remote config'), ...opened, streams, tuning, link, alerts, checkAlerts };
  const remote = session === undefined ? null : new AgentRemote({ ...pushes, session });

  const made = { ...opened, ahead, streams, outputs, link, hold, site, alerts, tuning, remote };
  const forecasts = forecastHandler({ ...contextOf('forecasts'), ...made, onForecast: options.onForecast });
  const pipeline: Pipeline = createPipeline(contextOf('pipeline'), { ...made, forecasts });
  const health = new Health({ ...context, ...made, errors, pipeline });
  const { configFile, keys } = options;
  const requests = createRequests(contextOf('requests'), { ...made, configFile, keys });
  const page = new Page({ ...made, health, requests, session, document, fallbackPorts });
  const reports = new Reports({ ...contextOf('reports'), ...made, health });

  // Started in this order, stopped in reverse order; a config change applies in this order too.
  const parts: readonly Part[] = [
    ahead,
    streams,
    hold,
    ...outputs.list,
    page,
    requests,
    ...(remote === null ? [] : [remote]),
    alerts,
    ...(site === null ? [] : [site]),
    ...(options.moreParts ?? []),
    link,
    pipeline,
    tuning,
    reports,
    new Systemd(pipeline, streams),
  ];
  for (const part of parts) {
    await part.start?.(contextOf(part.name));
    if (part.stop !== undefined) stops.add(part.name, () => part.stop?.());
  }
  for (const stream of streams.gone) context.forget(stream);
  return { pageUrl: page.url, parts, context, reload: () => requests.ask('reload'), stop: () => stops.run() };
}
