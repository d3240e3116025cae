/**
 * The output for Home Assistant. It announces the devices at the start, when streams are new and when settings changed, and all of
 * them again when Home Assistant or the broker comes back: a few messages at a time, so that a thousand devices neither push
 * forecasts out of the outbox nor delay them. With each forecast it publishes the summary that the entities read.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Change, Context } from '../../agent/part.ts';
import type { Config } from '../../config/index.ts';
import type { Forecast } from '../../forecast/forecast.ts';
import type { Incoming } from '../../mqtt/connection.ts';
import { StreamTopics } from '../../mqtt/topics.ts';
import type { MetaStore } from '../../system/stored-value.ts';
import { alertMessage } from '../json/messages.ts';
import type { Alert, Output } from '../output.ts';
import { Pace } from '../pace.ts';
import { Announced } from './announced.ts';
import {
  type Announcement,
  type ComponentId,
  Discovery,
  type DiscoverySettings,
  pageUrlOf,
} from './discovery.ts';
import { type AnnouncedSpec, isAdditive, leadsOf, quantityOfStream } from './entities.ts';
import { type SummaryOptions, summaryText } from './summary.ts';

interface HomeAssistantParts
  extends Pick<Context, 'clock' | 'send' | 'topics' | 'version' | 'maxMessageBytes'> {
  readonly config: () => Pick<Config, 'base' | 'node' | 'publish' | 'home_assistant' | 'http' | 'requests'>;
  /** Streams that the agent forecasts. */
  readonly streams: () => readonly AnnouncedSpec[];
  readonly store: MetaStore;
  /** Group of the streams that share a model. */
  readonly group: string;
}

/** Streams of one discovery message: brokers limit messages, some at 128 KB, which these streams fit in. */
const MOST_STREAMS = 24;
const MOST_STREAMS_BYTES = 128 * 1024;
/** Messages in one turn, their bytes, and the pause before the next turn, ms. */
const PER_TURN = 25;
const BYTES_PER_TURN = 128 * 1024;
const PAUSE_MS = 100;
/** Entities that the alert names. */
const MOST_NAMED = 10;

export class HomeAssistant implements Output {
  readonly name = 'Home Assistant';
  private readonly discovery: Discovery;
  private readonly announced: Announced;
  /** Streams to announce, by discovery message. */
  private readonly wanted = new Map<string, Map<string, AnnouncedSpec>>();
  private readonly messageOf = new Map<string, string>();
  /** Messages to send, in order. */
  private readonly due = new Set<string>();
  /** Messages that lose streams. They are sent first, in a separate turn, because Home Assistant refuses an entity that another device still has. */
  private readonly losing = new Set<string>();
  /** Messages that were removed, and are sent anew in the next turn. */
  private readonly removed = new Set<string>();
  /** Most streams of one discovery message: fewer for a broker that accepts only small messages. */
  private mostStreams = MOST_STREAMS;
  /** Components left out of the newest version of a discovery message, by message; and how many in all since the start. */
  private readonly leftOut = new Map<string, readonly string[]>();
  private leftOutCount = 0;
  private cancel: (() => void) | null = null;
  private connectedNow = false;
  /** Rounding and leads of each stream's summary; made when first needed. */
  private readonly options = new Map<string, Omit<SummaryOptions, 'anomaly'>>();
  private readonly pace = new Pace();
  private readonly summaryTopics: StreamTopics;
  private readonly anomalous = new Set<string>();
  /** Newest summaries made without a connection. */
  private readonly unsent = new Map<string, string>();
  private readonly alerts = new Map<string, Alert>();

  constructor(private readonly parts: HomeAssistantParts) {
    const { topics, version, group } = parts;
    this.summaryTopics = new StreamTopics(topics.summary);
    const { base, node, publish } = parts.config();
    this.discovery = new Discovery({
      prefix: publish.discovery_prefix,
      base,
      node,
      version,
      topics,
      group,
      settings: () => settingsOf(parts.config()),
    });
    this.announced = new Announced(parts.store, (stream) => this.discovery.formerId(stream));
  }

  prepare(next: Config, running: Config): Change | null {
    const of = (config: Config) => [config.publish, config.home_assistant, config.streams, config.requests];
    if (isDeepStrictEqual(of(next), of(running))) return null;
    return {
      settle: () => {
        this.options.clear();
        this.announce();
      },
    };
  }

  filters(): string[] {
    return this.enabled ? [this.discovery.statusTopic] : [];
  }

  /** Handles Home Assistant's status. A retained one is older than our last announcement. */
  receive({ topic, payload, retained, acknowledge }: Incoming): boolean {
    if (topic !== this.discovery.statusTopic) return false;
    acknowledge?.();
    if (!retained && Buffer.from(payload).toString() === 'online') this.announce();
    return true;
  }

  connected(): void {
    this.connectedNow = true;
    this.mostStreams = MOST_STREAMS;
    this.announce();
    if (this.enabled) this.sendAlerts();
  }

  disconnected(): void {
    this.connectedNow = false;
    this.cancelTurn();
  }

  stop(): void {
    this.cancelTurn();
    this.announced.save();
  }

  streams(specs: readonly AnnouncedSpec[]): void {
    for (const { name } of specs) this.options.delete(name);
    if (!this.enabled) return;
    for (const spec of specs) this.want(spec);
    if (this.mustSplit()) {
      this.announce();
      return;
    }
    // New streams arrive in bursts, so collect them.
    if (this.due.size > 0) this.cancel ??= this.parts.clock.after(PAUSE_MS, () => this.turn());
  }

  forecast(forecast: Forecast): void {
    if (!this.enabled) return;
    const { stream } = forecast;
    if (!this.pace.allows(forecast, this.parts.config().publish.every)) return;
    const text = summaryText(forecast, {
      ...this.optionsOf(forecast),
      anomaly: this.anomalous.delete(stream),
    });
    if (text === null) return;
    this.pace.note(forecast);
    if (this.connectedNow) this.sendSummary(stream, text);
    else this.unsent.set(stream, text);
  }

  anomaly(stream: string): void {
    if (this.enabled) this.anomalous.add(stream);
  }

  alert(id: string, alert: Alert | null): void {
    const before = this.alerts.get(id);
    if (alert === null) this.alerts.delete(id);
    else this.alerts.set(id, alert);
    if (this.enabled && this.connectedNow && (before ?? null) !== alert) this.sendAlerts();
  }

  forget(stream: string): void {
    this.pace.forget(stream);
    this.summaryTopics.forget(stream);
    this.options.delete(stream);
    this.anomalous.delete(stream);
    this.unsent.delete(stream);
    const id = this.messageOf.get(stream) ?? this.announced.messageOf(stream);
    this.messageOf.delete(stream);
    if (id !== null) {
      this.wanted.get(id)?.delete(stream);
      // Before the first announcement of this run the message's other streams are unknown; the announcement then removes the stream.
      if (this.wanted.has(id) || this.announced.streams(id).every((one) => one === stream)) this.tell(id);
    }
    this.clear(this.parts.topics.summary(stream));
    this.announced.save();
  }

  dropped(): Readonly<Record<string, number>> {
    return this.leftOutCount === 0 ? {} : { 'home-assistant-entities': this.leftOutCount };
  }

  limit(): string | null {
    const keys = [...this.leftOut.values()].flat();
    if (keys.length === 0) return null;
    const names = keys.slice(0, MOST_NAMED).join(', ');
    const more = keys.length > MOST_NAMED ? ` and ${keys.length - MOST_NAMED} more` : '';
    return `Home Assistant lacks entities that fit in no message of ${this.parts.maxMessageBytes()} bytes: ${names}${more}`;
  }

  private get enabled(): boolean {
    return this.parts.config().publish.home_assistant;
  }

  private optionsOf({ stream }: Forecast): Omit<SummaryOptions, 'anomaly'> {
    const { publish, home_assistant } = this.parts.config();
    let found = this.options.get(stream);
    if (found === undefined) {
      const spec = this.specOf(stream);
      found = {
        leads: spec === undefined ? [] : leadsOf(spec, [...home_assistant.leads, ...publish.at]),
        quantiles: publish.quantiles,
        decimals: spec === undefined ? null : quantityOfStream(spec).decimals,
        additive: spec !== undefined && isAdditive(spec),
      };
      this.options.set(stream, found);
    }
    return found;
  }

  private specOf(stream: string): AnnouncedSpec | undefined {
    const id = this.messageOf.get(stream);
    const wanted = id === undefined ? undefined : this.wanted.get(id)?.get(stream);
    return wanted ?? this.parts.streams().find(({ name }) => name === stream);
  }

  private sendSummary(stream: string, text: string): void {
    this.unsent.delete(stream);
    const { topic } = this.summaryTopics.of(stream);
    // In bytes, as forecasts: see `ForecastText.bytesOf`.
    this.parts.send({ topic, payload: Buffer.from(text), qos: 1, retain: true });
  }

  private sendAlerts(): void {
    const alerts = [...this.alerts].map(([id, alert]) => ({ id, ...alertMessage(alert) }));
    const topic = this.parts.topics.alerts;
    const most = this.parts.maxMessageBytes() - Buffer.byteLength(topic);
    // without their texts, or their number alone, rather than a former list that the broker retains
    const lists = [alerts, alerts.map(({ id }) => ({ id })), []];
    const payloads = lists.map((list) => JSON.stringify({ count: alerts.length, alerts: list }));
    const payload = payloads.find((text) => Buffer.byteLength(text) <= most) ?? (payloads.at(-1) as string);
    this.parts.send({ topic, payload, qos: 1, retain: true });
  }

  /** Announces everything, and removes what no longer exists. */
  private announce(): void {
    this.losing.clear();
    this.removed.clear();
    this.leftOut.clear();
    do {
      this.wanted.clear();
      this.messageOf.clear();
      this.due.clear();
      if (!this.enabled) {
        this.retract();
        return;
      }
      this.due.add(this.discovery.agentId);
      for (const spec of this.parts.streams()) this.want(spec);
    } while (this.mustSplit());
    for (const id of this.announced.messages())
      if (this.announced.streams(id).some((stream) => stream !== '' && this.messageOf.get(stream) !== id))
        this.losing.add(id);
    this.turn();
  }

  /** Whether a message is too large for the broker although it could have fewer streams; the next messages then have. */
  private mustSplit(): boolean {
    if (this.parts.maxMessageBytes() >= MOST_STREAMS_BYTES) return false;
    for (const id of this.due) {
      const specs = [...(this.wanted.get(id)?.values() ?? [])];
      if (specs.length < 2 || this.fits(this.discovery.device(id, specs))) continue;
      this.mostStreams = Math.ceil(specs.length / 2);
      return true;
    }
    return false;
  }

  private fits({ message }: Announcement): boolean {
    return (
      Buffer.byteLength(message.topic) + Buffer.byteLength(message.payload) <= this.parts.maxMessageBytes()
    );
  }

  private want(spec: AnnouncedSpec): void {
    const id = this.messageFor(spec);
    const former = this.messageOf.get(spec.name);
    if (former !== undefined && former !== id) {
      this.wanted.get(former)?.delete(spec.name);
      this.losing.add(former);
    }
    const streams = this.wanted.get(id) ?? new Map<string, AnnouncedSpec>();
    streams.set(spec.name, spec);
    this.wanted.set(id, streams);
    this.messageOf.set(spec.name, id);
    this.due.add(id);
  }

  /** The device's message that announced the stream before, else the first one with free space. */
  private messageFor(spec: AnnouncedSpec): string {
    const before = this.messageOf.get(spec.name) ?? this.announced.messageOf(spec.name);
    let free: string | null = null;
    for (let part = 1; ; part++) {
      const id = this.discovery.deviceId(spec, part);
      const streams = this.wanted.get(id);
      const hasSpace = streams === undefined || streams.has(spec.name) || streams.size < this.mostStreams;
      if (id === before && hasSpace) return id;
      if (hasSpace) free ??= id;
      if (free !== null && !this.wanted.has(id) && !this.announced.has(id)) return free;
    }
  }

  private retract(): void {
    const announced = this.announced.messages();
    if (announced.length === 0) return;
    for (const id of announced) {
      for (const stream of this.announced.streams(id))
        if (stream !== '') this.clear(this.parts.topics.summary(stream));
      this.parts.send(this.discovery.gone(id));
      this.announced.delete(id);
    }
    this.unsent.clear();
    this.clear(this.parts.topics.alerts);
    this.announced.save();
  }

  private turn(): void {
    this.cancelTurn();
    let [messages, bytes] = [0, 0];
    for (const id of this.losing.size > 0 ? this.losing : this.due) {
      if (messages >= PER_TURN || bytes >= BYTES_PER_TURN) break;
      bytes += this.tell(id);
      messages++;
    }
    for (const [stream, text] of this.unsent) {
      if (messages >= PER_TURN) break;
      this.sendSummary(stream, text);
      messages++;
    }
    for (const id of this.removed) this.due.add(id);
    this.removed.clear();
    if (this.losing.size > 0 || this.due.size > 0 || this.unsent.size > 0)
      this.cancel = this.parts.clock.after(PAUSE_MS, () => this.turn());
    else this.announced.save();
  }

  /** Sends the current version of a discovery message. @returns its size in bytes */
  private tell(id: string): number {
    this.due.delete(id);
    this.losing.delete(id);
    this.leftOut.delete(id);
    const streams = this.wanted.get(id);
    const former = this.announced.components(id);
    const isAgent = id === this.discovery.agentId;
    if (!isAgent && (streams === undefined || streams.size === 0)) {
      this.wanted.delete(id);
      this.announced.delete(id);
      this.parts.send(this.discovery.gone(id));
      return 0;
    }
    const make = (removing: readonly ComponentId[], most?: number): Announcement =>
      isAgent
        ? this.discovery.agent(removing, most)
        : this.discovery.device(id, [...(streams?.values() ?? [])], removing, most);
    let announcement = make(former);
    if (!this.fits(announcement) && former.length > 0) {
      // The list of the components to remove may be what makes the message too large: remove all, and announce anew.
      this.parts.send(this.discovery.gone(id));
      this.announced.delete(id);
      this.removed.add(id);
      this.cancel ??= this.parts.clock.after(PAUSE_MS, () => this.turn());
      return 0;
    }
    const all = [...announcement.ids.values()].flat();
    let most = all.length;
    while (most > 0 && !this.fits(announcement)) announcement = make([], --most);
    const kept = new Set([...announcement.ids.values()].flat());
    if (kept.size < all.length) {
      const names = all
        .filter((component) => !kept.has(component))
        .map((component) => component.replace(/^.*:/, ''));
      this.leftOut.set(id, names);
      this.leftOutCount += names.length;
    }
    if (kept.size === 0) return 0;
    this.parts.send(announcement.message);
    this.announced.set(id, announcement.ids);
    return announcement.message.payload.length;
  }

  private clear(topic: string): void {
    this.parts.send({ topic, payload: '', qos: 1, retain: true });
  }

  private cancelTurn(): void {
    this.cancel?.();
    this.cancel = null;
  }
}

function settingsOf({
  publish,
  home_assistant,
  http,
  requests,
}: ReturnType<HomeAssistantParts['config']>): DiscoverySettings {
  const pageUrl = home_assistant.url ?? pageUrlOf(http.listen);
  return {
    quantiles: publish.quantiles,
    leads: [...home_assistant.leads, ...publish.at],
    attributes: home_assistant.attributes,
    anomalies: publish.anomalies !== null,
    // A button cannot sign its request.
    verbs: requests.signed ? [] : requests.allow,
    pageUrl,
    supportUrl: home_assistant.support_url ?? pageUrl,
  };
}
