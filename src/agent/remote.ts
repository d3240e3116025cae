/**
 * Connects remote config to the agent: the topics it subscribes to, the agent data that probation checks, and the
 * way a config is applied. The `remote` room defines pushes and decides about them.
 */

import { join } from 'node:path';
import { type Config, configHash } from '../config/index.ts';
import type { Engine } from '../forecast/engine.ts';
import type { StreamView } from '../forecast/engine-contract.ts';
import type { Forecast } from '../forecast/forecast.ts';
import type { Incoming } from '../mqtt/connection.ts';
import { isCovered } from '../mqtt/subscriptions.ts';
import type { LayerName } from '../remote/contract.ts';
import type { KeySet } from '../remote/keys.ts';
import type { LocalFile } from '../remote/layers.ts';
import { ModelIntake } from '../remote/model-intake.ts';
import { type RemoteStart, remoteFolder } from '../remote/open.ts';
import { ACTIVE_INTERVALS, type AgentVitals } from '../remote/probation.ts';
import { RemoteConfig } from '../remote/remote-config.ts';
import { FEATURES } from '../series/features.ts';
import { isClockSet } from '../system/clock.ts';
import type { Alerts, Condition } from './alerts.ts';
import type { Counts } from './drops.ts';
import type { Link } from './link.ts';
import type { AgentModels } from './model.ts';
import type { Context, NewConnection, Part } from './part.ts';
import type { AgentStreams } from './streams.ts';
import type { TuningPart } from './tuning.ts';

/** Made before the agent starts, because it decides what config the agent starts with. */
export interface RemoteSession {
  readonly opened: RemoteStart;
  readonly keys: KeySet;
  /** Config of the local file without remote config. */
  readonly local: Config;
  readonly file: () => LocalFile;
}

interface AgentRemoteParts extends Omit<Context, 'session'> {
  readonly session: RemoteSession;
  readonly engine: Pick<Engine, 'streams' | 'failures'>;
  readonly models: AgentModels;
  readonly tuning: Pick<TuningPart, 'problem' | 'judge'>;
  readonly link: Link;
  readonly streams: Pick<AgentStreams, 'filters' | 'late' | 'lastReadings' | 'beginTrial' | 'endTrial'>;
  readonly alerts: Pick<Alerts, 'harmful'>;
  /** So that a push is judged by what holds now: an alert says more than the memory that its cause takes. */
  readonly checkAlerts: () => void;
}

type ActiveStream = Pick<StreamView, 'spec' | 'intervalMs' | 'lastObservedMs'>;

const MB = 1024 * 1024;
/** A slow start, with the backlog of the broker, may take this long until the first forecast of a restored stream, ms. */
const RESTORED_MS = 30_000;
/**
 * For so long after a connection the session that the broker had kept may deliver a push again: one that it has sent as a retained message
 * before, or whose acknowledgement was lost, ms.
 */
const COPIES_MS = 60_000;

export class AgentRemote implements Part {
  readonly name = 'remote config';
  private readonly remote: RemoteConfig;
  private readonly models: ModelIntake;
  /** Layers by topic. */
  private readonly layers: ReadonlyMap<string, LayerName>;
  /** By stream: time of its last forecast, ms of the monotonic clock, and number of forecasts in this run. */
  private readonly forecasts = new Map<string, { lastMs: number; count: number }>();
  /**
   * Streams that were active at the end of the previous run; null until they are restored. They count as active until they have
   * had time for a forecast.
   */
  private restored: ReadonlySet<string> | null = null;
  /** Monotonic time of the start, or at which streams were last seen to be restored, ms. */
  private startedMs = 0;
  /** Wall time of the last reading of the previous run, ms. */
  private formerMs = 0;
  /** Topics of pushes that a rule reads, too, and the filters for which this was computed. */
  private covered: ReadonlySet<string> = new Set();
  private coveredBy: readonly string[] = [];

  /** Monotonic time of the last connection with a session that the broker had kept, ms. */
  private resumedMs = Number.NEGATIVE_INFINITY;

  constructor(private readonly parts: AgentRemoteParts) {
    const { session, clock, log, topics, send, configure, restart } = parts;
    const { local, opened, keys, file } = session;
    this.layers = new Map<string, LayerName>([
      [topics.configDesired, 'node'],
      ...local.remote_config.groups.map((group): [string, LayerName] => [
        topics.fleetConfigDesired(group),
        `fleet:${group}`,
      ]),
    ]);
    this.models = new ModelIntake({
      folder: join(remoteFolder(local.data_dir), 'model'),
      registry: parts.models.registry,
      features: FEATURES,
      ca: local.remote_config.ca,
      clock,
      log,
      have: (name, have) =>
        send({
          topic: topics.modelHave(name),
          payload: JSON.stringify(have),
          qos: 0,
          retain: false,
          newestOnly: true,
        }),
      changed: () => parts.resubscribe(),
    });
    this.remote = new RemoteConfig({
      life: opened.life,
      clock,
      log,
      file,
      local,
      keys,
      models: this.models,
      host: {
        configure,
        restart,
        trialEnded: () => {
          parts.streams.endTrial();
          parts.resubscribe();
        },
        vitals: () => this.vitals(),
        restoring: () => this.restoring(),
        clockIsSet: () => isClockSet(clock.now()),
        report: (reported, retain) =>
          send({ topic: topics.configReported, payload: JSON.stringify(reported), qos: 1, retain }),
        judgeModel: (elapsedMs, lengthMs) => parts.tuning.judge(elapsedMs, lengthMs),
      },
    });
  }

  filters(): readonly string[] {
    const { modelChunks } = this.parts.topics;
    return [...this.layers.keys(), ...(this.models.wantsChunks ? [modelChunks] : [])];
  }

  start(): void {
    this.startedMs = this.parts.clock.monotonic();
    this.formerMs = this.parts.streams
      .lastReadings()
      .reduce((newest, { lastObservedMs }) => Math.max(newest, lastObservedMs ?? 0), 0);
    this.restoring();
    const { before } = this.parts.session.opened;
    if (before !== null) this.parts.streams.beginTrial(before);
    this.remote.start(this.parts.session.opened.hash);
  }

  stop(): Promise<void> {
    return this.remote.stop();
  }

  /** @returns false if the message is not for remote config */
  receive({ topic, payload, retained, acknowledge }: Incoming): boolean {
    const layer = this.layers.get(topic);
    if (layer === undefined) return this.receiveChunk(topic, payload, acknowledge);
    // Not after it is processed, so that a push that crashes the agent is seldom redelivered; `push-lifecycle.ts` counts the crashes.
    acknowledge?.();
    const mayRepeat = retained || this.parts.clock.monotonic() - this.resumedMs < COPIES_MS;
    this.remote.receive(layer, payload, mayRepeat, this.mayComeTwice(topic));
    return true;
  }

  /** @returns false if the message is not a chunk of a model */
  private receiveChunk(topic: string, payload: Uint8Array, acknowledge: Incoming['acknowledge']): boolean {
    const chunk = this.parts.topics.chunkOf(topic);
    if (chunk === null) return false;
    this.models.chunk(chunk.name, chunk.number, payload);
    acknowledge?.();
    return true;
  }

  observe(forecasts: readonly Forecast[]): void {
    const nowMs = this.parts.clock.monotonic();
    for (const { stream } of forecasts) {
      const known = this.forecasts.get(stream);
      if (known === undefined) this.forecasts.set(stream, { lastMs: nowMs, count: 1 });
      else {
        known.lastMs = nowMs;
        known.count += 1;
      }
    }
  }

  forget(stream: string): void {
    this.forecasts.delete(stream);
  }

  connected({ resumed }: NewConnection): void {
    if (resumed) this.resumedMs = this.parts.clock.monotonic();
    this.remote.report();
  }

  /** Called for every applied config from any source. */
  configured(config: Config): void {
    this.remote.runs(configHash(config));
  }

  dropped(): Counts {
    const { dropped } = this.parts.session.opened.life;
    return dropped === 0 ? {} : { 'push-unread': dropped };
  }

  /** Version of the newest applied push; null: only the local file applies. */
  get version(): number | null {
    return this.parts.session.opened.life.reported().effective.version;
  }

  conditions(): Condition[] {
    const { opened, local } = this.parts.session;
    const found: Condition[] = [];
    const text = opened.life.unusedBecause ?? opened.problem;
    if (text !== null) found.push({ id: 'remote-config', severity: 'warning', text });
    if (local.remote_config.unsigned)
      found.push({
        id: 'remote-config',
        severity: 'warning',
        text: 'remote_config.unsigned: anyone who may publish to this gateway can configure it',
      });
    return found;
  }

  /** Whether a rule reads the topic, too. Computed once for each config: a flood of pushes must not pay for it. */
  private mayComeTwice(topic: string): boolean {
    const filters = this.parts.streams.filters();
    if (filters !== this.coveredBy) {
      this.coveredBy = filters;
      this.covered = new Set([...this.layers.keys()].filter((one) => isCovered(one, filters)));
    }
    return this.covered.has(topic);
  }

  private activeMs({ spec: { name }, lastObservedMs }: ActiveStream): number | null {
    const forecast = this.forecasts.get(name);
    if (forecast !== undefined) return forecast.lastMs;
    const { clock } = this.parts;
    const heardMs = this.heardMs(lastObservedMs);
    if (this.restored?.has(name) !== true) return heardMs;
    return Math.max(Math.min(clock.monotonic(), this.startedMs + RESTORED_MS), heardMs ?? 0);
  }

  private restoring(): boolean {
    const restoring = this.parts.streams.late.size > 0;
    if (restoring) this.startedMs = this.parts.clock.monotonic();
    else this.restored ??= new Set(inUse(this.parts.engine.streams(), this.formerMs));
    return restoring;
  }

  private heardMs(lastObservedMs: number | null): number | null {
    const { clock } = this.parts;
    return lastObservedMs === null ? null : clock.monotonic() - Math.max(0, clock.now() - lastObservedMs);
  }

  private vitals(): AgentVitals {
    const { link, engine, alerts, tuning, checkAlerts } = this.parts;
    checkAlerts();
    return {
      connected: link.client.status().connected,
      streams: engine.streams().map((stream) => ({
        name: stream.spec.name,
        intervalMs: stream.intervalMs,
        activeMs: this.activeMs(stream),
        heardMs: this.heardMs(stream.lastObservedMs),
        forecasts: this.forecasts.get(stream.spec.name)?.count ?? 0,
      })),
      rssMb: process.memoryUsage.rss() / MB,
      alerts: alerts.harmful(),
      stepFailures: engine.failures,
      modelProblem: tuning.problem,
    };
  }
}

/** Names of restored streams that had readings until the end of the previous run. */
function inUse(streams: readonly ActiveStream[], newestMs: number): string[] {
  return streams
    .filter(
      ({ intervalMs, lastObservedMs }) =>
        lastObservedMs !== null && newestMs - lastObservedMs <= ACTIVE_INTERVALS * (intervalMs ?? 0),
    )
    .map(({ spec }) => spec.name);
}
