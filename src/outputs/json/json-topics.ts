/**
 * The output that is always on: JSON messages on gatecast's own topics (the reference in `docs/mqtt.md`), and plain numbers for
 * consumers without JSON. It also gives the birth and the last will of the MQTT connection.
 */
import type { Change, Context } from '../../agent/part.ts';
import { type Config, formatDuration } from '../../config/index.ts';
import type { Anomaly } from '../../forecast/anomalies.ts';
import type { Forecast } from '../../forecast/forecast.ts';
import type { LeadScore } from '../../forecast/track.ts';
import type { Outgoing } from '../../mqtt/outbox.ts';
import { StreamTopics, type Topics } from '../../mqtt/topics.ts';
import { type MetaStore, StoredValue } from '../../system/stored-value.ts';
import type { Alert, GroupInput, HealthInput, ModelName, Output, StatusState } from '../output.ts';
import { Pace } from '../pace.ts';
import { ForecastText } from './forecast-text.ts';
import {
  alertMessage,
  anomalyMessage,
  digitsOf,
  groupMessage,
  healthMessage,
  medianAt,
  scoreMessage,
  statusMessage,
} from './messages.ts';

type PublishSettings = Pick<Config['publish'], 'quantiles' | 'every' | 'at'>;

export interface JsonTopicsParts
  extends Pick<Context, 'topics' | 'send' | 'version' | 'since' | 'session' | 'maxMessageBytes'> {
  readonly config: () => { readonly publish: PublishSettings };
  readonly store: MetaStore;
  /** Streams that the agent forecasts. */
  readonly streams: () => readonly { readonly name: string }[];
  /** The model that forecasts. */
  readonly model: () => ModelName;
}

export class JsonTopics implements Output {
  readonly name = 'JSON topics';
  private readonly topics: Topics;
  private readonly pace = new Pace();
  private readonly forecastText = new ForecastText();
  private readonly forecastTopics: StreamTopics;
  /** Whether the broker retains a plain number, by topic; absent: this run has published nothing there. */
  private readonly retainedAt = new Map<string, boolean>();
  /** Streams of an earlier run: the broker may retain their numbers. */
  private readonly resumed = new Set<string>();
  /** Leads that this run or the one before published as plain numbers. */
  private readonly leads = new Set<string>();
  private readonly keptLeads: StoredValue<readonly string[]>;
  private notFinite = 0;
  /** Size of the last forecast, bytes. */
  private forecastBytes = 0;

  constructor(private readonly parts: JsonTopicsParts) {
    this.topics = parts.topics;
    this.keptLeads = new StoredValue<readonly string[]>(
      parts.store,
      'agent.leads',
      leadsOf,
      (stored, own) => [...new Set([...stored, ...own])],
    );
    this.forecastTopics = new StreamTopics(parts.topics.forecast);
  }

  start(): void {
    for (const { name } of this.parts.streams()) this.resumed.add(name);
    this.clearFormerLeads();
  }

  prepare(next: Config, running: Config): Change | null {
    if (next.publish.at.join() === running.publish.at.join()) return null;
    return { settle: () => this.clearFormerLeads() };
  }

  /** Leads of earlier runs that could not be read at the start are kept for the next one. */
  stop(): void {
    if (this.keptLeads.isUnread) this.keptLeads.save([...this.leads]);
  }

  birth(): Outgoing[] {
    return [this.status('online')];
  }

  will(): Outgoing {
    return this.status('offline');
  }

  farewell(): Outgoing[] {
    return [this.status('offline')];
  }

  dropped(): Readonly<Record<string, number>> {
    return this.notFinite === 0 ? {} : { 'forecast-not-finite': this.notFinite };
  }

  limit(): string | null {
    const { forecastBytes } = this;
    if (forecastBytes <= this.parts.maxMessageBytes()) return null;
    return `no forecasts are sent: the shortest takes ${forecastBytes} bytes`;
  }

  forecast(forecast: Forecast, nowMs: number): void {
    const { quantiles, every, at } = this.parts.config().publish;
    if (!this.pace.allows(forecast, every)) return;
    const digits = digitsOf(forecast);
    const { topic, bytes } = this.forecastTopics.of(forecast.stream);
    const message = this.forecastText.bytesOf(
      forecast,
      { quantiles, digits, issuedMs: nowMs, model: this.parts.model() },
      this.parts.maxMessageBytes() - bytes,
    );
    if (message === null) {
      this.notFinite++;
      return;
    }
    this.forecastBytes = bytes + message.length;
    this.pace.note(forecast);
    this.text(topic, message, true);
    for (const aheadMs of at) this.median(forecast, aheadMs, digits);
  }

  anomaly(stream: string, anomaly: Anomaly): void {
    this.json(this.topics.anomaly(stream), anomalyMessage(anomaly), false);
  }

  score(stream: string, scores: readonly LeadScore[], window: number): void {
    const topic = this.topics.score(stream);
    const most = this.parts.maxMessageBytes() - Buffer.byteLength(topic);
    const textOf = (leads: number): string => JSON.stringify(scoreMessage(scores.slice(0, leads), window));
    let leads = scores.length;
    while (leads > 1 && Buffer.byteLength(textOf(leads)) > most) leads--;
    this.text(topic, textOf(leads), true);
  }

  reset(stream: string): void {
    this.clear(this.topics.score(stream));
  }

  health(health: HealthInput): void {
    const longest = Math.max(0, ...health.degraded.map((text) => text.length));
    this.shortened(this.topics.health, longest, (chars) =>
      healthMessage({ ...health, degraded: health.degraded.map((text) => cut(text, chars)) }),
    );
  }

  group(group: string, status: GroupInput): void {
    this.json(this.topics.model(group), groupMessage(status));
  }

  alert(id: string, alert: Alert | null): void {
    const topic = this.topics.alert(id);
    if (alert === null) this.clear(topic);
    else
      this.shortened(topic, alert.text.length, (chars) =>
        alertMessage({ ...alert, text: cut(alert.text, chars) }),
      );
  }

  /** Clears the retained messages of a stream. */
  forget(stream: string): void {
    const { topics } = this;
    this.pace.forget(stream);
    this.forecastTopics.forget(stream);
    this.resumed.delete(stream);
    this.clear(topics.forecast(stream));
    this.clear(topics.score(stream));
    // Anomalies are not retained, but another client may have published a retained one.
    this.clear(topics.anomaly(stream));
    this.clearLeads(stream, this.leads);
  }

  private status(state: StatusState): Outgoing {
    const { version, since, session } = this.parts;
    const message = statusMessage({ state, version, sinceMs: since(), session });
    return { topic: this.topics.status, payload: JSON.stringify(message), qos: 1, retain: true };
  }

  /** Clears the plain numbers of leads that an earlier config published and this one does not. */
  private clearFormerLeads(): void {
    const leads = this.parts.config().publish.at.map(formatDuration);
    const before = this.keptLeads.read();
    this.keptLeads.save(leads);
    for (const lead of [...before, ...leads]) this.leads.add(lead);
    const former = before.filter((lead) => !leads.includes(lead));
    if (former.length > 0) for (const { name } of this.parts.streams()) this.clearLeads(name, former);
  }

  private clearLeads(stream: string, leads: Iterable<string>): void {
    for (const lead of leads) {
      const topic = this.topics.forecastAt(stream, lead);
      this.retainedAt.delete(topic);
      this.clear(topic);
    }
  }

  /** Publishes the median at a lead. Clears a lead beyond the horizon if a longer horizon published it before, in this or an earlier run. */
  private median(forecast: Forecast, aheadMs: number, digits: number): void {
    const topic = this.topics.forecastAt(forecast.stream, formatDuration(aheadMs));
    const value = medianAt(forecast, aheadMs, digits);
    if (value !== null) this.text(topic, String(value), true);
    else if (this.retainedAt.get(topic) ?? this.resumed.has(forecast.stream)) this.clear(topic);
    this.retainedAt.set(topic, value !== null);
  }

  /** @param of the message with texts of at most so many characters; they are cut until the broker takes it */
  private shortened(topic: string, longest: number, of: (chars: number) => Record<string, unknown>): void {
    const most = this.parts.maxMessageBytes() - Buffer.byteLength(topic);
    let chars = longest;
    let message = JSON.stringify(of(chars));
    while (chars > 0 && Buffer.byteLength(message) > most) {
      // a character takes at most 3 bytes
      chars = Math.max(0, chars - Math.ceil((Buffer.byteLength(message) - most) / 3));
      message = JSON.stringify(of(chars));
    }
    this.text(topic, message, true);
  }

  private json(topic: string, message: Record<string, unknown>, retain = true): void {
    this.text(topic, JSON.stringify(message), retain);
  }

  private clear(topic: string): void {
    this.text(topic, '', true);
  }

  private text(topic: string, payload: string | Uint8Array, retain: boolean): void {
    this.parts.send({ topic, payload, qos: 1, retain });
  }
}

const cut = (text: string, chars: number): string =>
  text.length <= chars ? text : `${text.slice(0, chars)}…`;

const leadsOf = (json: unknown): string[] =>
  Array.isArray(json) ? json.filter((value) => typeof value === 'string') : [];
