/** Collects the health of the agent from its parts on demand, for the health message, the page and the metrics. */

import { withoutSecrets } from '../errors.ts';
import type { Engine } from '../forecast/engine.ts';
import { EXPECTED_REJECTS, REJECTS } from '../ingest/rejects.ts';
import type { HealthInput } from '../outputs/output.ts';
import type { Outputs } from '../outputs/outputs.ts';
import type { SqliteStore } from '../store/sqlite-store.ts';
import { isClockSet } from '../system/clock.ts';
import type { Facts } from '../system/facts.ts';
import { counter, gauge, type MetricFamily } from '../web/metrics.ts';
import type { PageStatus } from '../web/wire.ts';
import type { Condition } from './alerts.ts';
import { type Counts, DEGRADING, DROPS, type DropReason, sumCounts } from './drops.ts';
import type { KnownAhead } from './known-ahead.ts';
import type { Link } from './link.ts';
import type { LoggedErrors } from './logged-errors.ts';
import type { AgentModels } from './model.ts';
import type { Context } from './part.ts';
import type { Pipeline } from './pipeline.ts';
import type { AgentRemote } from './remote.ts';
import type { SitePart } from './site.ts';
import type { AgentStreams } from './streams.ts';
import type { TuningPart } from './tuning.ts';

export interface HealthParts extends Pick<Context, 'config' | 'version' | 'since' | 'clock'> {
  readonly store: Pick<SqliteStore, 'stats'>;
  /** Current problems of the store. */
  readonly storeConditions: () => readonly Condition[];
  readonly models: Pick<AgentModels, 'current'>;
  readonly facts: () => Facts;
  readonly engine: Pick<Engine, 'failures' | 'lastFailure'>;
  readonly errors: Pick<LoggedErrors, 'internal' | 'byEvent'>;
  readonly streams: Pick<AgentStreams, 'size' | 'dropped'>;
  readonly pipeline: Pick<Pipeline, 'samples' | 'forecasts' | 'fault' | 'dropped' | 'clocks'>;
  readonly outputs: Pick<Outputs, 'dropped' | 'limits'>;
  readonly link: { readonly client: Pick<Link['client'], 'status'> };
  readonly tuning: { readonly lastRun: Pick<TuningPart['lastRun'], 'status' | 'reason'> };
  readonly remote: Pick<AgentRemote, 'version' | 'dropped'> | null;
  readonly ahead: Pick<KnownAhead, 'dropped'>;
  /** Null: this agent is not a member of a site. */
  readonly site: Pick<SitePart, 'conditions' | 'dropped' | 'metrics'> | null;
}

/** Text about a stream whose readings are all refused because of their time; empty if there is none now. */
function clockText(reasons: readonly string[], { clocks }: HealthParts['pipeline']): string {
  const { wrong } = clocks;
  if (wrong === null || !reasons.some((reason) => reason === 'future' || reason === 'absurd-time')) return '';
  const others = wrong.streams > 1 ? `, as of ${wrong.streams - 1} others` : '';
  return `; every reading of ${wrong.stream} is refused${others}: ${wrong.advice}`;
}

/** How long a failed run of the network, or a refused message, counts as a problem, ms. */
const FAILURE_MS = 300_000;
const HOUR_MS = 3_600_000;
const HOURS = 24;

export class Health {
  private readonly failed = new Recently();
  private readonly refused = new Recently();
  /** By reason. */
  private readonly drops = new Map<string, Recently>();
  private readonly internal = new Recently();
  private readonly skipped = new Recently();
  private readonly sampleRate = new Rate();
  private readonly forecastRate = new Rate();
  /** Bytes written by the end of each of the last hours, oldest first. */
  private readonly written: { atMs: number; bytes: number }[] = [];

  constructor(private readonly parts: HealthParts) {}

  /** Conditions that are not normal; empty when the agent is healthy. */
  problems(): Condition[] {
    const { pipeline, clock, models, tuning, engine, site, link } = this.parts;
    const { lastRun } = tuning;
    const broker = link.client.status();
    const found: Condition[] = [];
    const add = (id: Condition['id'], text: string): void => void found.push({ id, severity: 'error', text });
    const warn = (id: Condition['id'], text: string): void =>
      void found.push({ id, severity: 'warning', text });
    if (!isClockSet(clock.now())) add('clock', 'the clock is not set: no forecasts are made');
    const { problem } = models.current;
    if (problem !== null) add('model', `naive forecasts only: ${problem}`);
    found.push(...this.parts.storeConditions(), ...(site?.conditions() ?? []));
    if (pipeline.fault !== null) add('forecasting', `forecasting failed: ${pipeline.fault}`);
    if (this.failed.grew(engine.failures, clock.monotonic()))
      add('network', `the network failed, naive forecasts were published instead: ${engine.lastFailure}`);
    const { internal } = this.parts.errors;
    if (this.internal.grew(internal.count, clock.monotonic())) add('internal', internal.last);
    if (lastRun.status === 'failed') add('finetune', `the last fine-tuning failed: ${lastRun.reason}`);
    const { refusedFilters } = broker;
    if (refusedFilters.length > 0)
      add('subscription', `the broker refuses the subscription ${refusedFilters.join(', ')}`);
    if (this.refused.grew(broker.dropped['refused-out'] ?? 0, clock.monotonic()))
      add('publish', 'the broker refuses messages of this agent: check its access list');
    const reasons = this.recentDrops();
    if (reasons.length > 0)
      found.push({
        id: 'dropped',
        severity: reasons.some((reason) => DEGRADING.has(reason as DropReason)) ? 'error' : 'warning',
        text: `readings or messages were dropped within the last 5 minutes: ${reasons.join(', ')}${clockText(reasons, pipeline)}`,
      });
    const { skipped, limits } = broker;
    if (this.skipped.grew(broker.dropped['oversize-in'] ?? 0, clock.monotonic()))
      warn(
        'oversize',
        `a message is too large and was skipped: ${skipped ?? 'the broker closed the connection'}`,
      );
    const lacking = [...(limits === null ? [] : [limits]), ...this.parts.outputs.limits()];
    if (lacking.length > 0)
      warn('broker-limits', `the broker lacks features that the agent uses: ${lacking.join('; ')}`);
    return found;
  }

  /** Reasons for which something was dropped within the last minutes, in order of name. */
  private recentDrops(): string[] {
    const at = this.parts.clock.monotonic();
    const dropped = this.dropped();
    for (const reason of Object.keys(dropped))
      if (!EXPECTED_REJECTS.has(reason) && !this.drops.has(reason)) this.drops.set(reason, new Recently());
    return [...this.drops]
      .filter(([reason, recently]) => recently.grew(dropped[reason] ?? 0, at))
      .map(([reason]) => reason)
      .sort();
  }

  /** Texts of the errors, including a lost broker, which only the page can show. */
  degraded(): string[] {
    const { connected, fault } = this.parts.link.client.status();
    const reasons = this.problems().flatMap(({ severity, text }) => (severity === 'error' ? [text] : []));
    return !connected && fault !== null ? [...reasons, `no broker: ${withoutSecrets(fault)}`] : reasons;
  }

  /** Counts of dropped readings and messages, by reason. */
  dropped(): Record<string, number> {
    const { streams, pipeline, outputs, link, store, site, ahead, remote } = this.parts;
    return sumCounts(
      streams.dropped(),
      pipeline.dropped(),
      ...outputs.dropped(),
      link.client.status().dropped,
      storeDrops(store.stats()),
      site?.dropped() ?? {},
      ahead.dropped(),
      remote?.dropped() ?? {},
    );
  }

  /** Call about once an hour or more often. Bytes written in the last 24 hours, or since the start. */
  writtenBytesDay(): number {
    const atMs = this.parts.clock.monotonic();
    const bytes = this.parts.store.stats().writtenBytes;
    const { written } = this;
    if (written.length === 0) written.push({ atMs, bytes: 0 });
    if (atMs - written.at(-1)!.atMs >= HOUR_MS) written.push({ atMs, bytes });
    while (written.length > 1 && atMs - written[1].atMs >= HOURS * HOUR_MS) written.shift();
    return bytes - written[0].bytes;
  }

  /** The health message for MQTT, without the model's name. */
  message(): Omit<HealthInput, 'model'> {
    const degraded = this.degraded();
    const { rssMb, cpuPercent } = this.parts.facts();
    return {
      state: degraded.length === 0 ? 'ok' : 'degraded',
      degraded,
      rssMb,
      cpuPct: cpuPercent,
      dbBytes: this.parts.store.stats().dbBytes,
      writtenBytesDay: this.writtenBytesDay(),
      streams: this.parts.streams.size,
      finetune: this.lastRun(),
      configVersion: this.parts.remote?.version ?? null,
      dropped: this.dropped(),
    };
  }

  private lastRun(): { status: string; reason: string } {
    const { status, reason } = this.parts.tuning.lastRun;
    return { status, reason };
  }

  pageStatus(): Omit<PageStatus, 'waiting' | 'alerts' | 'site'> {
    const { config, version, clock, pipeline, models, link } = this.parts;
    const { node, mqtt } = config();
    const model = models.current;
    const broker = link.client.status();
    const { state, degraded, rssMb, cpuPct, dbBytes, streams, dropped } = this.message();
    const at = clock.monotonic();
    return {
      node,
      version,
      sinceMs: this.parts.since(),
      nowMs: clock.now(),
      broker: {
        url: withoutSecrets(mqtt.url),
        connected: broker.connected,
        protocol: broker.protocol === null ? null : `MQTT ${broker.protocol}`,
      },
      model: {
        id: model.model?.id ?? model.name,
        version: model.model?.version ?? '',
        loaded: model.model !== null,
      },
      finetune: this.lastRun(),
      health: { state, degraded, rssMb, cpuPct, dbBytes, streams, dropped },
      rates: {
        samples: this.sampleRate.of(pipeline.samples, at),
        forecasts: this.forecastRate.of(pipeline.forecasts, at),
      },
    };
  }

  metrics(): MetricFamily[] {
    const { clock, config, version, pipeline, store, engine, streams, link } = this.parts;
    const broker = link.client.status();
    const { temperatureC } = this.parts.facts();
    const { dbBytes, samples, pending, writtenBytes } = store.stats();
    return [
      {
        name: 'gatecast_build_info',
        help: 'Version and node name of the agent.',
        type: 'gauge',
        values: [{ labels: { version, node: config().node }, value: 1 }],
      },
      gauge(
        'gatecast_uptime_seconds',
        'Time since the start of the agent.',
        (clock.now() - this.parts.since()) / 1000,
      ),
      gauge(
        'gatecast_degraded',
        '1 when something does not work as it should.',
        this.degraded().length > 0 ? 1 : 0,
      ),
      gauge('gatecast_broker_connected', '1 while the broker is connected.', broker.connected ? 1 : 0),
      counter('gatecast_broker_connects_total', 'Connections made to the broker.', broker.connects),
      gauge('gatecast_outbox_messages', 'Messages that wait for the broker.', broker.outbox),
      gauge('gatecast_streams', 'Streams that are forecast.', streams.size),
      counter('gatecast_samples_total', 'Readings accepted.', pipeline.samples),
      counter('gatecast_forecasts_total', 'Forecasts handed to the outputs.', pipeline.forecasts),
      {
        name: 'gatecast_dropped_total',
        help: 'Readings and messages that were not used or not sent, by reason.',
        type: 'counter',
        values: Object.entries({ ...NOTHING_DROPPED, ...this.dropped() }).map(([reason, value]) => ({
          labels: { reason },
          value,
        })),
      },
      counter('gatecast_network_failures_total', 'Runs of the network that failed.', engine.failures),
      {
        name: 'gatecast_errors_total',
        help: 'Errors in the log, by event.',
        type: 'counter',
        values: [...this.parts.errors.byEvent()].map(([event, value]) => ({ labels: { event }, value })),
      },
      gauge('gatecast_store_bytes', 'Size of the database.', dbBytes),
      gauge('gatecast_store_samples', 'Readings stored.', samples),
      gauge('gatecast_store_pending_samples', 'Readings in memory that are not stored yet.', pending),
      counter('gatecast_store_written_bytes_total', 'Bytes written by the store.', writtenBytes),
      ...(this.parts.site?.metrics() ?? []),
      ...(temperatureC === null
        ? []
        : [gauge('gatecast_temperature_celsius', 'Hottest sensor of the machine.', temperatureC)]),
    ];
  }
}

/** Number of samples that the store lost, by reason; empty if none. */
function storeDrops(stats: ReturnType<HealthParts['store']['stats']>): Counts {
  const counts = {
    'store-full': stats.droppedPending,
    'disk-full': stats.deletedForSpace,
    'row-refused': stats.refusedRows,
    'journal-damaged': stats.damagedParts,
  };
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
}

/** All reasons, so that a counter exists before its first drop and a rate sees that. */
const NOTHING_DROPPED: Counts = Object.fromEntries(
  [...Object.keys(DROPS), ...Object.keys(REJECTS)].map((reason) => [reason, 0]),
);

const WINDOW_MS = 10_000;

/** Growth rate of a count over about the last ten seconds. */
export class Rate {
  private readonly marks: { atMs: number; count: number }[] = [];

  /** Call regularly with the count so far. @returns growth per second; 0 before there are two marks */
  of(count: number, monotonicMs: number): number {
    const { marks } = this;
    const last = marks.at(-1);
    if (last === undefined || monotonicMs - last.atMs >= 500) marks.push({ atMs: monotonicMs, count });
    while (marks.length > 2 && marks[1].atMs <= monotonicMs - WINDOW_MS) marks.shift();
    const first = marks[0];
    const elapsedMs = monotonicMs - first.atMs;
    return elapsedMs <= 0 ? 0 : ((count - first.count) * 1000) / elapsedMs;
  }
}

/** Whether a counter has risen recently: true for FAILURE_MS after the last increase. */
class Recently {
  private count = 0;
  private untilMs = Number.NEGATIVE_INFINITY;

  /** @param count so far; call at least as often as an increase should be noticed */
  grew(count: number, monotonicMs: number): boolean {
    if (count > this.count) this.untilMs = monotonicMs + FAILURE_MS;
    this.count = count;
    return monotonicMs < this.untilMs;
  }
}
