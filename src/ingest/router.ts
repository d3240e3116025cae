/**
 * From a message to samples: finds the rules of its topic, decodes once a rule, names the streams, and meets new ones.
 * A reading belongs to the first rule that matches its topic and selects its field. No I/O and no clock; what it
 * remembers is bounded by its limits, however many topics and fields are thrown at it.
 */
import type { Sample } from '../series/sample.ts';
import { BoundedCache } from './bounded-cache.ts';
import type { DecodeSink } from './decoder.ts';
import { Message } from './message.ts';
import { identifiedField, plainField } from './naming.ts';
import { OtherAgents } from './other-agents.ts';
import { isTopic } from './pattern.ts';
import { excerpt, type Reject, type RejectReason } from './rejects.ts';
import { type Route, type RouteRule, Routes } from './routes.ts';
import {
  DEFAULT_LIMITS,
  type DiscoveredStream,
  type IngestLimits,
  type IngestRule,
  type ReservedTopics,
  type StreamSource,
} from './rule.ts';
import { Streams } from './streams.ts';

export interface OutgoingRequest {
  readonly topic: string;
  readonly payload: Uint8Array;
}

export interface Routed {
  readonly samples: readonly Sample[];
  readonly rejects: readonly Reject[];
  /** Streams met for the first time; to be added before the samples are pushed. */
  readonly discovered: readonly DiscoveredStream[];
  /** To be published, QoS 0, not retained. */
  readonly requests: readonly OutgoingRequest[];
}

const NOTHING: Routed = { samples: [], rejects: [], discovered: [], requests: [] };
/** Every value of a large message may be wrong; neither log nor memory nor time may grow with it. */
const MAX_REJECTS = 1024;
/**
 * Work that messages of one topic may cause within a second without giving readings for it, in bytes looked at; a
 * reject counts as REJECT_BYTES, and a message that is as large as its readings explain counts nothing. Parsing takes
 * some 10 ns a byte, so this is about 2 % of a core.
 */
const WASTE_PER_S = 2 * 1024 * 1024;
const REJECT_BYTES = 256;
const FREE_BYTES = 4096;
const BYTES_PER_READING = 64;
/** What an object or a list costs beyond its bytes, most of it in the garbage collector; this many a reading are usual. */
const CONTAINER_BYTES = 64;
const CONTAINERS_PER_READING = 4;
/** A config that allows larger payloads means them: this many a second are no waste. */
const LARGEST_PAYLOADS_PER_S = 8;
/** A retained reading that is older than this when its stream begins says nothing about it. */
const OLDEST_WAITING_MS = 86_400_000;

export class Router {
  private readonly limits: IngestLimits;
  private readonly topicFilters: readonly string[];
  private readonly routes: Routes;
  private readonly streams: Streams;
  private readonly counts = new Map<RejectReason, number>();
  private readonly otherAgents = new OtherAgents();
  /** By stream that has sent nothing live yet, its retained reading. */
  private readonly retained: BoundedCache<string, Sample>;
  private readonly wastePerS: number;

  constructor(
    rules: readonly IngestRule[],
    options: { limits?: Partial<IngestLimits>; reserved?: readonly ReservedTopics[] } = {},
  ) {
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.topicFilters = [...new Set(rules.map(({ pattern }) => pattern.filter))];
    this.routes = new Routes(rules, options.reserved ?? [], this.limits);
    this.streams = new Streams(this.limits.maxStreams);
    this.retained = new BoundedCache(2 * this.limits.maxStreams);
    this.wastePerS = Math.max(WASTE_PER_S, LARGEST_PAYLOADS_PER_S * this.limits.maxPayloadBytes);
  }

  /** What to subscribe to. */
  filters(): readonly string[] {
    return this.topicFilters;
  }

  /** Messages and values dropped so far, by reason; reasons that did not occur are absent. */
  dropped(): Partial<Record<RejectReason, number>> {
    return Object.fromEntries(this.counts);
  }

  stats(): { streams: number; cachedTopics: number } {
    return { streams: this.streams.size, cachedTopics: this.routes.size };
  }

  /** Numbers of the rules that read this topic, ascending. */
  rulesOf(topic: string): number[] {
    return isTopic(topic) ? this.routes.of(topic).rules.map(({ number }) => number) : [];
  }

  /** Takes up a stream known from an earlier run; null when the config no longer reads it, or no room is left. */
  adopt(source: StreamSource): DiscoveredStream | null {
    if (!isTopic(source.topic)) return null;
    const { rules } = this.routes.of(source.topic);
    const owner = rules.find(({ decoder }) => decoder.selects(plainField(source.field)));
    if (owner === undefined) return null;
    const admission = this.streams.admit(owner, source, null);
    return admission.kind === 'new' ? admission.stream : null;
  }

  /** Makes room for another stream. The forgotten one is met again if it still sends. */
  forget(stream: string): void {
    if (this.streams.delete(stream)) this.routes.clear();
  }

  /**
   * @param arrivalMs ms since 1970 UTC
   * @param retained kept by the broker from before; it takes up no stream. Never throws.
   */
  message(topic: string, payload: Uint8Array, arrivalMs: number, retained = false): Routed {
    if (!isTopic(topic)) return this.refused('bad-topic', excerpt(topic));
    const route = this.routes.of(topic);
    if (route.reserved) return NOTHING;
    if (route.rules.length === 0) return this.refused('unmatched-topic', excerpt(topic));
    if (payload.length === 0) return this.refused('empty', excerpt(topic));
    if (payload.length > this.limits.maxPayloadBytes)
      return this.refused('oversize', `${payload.length} bytes on ${excerpt(topic)}`);

    const second = Math.floor(arrivalMs / 1000);
    if (route.waste > this.wastePerS && route.wasteSecond === second)
      return this.refused('over-budget', excerpt(topic));

    const message = new Message(topic, payload, arrivalMs, this.limits.maxJsonDepth);
    if (route.mayBeAgent && this.otherAgents.sent(message))
      return this.refused('other-agent', excerpt(topic));
    const collector = new Collector(message, route, this.routes, this.streams, this.limits, this.count);
    if (retained) collector.retained = this.retained;
    for (const rule of route.rules) {
      collector.rule = rule;
      rule.decoder.decode(message, collector);
    }
    collector.finish();
    if (collector.discovered.length > 0 && this.retained.size > 0) this.addWaiting(collector);
    if (payload.length > FREE_BYTES || collector.rejects.length > 0) {
      const waste =
        Math.max(0, payload.length - FREE_BYTES - BYTES_PER_READING * collector.samples.length) +
        CONTAINER_BYTES *
          Math.max(0, containersOf(payload) - CONTAINERS_PER_READING * collector.samples.length) +
        REJECT_BYTES * collector.rejects.length;
      route.waste = route.wasteSecond === second ? route.waste + waste : waste;
      route.wasteSecond = second;
    }
    return collector;
  }

  /** The retained readings of streams that have just been taken up, before their first live ones. */
  private addWaiting({ samples, discovered }: Collector): void {
    for (const { spec } of discovered) {
      const waiting = this.retained.get(spec.name);
      if (waiting === undefined) continue;
      this.retained.delete(spec.name);
      const live = samples.find(({ stream }) => stream === spec.name);
      if (
        live !== undefined &&
        live.timeMs - waiting.timeMs <= OLDEST_WAITING_MS &&
        waiting.timeMs < live.timeMs
      )
        samples.unshift(waiting);
    }
  }

  private refused(reason: RejectReason, detail: string): Routed {
    this.count(reason);
    return { ...NOTHING, rejects: [{ reason, detail }] };
  }

  private readonly count = (reason: RejectReason): void => {
    this.counts.set(reason, (this.counts.get(reason) ?? 0) + 1);
  };
}

/** Objects and lists of a large JSON text; brackets inside strings count as well, which does no harm. 0 for a small one. */
function containersOf(payload: Uint8Array): number {
  if (payload.length <= FREE_BYTES) return 0;
  let containers = 0;
  for (const byte of payload) if (byte === 0x7b || byte === 0x5b) containers++;
  return containers;
}

/** Gathers what the decoders find in one message. */
class Collector implements DecodeSink, Routed {
  readonly samples: Sample[] = [];
  readonly rejects: Reject[] = [];
  readonly discovered: DiscoveredStream[] = [];
  readonly requests: OutgoingRequest[] = [];
  /** Whose decoder is at work. */
  rule: RouteRule | null = null;
  /** Where readings of unknown streams wait, when the message is a retained one. */
  retained: BoundedCache<string, Sample> | null = null;
  /** What the name takes from the payload, for the readings that follow. */
  private identity: readonly string[] | null = null;
  private left: number;
  /** Fields that a rule selects but has no stream for: no later rule takes them. */
  private refused: Set<string> | null = null;
  /** Set by a rule that found nothing of its own. */
  private absent: Reject | null = null;
  private readonly message: Message;
  private readonly route: Route;
  private readonly routes: Routes;
  private readonly streams: Streams;
  private readonly count: (reason: RejectReason) => void;

  constructor(
    message: Message,
    route: Route,
    routes: Routes,
    streams: Streams,
    limits: IngestLimits,
    count: (reason: RejectReason) => void,
  ) {
    this.message = message;
    this.route = route;
    this.routes = routes;
    this.streams = streams;
    this.left = limits.maxReadings;
    this.count = count;
  }

  get full(): boolean {
    return this.left < 0 || this.rejects.length >= MAX_REJECTS;
  }

  identify(values: readonly string[] | null): void {
    this.identity = values;
  }

  reading(name: string, value: number, timeMs: number | null, unit: string | null): void {
    if (this.left <= 0) {
      if (this.left === 0) this.reject('too-many-readings', excerpt(this.message.topic));
      this.left = -1;
      return;
    }
    this.left -= 1;
    const field = this.identity === null ? name : identifiedField(name, this.identity);
    if (this.retained !== null && this.waits(this.retained, field, value, timeMs)) return;
    const stream = this.stream(field, unit);
    if (stream === null) return;
    const { arrivalMs } = this.message;
    const sample = { stream, timeMs: timeMs ?? arrivalMs, value, arrivalMs };
    this.samples.push(sample);
  }

  /** Whether a retained reading is of a stream that has sent nothing live yet. How old it is, only its own time can tell. */
  private waits(
    retained: BoundedCache<string, Sample>,
    field: string,
    value: number,
    timeMs: number | null,
  ): boolean {
    if (this.route.bindings.get(field) !== undefined) return false;
    const { topic, arrivalMs } = this.message;
    const name = this.streams.unknownName(this.rule as RouteRule, { topic, field });
    if (name === null) return false;
    if (timeMs !== null) retained.set(name, { stream: name, timeMs, value, arrivalMs });
    this.reject('only-retained', name);
    return true;
  }

  reject(
    reason: RejectReason,
    detail: string,
    whole = reason === 'missing-field' || reason === 'no-number',
  ): void {
    if (whole) this.absent ??= { reason, detail };
    else this.add(reason, detail);
  }

  /** A message is useless when none of its rules found anything; one that has nothing for some of them is usual. */
  finish(): void {
    if (this.absent !== null && this.samples.length + this.rejects.length === 0)
      this.add(this.absent.reason, this.absent.detail);
  }

  private add(reason: RejectReason, detail: string): void {
    this.count(reason);
    if (this.rejects.length < MAX_REJECTS) this.rejects.push({ reason, detail });
  }

  request(topic: string, payload: Uint8Array): void {
    this.requests.push({ topic, payload });
  }

  /** Null after a reject, and silently where an earlier rule owns the field. */
  private stream(field: string, unit: string | null): string | null {
    const rule = this.rule as RouteRule;
    const bound = this.route.bindings.get(field);
    if (bound !== undefined) return bound.rule === rule.number ? bound.stream : null;
    if (this.refused?.has(field)) return null;
    const { topic } = this.message;
    const admission = this.streams.admit(rule, { topic, field }, unit);
    if (admission.kind !== 'new' && admission.kind !== 'known') {
      this.refused ??= new Set();
      this.refused.add(field);
    }
    switch (admission.kind) {
      case 'unnamed':
        this.reject('bad-stream-name', `field "${excerpt(field, 40)}" of ${excerpt(topic, 60)}`);
        return null;
      case 'full':
        this.reject('stream-limit', admission.name);
        return null;
      case 'conflict':
        this.reject(
          'name-conflict',
          `${admission.name} belongs to streams[${admission.owner}]; \`name\` gives others`,
        );
        return null;
      case 'new':
        this.discovered.push(admission.stream);
        break;
      case 'known':
        break;
    }
    this.routes.bind(this.route, { field, rule: rule.number, stream: admission.name });
    return admission.name;
  }
}
