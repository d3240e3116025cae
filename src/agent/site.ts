/**
 * The agent as a member of a site (`docs/site.md`). As a bridge it takes every sensor message before the pipeline and sends its
 * readings to the site; as a worker it forecasts partitions of the site. The pipeline and the store of this agent then have no
 * streams of their own.
 */
import { getHeapStatistics } from 'node:v8';
import { type Config, streamCovariates } from '../config/index.ts';
import { errorText, GatecastError } from '../errors.ts';
import type { Forecast } from '../forecast/forecast.ts';
import type { Model } from '../forecast/model.ts';
import type { Incoming } from '../mqtt/connection.ts';
import { topicsOf } from '../mqtt/topics.ts';
import { ForecastText } from '../outputs/json/forecast-text.ts';
import { JsonTopics } from '../outputs/json/json-topics.ts';
import { digitsOf } from '../outputs/json/messages.ts';
import type { ModelName } from '../outputs/output.ts';
import { SiteBridge } from '../site/bridge.ts';
import { LogWriter } from '../site/log-writer.ts';
import { memberKey } from '../site/names.ts';
import { openSite, removeKey, type Site, type SiteConfig } from '../site/nats.ts';
import { ModelRelay } from '../site/set-model.ts';
import { sharedModel } from '../site/shared-model.ts';
import { readMembers, readPartitions } from '../site/status.ts';
import { SiteWorker } from '../site/worker.ts';
import type { Facts } from '../system/facts.ts';
import { allowHeapGrowth } from '../system/heap.ts';
import { memoryLimit } from '../system/memory-limit.ts';
import { RateLimitedLog } from '../system/rate-limited-log.ts';
import { counter, gauge, type MetricFamily } from '../web/metrics.ts';
import type { SiteView } from '../web/views.ts';
import type { Condition } from './alerts.ts';
import type { ClockHold } from './clock-hold.ts';
import type { Counts } from './drops.ts';
import { every } from './every.ts';
import { Inbox } from './inbox.ts';
import type { AgentModels } from './model.ts';
import type { Change, Context, Part } from './part.ts';
import { openSiteModel } from './site-model.ts';
import { SiteTuning } from './site-tuning.ts';
import type { AgentStreams } from './streams.ts';

export interface SiteParts {
  readonly settings: SiteConfig;
  readonly streams: Pick<AgentStreams, 'message'>;
  readonly hold: ClockHold;
  /** The one that is current at the start forecasts until the log names another one; null: only the naive forecasters do. */
  readonly models: AgentModels;
  readonly facts: () => Facts;
  readonly modelName: () => ModelName;
}

/** A batch is sent when this many messages wait for their acknowledgement, because the broker may send no more until then. */
const GATHER_MOST = 16;
/** Pauses between attempts to reach NATS, ms. */
const RETRY_MS = [500, 1000, 2000, 5000, 10_000];
/** Several times a second, so that probes are sent at other times than the readings of sensors that send once a second, ms. */
const BEAT_MS = 250;
/** Messages that have waited this long for JetStream may keep the MQTT broker from sending others, ms. */
const STALL_MS = 500;
/** Time that a stop may take, ms: less than any part may take (`stops.ts`). */
const STOP_MS = 1800;
/** A server that does not answer for this long raises an alert, ms. */
const SILENT_MS = 10_000;

export class SitePart implements Part {
  readonly name = 'site';
  readonly isBridge: boolean;
  private readonly isWorker: boolean;
  private readonly inbox: Inbox;
  private readonly warnings: RateLimitedLog;
  private readonly mqtt: JsonTopics | null;
  private readonly model: Model | null;
  /** Names of the models that the site was given, by hash. */
  private readonly names = new Map<string, ModelName>();
  /** The model of the forecasts that are being published on MQTT. */
  private publishing: ModelName;
  private worker: SiteWorker | null = null;
  private tuning: SiteTuning | null = null;
  private bridge: SiteBridge | null = null;
  private readonly relay = new ModelRelay();
  private site: Site | null = null;
  private stopped = false;
  private cancelFlush: (() => void) | null = null;
  private waitingMessages = 0;
  /** Whether the next batch no longer waits for further messages. */
  private flushesSoon = false;
  private heldBack = false;
  private ends: (() => void)[] = [];
  private wakeUp: () => void = () => {};
  /** Why the site cannot be used, and since when, monotonic ms. */
  private fault: { readonly text: string; readonly sinceMs: number } | null = null;
  private running: Promise<void> = Promise.resolve();
  private covariatesOf: Config | null = null;
  private covariateNames: ReadonlySet<string> = new Set();

  constructor(
    private readonly context: Context,
    private readonly parts: SiteParts,
  ) {
    const { clock, config, send } = context;
    const { settings, streams, hold, modelName } = parts;
    this.publishing = modelName();
    this.isBridge = settings.role.includes('bridge');
    this.isWorker = settings.role.includes('worker');
    this.warnings = new RateLimitedLog(clock);
    const { model } = parts.models.current;
    this.model = model === null ? null : sharedModel(model);
    this.inbox = new Inbox(
      {
        clock,
        router: streams,
        hold,
        request: ({ topic, payload }) => send({ topic, payload, qos: 0, retain: false }),
      },
      () => this.arrived(),
    );
    this.mqtt =
      settings.publish === 'mqtt'
        ? new JsonTopics({
            ...context,
            topics: topicsOf(config().base, settings.name),
            streams: () => [],
            model: () => this.publishing,
          })
        : null;
  }

  /** Streams that other streams name as covariates. */
  private get covariates(): ReadonlySet<string> {
    const config = this.context.config();
    if (config !== this.covariatesOf) {
      this.covariatesOf = config;
      this.covariateNames = streamCovariates(config);
    }
    return this.covariateNames;
  }

  start(): void {
    const { clock, log } = this.context;
    if (this.isBridge) {
      allowHeapGrowth();
      this.ends.push(every(clock, BEAT_MS, () => this.beat(), log));
    }
    this.running = this.run();
  }

  /** While NATS is away nothing can be saved or given back: the leases expire, and the next owner repeats from the log. */
  async stop(): Promise<void> {
    const { clock, log } = this.context;
    let cancel = (): void => {};
    const late = new Promise<boolean>((resolve) => {
      cancel = clock.after(STOP_MS, () => resolve(true));
    });
    const isLate = await Promise.race([this.leave().then(() => false), late]).finally(() => cancel());
    if (!isLate) return;
    log.warn('site not left in time', { reason: this.fault?.text ?? 'NATS does not answer' });
    void this.close();
  }

  private async leave(): Promise<void> {
    this.stopped = true;
    this.cancelFlush?.();
    for (const end of this.ends) end();
    this.bridge?.stop();
    await Promise.all([this.tuning?.stop(), this.worker?.stop()]);
    this.wakeUp();
    const { site } = this;
    if (site !== null) {
      if (this.isBridge) await removeKey(site, 'members', memberKey('bridge', this.member)).catch(() => {});
      await site.nc.close().catch(() => {});
    }
    await this.running;
  }

  /** The model of the config is that of partitions that were never given another one: it must not change under them. */
  prepare(next: Config, running: Config): Change | null {
    if (!this.isWorker || next.model.name === running.model.name) return null;
    throw new GatecastError('CONFIG_INVALID', 'A worker of a site does not change its model while it runs.', {
      issues: [{ path: 'model.name', message: 'cannot be changed while a worker of a site runs' }],
      hint: 'Use `gatecast site model set`: all partitions then switch, without a restart.',
    });
  }

  /** The record of the MQTT session must outlive a crash: without it the next run would discard what the broker queued. */
  connected(): void {
    if (this.isBridge) this.context.store.flush();
  }

  subscribed(): void {
    this.connected();
  }

  receive(message: Incoming): boolean {
    if (!this.isBridge) return false;
    if (message.acknowledge !== null) this.waitingMessages++;
    this.inbox.receive(message);
    return true;
  }

  get siteName(): string {
    return this.parts.settings.name;
  }

  /** @throws GatecastError SITE_UNREACHABLE */
  async view(): Promise<SiteView> {
    const { site } = this;
    if (site === null)
      throw new GatecastError('SITE_UNREACHABLE', this.fault?.text ?? 'The site is not open yet.');
    try {
      const [members, partitions] = [await readMembers(site), await readPartitions(site)];
      return { site: site.name, member: this.member, members, partitions };
    } catch (cause) {
      throw new GatecastError('SITE_UNREACHABLE', `NATS does not answer: ${errorText(cause)}`, { cause });
    }
  }

  conditions(): Condition[] {
    const { clock } = this.context;
    const found: Condition[] = [];
    if (this.fault !== null && clock.monotonic() - this.fault.sinceMs >= SILENT_MS)
      found.push({ id: 'site', severity: 'error', text: this.fault.text });
    const problems = [...(this.bridge?.problems() ?? []), ...(this.worker?.problems() ?? [])];
    if (problems.length > 0)
      found.push({ id: 'site-partitions', severity: 'error', text: problems.join('; ') });
    return found;
  }

  dropped(): Counts {
    const counts = this.worker?.counts();
    return {
      ...this.inbox.dropped(),
      ...counts?.refused,
      ...(counts !== undefined && counts.lostMessages > 0 && { 'log-lost': counts.lostMessages }),
      ...(counts !== undefined && counts.unreadable > 0 && { 'log-unreadable': counts.unreadable }),
      ...(counts !== undefined && counts.failed > 0 && { 'log-failed': counts.failed }),
    };
  }

  metrics(): MetricFamily[] {
    const families = [
      gauge(
        'gatecast_site_connected',
        '1 while NATS answers.',
        this.fault === null && this.site !== null ? 1 : 0,
      ),
    ];
    if (this.bridge !== null)
      families.push(
        counter('gatecast_site_bridge_readings_total', 'Readings sent to the site.', this.bridge.readings),
        counter(
          'gatecast_site_bridge_messages_total',
          'Messages that JetStream acknowledged.',
          this.bridge.messages,
        ),
        counter(
          'gatecast_site_bridge_failures_total',
          'Messages that JetStream did not take at once.',
          this.bridge.failures,
        ),
      );
    if (this.worker === null) return families;
    if (this.tuning !== null)
      families.push(
        gauge(
          'gatecast_site_tunes',
          '1 while this worker fine-tunes the site and watches its model.',
          this.tuning.isHolder ? 1 : 0,
        ),
      );
    const states = this.worker.states();
    const counts = this.worker.counts();
    families.push(
      gauge('gatecast_site_partitions', 'Partitions that this worker owns.', states.length),
      gauge(
        'gatecast_site_streams',
        'Streams that this worker forecasts.',
        states.reduce((n, one) => n + one.streams, 0),
      ),
      gauge(
        'gatecast_site_lag_messages',
        'Messages in the logs that are not taken yet.',
        states.reduce((n, one) => n + one.lag, 0),
      ),
      counter('gatecast_site_samples_total', 'Readings taken from the logs.', counts.samples),
      counter('gatecast_site_forecasts_total', 'Forecasts published.', counts.forecasts),
      counter(
        'gatecast_site_forecasts_repeated_total',
        'Forecasts published again, because they may have been lost with a worker or a connection.',
        counts.repeated,
      ),
      counter('gatecast_site_checkpoints_total', 'Checkpoints saved.', counts.checkpoints),
      counter('gatecast_site_checkpoint_bytes_total', 'Bytes of saved checkpoints.', counts.checkpointBytes),
    );
    return families;
  }

  private get member(): string {
    return this.context.config().node;
  }

  /** Sends a batch when its time is over, or when the broker may be waiting for acknowledgements. */
  private arrived(): void {
    if (this.bridge === null) return;
    const { clock } = this.context;
    const soon = this.waitingMessages >= GATHER_MOST;
    if (this.cancelFlush !== null && (this.flushesSoon || !soon)) return;
    this.cancelFlush?.();
    this.flushesSoon = soon;
    this.cancelFlush = clock.after(soon ? 0 : this.parts.settings.batch, () => this.flush());
  }

  private flush(): void {
    this.cancelFlush?.();
    this.cancelFlush = null;
    this.flushesSoon = false;
    if (this.bridge === null) return;
    this.waitingMessages = 0;
    const { hold } = this.parts;
    const messages = this.inbox.take();
    const inOrder = hold.inBacklog
      ? messages.map((one) => ({ ...one, samples: [...one.samples].sort((a, b) => a.timeMs - b.timeMs) }))
      : messages;
    if (this.takeHeldBack(this.bridge)) hold.heldBack();
    this.bridge.take(inOrder, hold.closeUntil());
  }

  /** Whether JetStream does not answer: then nothing is acknowledged, and the broker delays further messages. */
  private takeHeldBack(bridge: SiteBridge): boolean {
    const before = this.heldBack;
    this.heldBack = bridge.takeLongestWaitMs() >= STALL_MS;
    return this.heldBack || before;
  }

  private beat(): void {
    if (this.bridge === null) return;
    this.parts.hold.wantProof();
    this.flush();
    this.bridge.beat();
  }

  /** Opens the site, serves until the connection is closed permanently, and starts again. */
  private async run(): Promise<void> {
    for (let attempt = 0; !this.stopped; attempt++) {
      try {
        this.site = await openSite(this.parts.settings, this.member);
        attempt = 0;
        await this.serve(this.site);
      } catch (error) {
        this.failed(error);
      }
      await this.close();
      if (!this.stopped) await this.pause(RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]);
    }
  }

  private async serve(site: Site): Promise<void> {
    const { clock, log, version, session } = this.context;
    if (this.stopped) return;
    log.info('site opened', {
      site: site.name,
      partitions: site.partitions,
      role: this.parts.settings.role.join('+'),
    });
    if (this.isBridge) {
      const { createInbox } = await import('@nats-io/transport-node');
      const writer = new LogWriter(site.nc, createInbox(), clock);
      const own = { ...site, publish: (subject: string, text: string) => writer.publish(subject, text) };
      if (this.bridge === null)
        this.bridge = new SiteBridge({
          site: own,
          member: this.member,
          clock,
          log,
          isCovariate: (stream) => this.covariates.has(stream),
        });
      else this.bridge.reconnected(own);
      // Nothing was acknowledged until now: the broker may send more when it is.
      this.parts.hold.heldBack();
      this.heldBack = true;
      this.flush();
    }
    if (this.isWorker) {
      this.worker = this.makeWorker(site);
      this.tuning = this.makeTuning(site, this.worker);
      this.tuning?.start();
    }
    let closed = false;
    void site.nc.closed().then(() => {
      closed = true;
      this.wakeUp();
    });
    while (!this.stopped && !closed) {
      const startedMs = clock.monotonic();
      try {
        if (this.isBridge) {
          await site.members.put(memberKey('bridge', this.member), JSON.stringify({ session, version }));
          await this.relayModel(site);
        }
        await this.worker?.round();
        this.fault = null;
      } catch (error) {
        if (this.stopped) return;
        this.failed(error);
      }
      await this.pause(Math.max(50, site.ttlMs / 4 - (clock.monotonic() - startedMs)));
    }
  }

  private async relayModel(site: Site): Promise<void> {
    const written = await this.relay.look(site);
    if (written !== null)
      this.context.log.info('model written into the logs', { model: written.name, number: written.number });
  }

  /** Null without a model: there is nothing to fine-tune. */
  private makeTuning(site: Site, worker: SiteWorker): SiteTuning | null {
    const { clock, log, session, config } = this.context;
    const { models, facts } = this.parts;
    if (this.model === null) return null;
    return new SiteTuning({
      site,
      member: this.member,
      session,
      config,
      clock,
      log,
      registry: models.registry,
      configured: () => models.configured,
      facts,
      isDraining: () => worker.isDraining,
    });
  }

  private makeWorker(site: Site): SiteWorker {
    const { clock, log, version, session, config } = this.context;
    const texts = new ForecastText();
    return new SiteWorker({
      site,
      member: this.member,
      session,
      version,
      memory: { total: memoryLimit(), heap: getHeapStatistics().heap_size_limit },
      tunes: () => this.model !== null && config().finetune.enabled,
      model: this.model,
      openFiles: async (files) => {
        const { model, name } = await openSiteModel(files);
        this.names.set(model.hash, name);
        return sharedModel(model);
      },
      clock,
      log,
      checkpointMs: () => config().site?.checkpoint ?? this.parts.settings.checkpoint,
      text: (forecast, issuedMs, model) =>
        texts.of(
          forecast,
          {
            quantiles: config().publish.quantiles,
            digits: digitsOf(forecast),
            issuedMs,
            model: this.nameOf(model),
          },
          Number.POSITIVE_INFINITY,
        ),
      published: (forecasts, issuedMs, model) => this.toMqtt(forecasts, issuedMs, model),
    });
  }

  /** As in forecasts. */
  private nameOf(model: Model | null): ModelName {
    return this.names.get(model?.hash ?? '') ?? this.parts.modelName();
  }

  private toMqtt(forecasts: readonly Forecast[], issuedMs: number, model: Model | null): void {
    if (this.mqtt === null) return;
    this.publishing = this.nameOf(model);
    for (const forecast of forecasts) this.mqtt.forecast(forecast, issuedMs);
  }

  private async close(): Promise<void> {
    this.tuning?.abandon();
    this.tuning = null;
    this.worker?.abandon();
    this.worker = null;
    await this.site?.nc.close().catch(() => {});
    this.site = null;
  }

  private failed(error: unknown): void {
    const { clock, log } = this.context;
    const text = errorText(error);
    this.fault = { text, sinceMs: this.fault?.sinceMs ?? clock.monotonic() };
    const hint = error instanceof GatecastError ? error.hint : undefined;
    this.warnings.say(text, (omitted) => log.error('site not available', { reason: text, hint, omitted }));
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.context.clock.after(ms, resolve);
      this.wakeUp = () => {
        cancel();
        resolve();
      };
    });
  }
}
