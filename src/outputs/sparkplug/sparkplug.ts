/**
 * The output for Sparkplug B: gatecast as an edge node, with a Sparkplug device for each physical device and metrics for the forecasts
 * of its streams. It has a separate connection, because MQTT has one last will for each connection, and the death of the edge
 * node must be that will (decision 22).
 */
import { isDeepStrictEqual } from 'node:util';
import type { Change, Context } from '../../agent/part.ts';
import { type Config, diffConfig, formatDuration } from '../../config/index.ts';
import type { Anomaly } from '../../forecast/anomalies.ts';
import { inDigits } from '../../forecast/digits.ts';
import { allFinite, type Forecast } from '../../forecast/forecast.ts';
import { Client, type ClientParts } from '../../mqtt/client.ts';
import { type BrokerOptions, brokerOptions } from '../../mqtt/options.ts';
import type { Outgoing } from '../../mqtt/outbox.ts';
import { MEDIAN, Q, QUANTILES } from '../../quantiles.ts';
import type { StreamSpec } from '../../series/spec.ts';
import { isClockSet } from '../../system/clock.ts';
import { RateLimitedLog } from '../../system/rate-limited-log.ts';
import { type MetaStore, StoredValue } from '../../system/stored-value.ts';
import { digitsOf, QUANTILE_NAMES } from '../json/messages.ts';
import type { HealthInput, Output } from '../output.ts';
import { Pace } from '../pace.ts';
import {
  type DeclaredMetric,
  deviceLevel,
  EdgeNode,
  GOOD,
  type MetricUpdate,
  REBIRTH,
  STALE,
} from './edge-node.ts';
import { trueMetrics } from './payload.ts';
import { PrimaryHost } from './primary-host.ts';

export type SparkplugSpec = Pick<StreamSpec, 'name' | 'unit' | 'device' | 'thresholds'>;
type EdgeClient = Pick<Client, 'start' | 'stop' | 'publish' | 'setSubscriptions' | 'switchTo' | 'status'>;

export interface SparkplugParts extends Pick<Context, 'clock' | 'log' | 'version'> {
  readonly config: () => Config;
  /** Streams that the agent forecasts. */
  readonly streams: () => readonly SparkplugSpec[];
  readonly store: MetaStore;
  /** Makes the connection; default: a real one. */
  readonly edgeClient?: (parts: ClientParts) => EdgeClient;
}

/** New streams arrive in bursts: their births are collected for this time, ms. */
const GATHER_MS = 100;
/** Hints for STATE messages that are ignored. */
const IGNORED_STATE = {
  invalid: 'it must be JSON such as {"online": true, "timestamp": 1700000000000}',
  older: 'its timestamp is before that of an earlier STATE message; check the clock of the host',
  ahead: 'its timestamp is more than a day ahead of the clock of this gateway; check both clocks',
} as const;
/** Shortest time between answers to rebirth commands, ms, to limit the load by a host in a loop. */
const REBIRTH_MS = 1000;
/** Most forecasts waiting for the broker; the oldest are dropped first. */
const MOST_WAITING = 1000;
const STOP_MS = 1500;
const HEALTH = 'Health/ok';

interface Waiting {
  readonly device: string;
  readonly updates: readonly MetricUpdate[];
  readonly timeMs: number;
  readonly quality: number;
}

export class Sparkplug implements Output {
  readonly name = 'Sparkplug B';
  private node: EdgeNode | null = null;
  private client: EdgeClient | null = null;
  /** Whether the births of this connection have been sent. */
  private born = false;
  /** Streams of each device. */
  private readonly devices = new Map<string, Map<string, SparkplugSpec>>();
  private readonly deviceOf = new Map<string, string>();
  /** Devices whose birth is due. */
  private readonly due = new Set<string>();
  private cancelBirths: (() => void) | null = null;
  private cancelRebirth: (() => void) | null = null;
  private readonly waiting: Waiting[] = [];
  private droppedCount = 0;
  private readonly pace = new Pace();
  private readonly anomalous = new Set<string>();
  private ok: boolean | null = null;
  /** Births wait until this host is online; null: they wait for no host. */
  private host: PrimaryHost | null = null;
  private readonly warnings: RateLimitedLog;

  constructor(private readonly parts: SparkplugParts) {
    this.warnings = new RateLimitedLog(parts.clock);
  }

  start(): void {
    const { config, store, version, clock, log, edgeClient = (parts) => new Client(parts) } = this.parts;
    const { sparkplug, node } = config();
    if (!sparkplug.enabled) return;
    const kept = new StoredValue(store, 'agent.sparkplug.bdSeq', sessionOf, (_stored, own) => own);
    const own: DeclaredMetric[] = [
      { name: 'Properties/version', type: 'string', unit: null },
      { name: HEALTH, type: 'boolean', unit: null },
    ];
    const name = { group: sparkplug.group, node: sparkplug.node ?? node };
    const edge = new EdgeNode(name, own, kept.read());
    edge.data(null, [{ name: 'Properties/version', value: version }], clock.now());
    const host = sparkplug.primary_host === undefined ? null : new PrimaryHost(sparkplug.primary_host);
    this.node = edge;
    this.host = host;
    this.client = edgeClient({
      options: optionsOf(config()),
      clock,
      random: Math.random,
      log: log.with({ output: this.name }),
      will: () => {
        const death = edge.nextDeath(clock.now());
        kept.save(edge.session);
        return death;
      },
      // With a primary host, the births wait for its STATE message.
      birth: () => (host === null ? this.births(edge) : []),
      message: ({ topic, payload, acknowledge }) => {
        acknowledge?.();
        if (topic === edge.commands) this.command(payload);
        else if (topic === host?.topic) this.hostState(edge, host, payload);
      },
      changed: ({ connected }) => {
        if (!connected) {
          this.born = false;
          host?.lost();
        } else if (this.born) this.sendWaiting();
      },
      ephemeral: true,
    });
    const filters = [edge.commands, ...(host === null ? [] : [host.topic])];
    this.client.setSubscriptions(filters.map((filter) => ({ filter, qos: 1 })));
    if (host !== null) log.info('sparkplug waits for the primary host', { topic: host.topic });
    for (const spec of this.parts.streams()) this.take(spec);
    for (const device of this.devices.keys()) this.declare(device);
    this.client.start();
  }

  async stop(): Promise<void> {
    this.cancelBirths?.();
    this.cancelRebirth?.();
    if (this.client === null || this.node === null) return;
    const farewell = this.born ? [this.node.death(this.parts.clock.now())] : [];
    this.born = false;
    await this.client.stop(farewell, STOP_MS);
  }

  prepare(next: Config, running: Config): Change | null {
    if (this.client === null) return null;
    const declares = (config: Config) => [config.sparkplug.leads, config.publish, config.streams];
    const reconnects = diffConfig(running, next).reconnect.length > 0;
    const redeclares = !isDeepStrictEqual(declares(next), declares(running));
    if (!reconnects && !redeclares) return null;
    const options = reconnects ? optionsOf(next) : null;
    return {
      settle: () => {
        if (options !== null) {
          if (next.mqtt.url !== running.mqtt.url) this.host?.otherBroker();
          this.beginAgain(options);
        }
        if (redeclares) this.streams([...this.devices.values()].flatMap((streams) => [...streams.values()]));
      },
    };
  }

  streams(specs: readonly SparkplugSpec[]): void {
    if (this.node === null) return;
    const touched = new Set<string>();
    for (const spec of specs) for (const device of this.take(spec)) touched.add(device);
    for (const device of touched) this.declare(device);
  }

  forecast(forecast: Forecast, nowMs: number): void {
    const { node } = this;
    const { stream, input } = forecast;
    const device = this.deviceOf.get(stream);
    if (node === null || device === undefined) return;
    const { publish } = this.parts.config();
    if (!this.pace.allows(forecast, publish.every)) return;
    const updates = this.updatesOf(forecast);
    if (updates === null) return;
    this.pace.note(forecast);
    const quality = input.quality === 'stale' ? STALE : GOOD;
    // A host treats data of metrics without a birth as an error.
    if (this.due.size > 0) this.sendBirths();
    const data = node.data(device, updates, nowMs, { quality });
    if (this.born) {
      if (data !== null) this.client?.publish(data);
      return;
    }
    this.waiting.push({ device, updates, timeMs: nowMs, quality });
    if (this.waiting.length > MOST_WAITING) {
      this.waiting.shift();
      this.droppedCount++;
    }
  }

  anomaly(stream: string, _anomaly: Anomaly): void {
    if (this.node !== null) this.anomalous.add(stream);
  }

  health({ state }: HealthInput): void {
    const { node, parts } = this;
    const ok = state === 'ok';
    if (node === null || ok === this.ok) return;
    this.ok = ok;
    const nowMs = parts.clock.now();
    const data = node.data(null, [{ name: HEALTH, value: ok }], nowMs);
    if (data !== null && this.born) this.client?.publish(data);
  }

  forget(stream: string): void {
    this.pace.forget(stream);
    this.anomalous.delete(stream);
    const device = this.deviceOf.get(stream);
    if (device === undefined) return;
    this.deviceOf.delete(stream);
    this.devices.get(device)?.delete(stream);
    this.declare(device);
  }

  dropped(): Readonly<Record<string, number>> {
    const { dropped = {} } = this.client?.status() ?? {};
    return this.droppedCount === 0 ? dropped : { ...dropped, 'sparkplug-backlog': this.droppedCount };
  }

  /** Whether the births of the current connection have been sent. */
  get isBorn(): boolean {
    return this.born;
  }

  /** @returns devices whose streams changed */
  private take(spec: SparkplugSpec): string[] {
    const device = deviceLevel(spec.device ?? spec.name);
    const former = this.deviceOf.get(spec.name);
    if (former !== undefined && former !== device) this.devices.get(former)?.delete(spec.name);
    const streams = this.devices.get(device) ?? new Map<string, SparkplugSpec>();
    streams.set(spec.name, spec);
    this.devices.set(device, streams);
    this.deviceOf.set(spec.name, device);
    return former === undefined || former === device ? [device] : [former, device];
  }

  /** Declares the metrics of a device, and schedules its birth or death. */
  private declare(device: string): void {
    const { node } = this;
    const streams = this.devices.get(device);
    if (node === null || streams === undefined) return;
    if (streams.size === 0) {
      this.devices.delete(device);
      this.due.delete(device);
      const death = node.deviceDeath(device, this.parts.clock.now());
      if (death !== null && this.born) this.client?.publish(death);
      return;
    }
    const metrics = [...streams.values()].flatMap((spec) => this.metricsOf(spec));
    if (!node.declare(device, metrics)) return;
    this.due.add(device);
    this.cancelBirths ??= this.parts.clock.after(GATHER_MS, () => this.sendBirths());
  }

  private sendBirths(): void {
    this.cancelBirths?.();
    this.cancelBirths = null;
    const due = [...this.due];
    this.due.clear();
    // Without a connection, the births of the next one declare all devices.
    if (!this.born || this.node === null) return;
    for (const device of due)
      if (this.node.has(device)) this.client?.publish(this.node.deviceBirth(device, this.parts.clock.now()));
  }

  private sendWaiting(): void {
    const nowMs = this.parts.clock.now();
    for (const { device, updates, timeMs, quality } of this.waiting.splice(0)) {
      const data = this.node?.backlog(device, updates, timeMs, { nowMs, quality }) ?? null;
      if (data !== null) this.client?.publish(data);
    }
  }

  /** The births of this connection: of the node and of all its devices. */
  private births(node: EdgeNode): Outgoing[] {
    this.due.clear();
    this.born = true;
    return node.births(this.parts.clock.now());
  }

  /** Ends the session with a death message, and connects again. */
  private beginAgain(options: BrokerOptions): void {
    const farewell = this.born && this.node !== null ? [this.node.death(this.parts.clock.now())] : [];
    this.born = false;
    this.client?.switchTo(options, farewell);
  }

  private hostState(node: EdgeNode, host: PrimaryHost, payload: Uint8Array): void {
    const { log, config, clock } = this.parts;
    const nowMs = clock.now();
    const change = host.receive(payload, isClockSet(nowMs) ? nowMs : null);
    if (change === 'invalid' || change === 'older' || change === 'ahead') {
      const hint = IGNORED_STATE[change];
      this.warnings.say(change, (omitted) =>
        log.warn('sparkplug STATE message ignored', { topic: host.topic, hint, omitted }),
      );
    } else if (change === 'online') {
      log.info('sparkplug primary host online', { topic: host.topic });
      for (const message of this.births(node)) this.client?.publish(message);
      this.sendWaiting();
    } else if (change === 'offline') {
      log.warn('sparkplug primary host offline: forecasts wait', { topic: host.topic });
      if (this.born) this.beginAgain(optionsOf(config()));
    }
  }

  /** @param payload untrusted: from any client that may publish there */
  private command(payload: Uint8Array): void {
    const { clock, log } = this.parts;
    let asked: readonly string[] = [];
    try {
      asked = trueMetrics(payload);
    } catch {
      this.warnings.say('command', (omitted) =>
        log.warn('sparkplug command not understood', { bytes: payload.length, omitted }),
      );
    }
    if (!asked.includes(REBIRTH) || this.cancelRebirth !== null) return;
    this.cancelRebirth = clock.after(REBIRTH_MS, () => {
      this.cancelRebirth = null;
    });
    if (!this.born || this.node === null) return;
    for (const message of this.births(this.node)) this.client?.publish(message);
  }

  private leads(): readonly (readonly [key: string, leadMs: number])[] {
    const { sparkplug, publish } = this.parts.config();
    const leads = [...new Set([...sparkplug.leads, ...publish.at])].sort((a, b) => a - b);
    return [[NEXT, 0], ...leads.map((ms) => [formatDuration(ms), ms] as const)];
  }

  /** Indices into `QUANTILES`: the published ones, and the median. */
  private quantiles(): number[] {
    const { quantiles } = this.parts.config().publish;
    return [
      ...new Set([...quantiles.map((level) => (QUANTILES as readonly number[]).indexOf(level)), MEDIAN]),
    ];
  }

  private metricsOf({ name, unit, thresholds }: SparkplugSpec): DeclaredMetric[] {
    const root = `Forecast/${name}`;
    return [
      ...this.leads().flatMap(([key]) =>
        this.quantiles().map(
          (at): DeclaredMetric => ({ name: `${root}/${key}/${QUANTILE_NAMES[at]}`, type: 'double', unit }),
        ),
      ),
      ...thresholds.flatMap((threshold): DeclaredMetric[] => [
        { name: `${root}/${threshold.name}/probability`, type: 'double', unit: null },
        { name: `${root}/${threshold.name}/time`, type: 'dateTime', unit: null },
      ]),
      { name: `${root}/anomaly`, type: 'boolean', unit: null },
    ];
  }

  /** Null if a value is not finite. */
  private updatesOf(forecast: Forecast): MetricUpdate[] | null {
    const { stream, quantiles, leads, stepMs, crossings } = forecast;
    if (!allFinite(quantiles)) return null;
    const root = `Forecast/${stream}`;
    const digits = digitsOf(forecast);
    const updates: MetricUpdate[] = [];
    for (const [key, leadMs] of this.leads()) {
      const lead = Math.max(1, Math.round(leadMs / stepMs));
      for (const at of this.quantiles())
        updates.push({
          name: `${root}/${key}/${QUANTILE_NAMES[at]}`,
          value: lead > leads ? null : inDigits(quantiles[(lead - 1) * Q + at] ?? 0, digits),
        });
    }
    for (const { name, probability, atMs } of crossings)
      updates.push(
        { name: `${root}/${name}/probability`, value: Number(probability.toFixed(3)) },
        { name: `${root}/${name}/time`, value: atMs },
      );
    updates.push({ name: `${root}/anomaly`, value: this.anomalous.delete(stream) });
    return updates;
  }
}

/** Key of the next step among the leads. */
const NEXT = 'next';

/** Options of a separate, clean session, as Sparkplug requires. */
function optionsOf({ mqtt, base, node }: Config): BrokerOptions {
  const options = brokerOptions(mqtt, `${base}-${node}`.replaceAll('/', '-'));
  return { ...options, clientId: `${options.clientId}-sparkplug`, sessionExpiryMs: 0 };
}

/** The number of a session, which its births and its death carry. */
const sessionOf = (json: unknown): number | null =>
  typeof json === 'number' && Number.isInteger(json) && json >= 0 && json < 256 ? json : null;
