/** Turns what the agent knows into messages on their topics, and hands them to the client. Decides what is said how often; has no connection of its own. */
import { formatDuration } from '../config/units.ts';
import type { Surprise } from '../forecast/anomalies.ts';
import type { Forecast } from '../forecast/forecast.ts';
import type { LeadScore } from '../forecast/track.ts';
import {
  type Alert,
  alertMessage,
  anomalyMessage,
  digitsOf,
  forecastText,
  type GroupInput,
  groupMessage,
  type HealthInput,
  healthMessage,
  type ModelName,
  medianAt,
  type StatusInput,
  scoreMessage,
  statusMessage,
} from '../outputs/messages.ts';
import type { Outgoing } from './outbox.ts';
import type { Topics } from './topics.ts';

export interface PublishSettings {
  /** Which of the nine. */
  readonly quantiles: readonly number[];
  /** Least time between two forecasts of a stream, ms; null: every one. */
  readonly everyMs: number | null;
  /** Leads whose median also goes out as a plain number, ms. */
  readonly atMs: readonly number[];
}

export interface PublisherParts {
  readonly topics: Topics;
  readonly send: (message: Outgoing) => void;
  /** Asked at each forecast: a running agent may be told otherwise. */
  readonly settings: () => PublishSettings;
  readonly model: () => ModelName;
  /** Most bytes of a message, topic and payload, that the broker takes; left out: any. */
  readonly maxBytes?: () => number;
}

export class Publisher {
  readonly #parts: PublisherParts;
  /** Origin of the newest forecast published, by stream. */
  readonly #published = new Map<string, number>();
  /** Whether the broker keeps a plain number, by topic; absent: this run has not said anything on it. */
  readonly #keptAt = new Map<string, boolean>();
  readonly #resumed = new Set<string>();
  #notFinite = 0;

  constructor(parts: PublisherParts) {
    this.#parts = parts;
  }

  /** Forecasts that were not published, by reason. */
  dropped(): Readonly<Record<string, number>> {
    return this.#notFinite === 0 ? {} : { 'forecast-not-finite': this.#notFinite };
  }

  /** Streams of an earlier run, of which the broker may keep numbers. */
  resume(streams: Iterable<string>): void {
    for (const stream of streams) this.#resumed.add(stream);
  }

  forecasts(forecasts: readonly Forecast[], nowMs: number): void {
    const settings = this.#parts.settings();
    for (const forecast of forecasts) this.#forecast(forecast, nowMs, settings);
  }

  health(health: HealthInput): void {
    this.#json(this.#parts.topics.health, healthMessage(health));
  }

  group(group: string, input: GroupInput): void {
    this.#json(this.#parts.topics.model(group), groupMessage(input));
  }

  score(stream: string, scores: readonly LeadScore[], window: number): void {
    this.#json(this.#parts.topics.score(stream), scoreMessage(scores, window));
  }

  anomaly(stream: string, anomaly: Surprise): void {
    this.#json(this.#parts.topics.anomaly(stream), anomalyMessage(anomaly), false);
  }

  /** Null takes it back. */
  alert(id: string, alert: Alert | null): void {
    const topic = this.#parts.topics.alert(id);
    if (alert === null) this.#clear(topic);
    else this.#json(topic, alertMessage(alert));
  }

  /** Takes back what the broker keeps of a stream. */
  forget(stream: string): void {
    const { topics, settings } = this.#parts;
    this.#published.delete(stream);
    this.#resumed.delete(stream);
    this.#clear(topics.forecast(stream));
    this.#clear(topics.score(stream));
    // Not kept by the broker, unless someone else had it kept.
    this.#clear(topics.anomaly(stream));
    this.forgetLeads(stream, settings().atMs.map(formatDuration));
  }

  /** Leads that are not published any more. */
  forgetLeads(stream: string, leads: readonly string[]): void {
    for (const lead of leads) {
      const topic = this.#parts.topics.forecastAt(stream, lead);
      this.#keptAt.delete(topic);
      this.#clear(topic);
    }
  }

  /** What was learnt of it is gone, and so is what it was scored by. */
  forgetScore(stream: string): void {
    this.#clear(this.#parts.topics.score(stream));
  }

  /** `everyMs` counts in the streams' own time, so that a burst of late buckets is one message too. */
  #forecast(forecast: Forecast, nowMs: number, settings: PublishSettings): void {
    const { topics, model, maxBytes } = this.#parts;
    const last = this.#published.get(forecast.stream);
    const tooSoon =
      settings.everyMs !== null &&
      last !== undefined &&
      forecast.originMs > last &&
      forecast.originMs - last < settings.everyMs;
    if (tooSoon) return;
    const digits = digitsOf(forecast);
    const topic = topics.forecast(forecast.stream);
    const message = forecastText(
      forecast,
      { quantiles: settings.quantiles, digits, issuedMs: nowMs, model: model() },
      (maxBytes?.() ?? Number.POSITIVE_INFINITY) - Buffer.byteLength(topic),
    );
    if (message === null) {
      this.#notFinite++;
      return;
    }
    this.#published.set(forecast.stream, forecast.originMs);
    this.#text(topic, message, true);
    for (const ahead of settings.atMs) this.#median(forecast, ahead, digits);
  }

  /** A number that an earlier, longer horizon reached is taken back, also one of an earlier run. */
  #median(forecast: Forecast, aheadMs: number, digits: number): void {
    const topic = this.#parts.topics.forecastAt(forecast.stream, formatDuration(aheadMs));
    const value = medianAt(forecast, aheadMs, digits);
    if (value !== null) this.#text(topic, String(value), true);
    else if (this.#keptAt.get(topic) ?? this.#resumed.has(forecast.stream)) this.#clear(topic);
    this.#keptAt.set(topic, value !== null);
  }

  #json(topic: string, message: Record<string, unknown>, retain = true): void {
    this.#text(topic, JSON.stringify(message), retain);
  }

  #clear(topic: string): void {
    this.#text(topic, '', true);
  }

  #text(topic: string, payload: string, retain: boolean): void {
    this.#parts.send({ topic, payload, qos: 1, retain });
  }
}

/** For the last will and the birth, which the client sends by itself. */
export function statusOf(topics: Topics, status: StatusInput): Outgoing {
  return { topic: topics.status, payload: JSON.stringify(statusMessage(status)), qos: 1, retain: true };
}
