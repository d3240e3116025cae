/**
 * Turns messages into samples: finds the rules of the topic, decodes once per rule, and names and discovers streams. A
 * reading belongs to the first rule that matches its topic and selects its field. No I/O and no clock; memory is bounded
 * for any number of topics and fields.
 */
import type { Reading, Sample } from '../series/sample.ts';
import type { StreamSpec } from '../series/spec.ts';
import { BoundedCache } from './bounded-cache.ts';
import type { DecodeSink } from './decoder.ts';
import { plainPayload } from './encoding.ts';
import { Message } from './message.ts';
import { identifiedField, plainField, streamName } from './naming.ts';
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
import { SPARKPLUG_PREFIX, splitSparkplug } from './sparkplug-payload.ts';
import { discovered, Streams } from './streams.ts';

export interface OutgoingRequest {
  readonly topic: string;
  readonly payload: Uint8Array;
}

export interface Routed {
  readonly samples: readonly Reading[];
  readonly rejects: readonly Reject[];
  /** New streams, to be added before the samples are pushed. */
  readonly discovered: readonly DiscoveredStream[];
  /** Messages to publish with QoS 0, not retained. */
  readonly requests: readonly OutgoingRequest[];
  /**
   * Payloads of the further parts of a large Sparkplug message, to be passed to `message` with `continues`, each in its own turn of
   * the event loop, and before any other Sparkplug message.
   */
  readonly rest?: readonly Uint8Array[];
}

const NOTHING: Routed = { samples: [], rejects: [], discovered: [], requests: [] };
/** Maximum number of recorded rejects per message. */
const MAX_REJECTS = 1024;
/**
 * Limit of wasted work per topic and second, in bytes parsed without giving readings. A reject counts as REJECT_BYTES; a
 * message whose size is explained by its readings counts nothing. Parsing takes about 10 ns per byte, so this is about
 * 2 % of a core.
 */
const WASTE_PER_S = 2 * 1024 * 1024;
const REJECT_BYTES = 256;
const FREE_BYTES = 4096;
const BYTES_PER_READING = 64;
/** Cost of an object or list beyond its bytes (mostly garbage collection), and usual number of them per reading. */
const CONTAINER_BYTES = 64;
const CONTAINERS_PER_READING = 4;
/** With a larger `max_payload`, this many of the largest payloads per second are allowed as waste. */
const LARGEST_PAYLOADS_PER_S = 8;
/** Maximum age of a retained reading when its stream starts. */
const OLDEST_WAITING_MS = 86_400_000;

export class Router {
  private readonly limits: IngestLimits;
  private readonly topicFilters: readonly string[];
  private readonly routes: Routes;
  private readonly streams: Streams;
  private readonly counts = new Map<RejectReason, number>();
  private readonly otherAgents = new OtherAgents();
  /** Retained readings of streams without a live reading so far, by stream. */
  private readonly retained: BoundedCache<string, Sample>;
  private readonly wastePerS: number;

  constructor(
    rules: readonly IngestRule[],
    options: { limits?: Partial<IngestLimits>; reserved?: readonly ReservedTopics[] } = {},
  ) {
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.topicFilters = [...new Set(rules.flatMap(({ pattern }) => pattern.filters))];
    this.routes = new Routes(rules, options.reserved ?? [], this.limits);
    this.streams = new Streams(this.limits.maxStreams);
    this.retained = new BoundedCache(2 * this.limits.maxStreams);
    this.wastePerS = Math.max(WASTE_PER_S, LARGEST_PAYLOADS_PER_S * this.limits.maxPayloadBytes);
  }

  filters(): readonly string[] {
    return this.topicFilters;
  }

  /** The rules for which neither a message nor a stream of an earlier run has come so far. */
  unheard(): readonly IngestRule[] {
    return this.routes.unheardRules();
  }

  /** Number of messages and values dropped so far, by reason. */
  dropped(): Partial<Record<RejectReason, number>> {
    return Object.fromEntries(this.counts);
  }

  stats(): { streams: number; cachedTopics: number } {
    return { streams: this.streams.size, cachedTopics: this.routes.size };
  }

  /** Indices of the rules that read this topic, ascending. */
  rulesOf(topic: string): number[] {
    return isTopic(topic) ? this.routes.of(topic).rules.map(({ number }) => number) : [];
  }

  /** Restores a stream of an earlier run; null if the config no longer reads it, or the limit of streams is reached. */
  adopt(source: StreamSource): DiscoveredStream | null {
    if (!isTopic(source.topic)) return null;
    const owner = this.ownerOf(source.topic, source.field);
    if (owner === undefined) return null;
    const admission = this.streams.admit(owner, source, null);
    return admission.kind === 'new' ? admission.stream : null;
  }

  /** The name of the stream that has this source, whether it exists or not; null if the config does not read it. */
  nameOf({ topic, field }: StreamSource): string | null {
    const owner = isTopic(topic) ? this.ownerOf(topic, field) : undefined;
    return owner === undefined ? null : streamName(owner.rule, topic, owner.taken, field);
  }

  /** As `nameOf`: the stream's settings. */
  specOf(source: StreamSource): StreamSpec | null {
    const owner = isTopic(source.topic) ? this.ownerOf(source.topic, source.field) : undefined;
    if (owner === undefined) return null;
    const name = streamName(owner.rule, source.topic, owner.taken, source.field);
    return name === null ? null : discovered(owner, name, source, null).spec;
  }

  private ownerOf(topic: string, field: string): RouteRule | undefined {
    return this.routes.of(topic).rules.find(({ decoder }) => decoder.selects(plainField(field)));
  }

  /** Removes a stream. It is discovered again if it still sends. */
  forget(stream: string): void {
    if (this.streams.delete(stream)) this.routes.clear();
  }

  /**
   * @param arrivalMs ms since 1970 UTC
   * @param retained a retained message, which does not create streams. Never throws.
   * @param continues a further part of a message, see `Routed.rest`
   */
  message(
    topic: string,
    payload: Uint8Array,
    arrivalMs: number,
    retained = false,
    continues = false,
  ): Routed {
    if (!isTopic(topic)) return this.refused('bad-topic', excerpt(topic));
    const route = this.routes.of(topic);
    if (route.reserved) return NOTHING;
    if (route.rules.length === 0) return this.refused('unmatched-topic', excerpt(topic));
    if (payload.length === 0) {
      // agents clear their retained messages
      const empty = new Message(topic, payload, arrivalMs, this.limits.maxJsonDepth);
      const isAgent = route.mayBeAgent && this.otherAgents.sent(empty);
      return this.refused(isAgent ? 'other-agent' : 'empty', excerpt(topic));
    }
    if (!continues && topic.startsWith(SPARKPLUG_PREFIX)) {
      const { maxReadings, maxPayloadBytes } = this.limits;
      const [first, ...rest] = splitSparkplug(payload, maxReadings, maxPayloadBytes) ?? [];
      if (first !== undefined) {
        const { samples, rejects, discovered, requests } = this.message(topic, first, arrivalMs, retained);
        const isRefused = rejects.some(({ reason }) => reason === 'over-budget');
        if (isRefused) return { samples, rejects, discovered, requests };
        addWaste(route, CONTAINER_BYTES * maxReadings * rest.length, Math.floor(arrivalMs / 1000));
        return { samples, rejects, discovered, requests, rest };
      }
    }
    if (payload.length > this.limits.maxPayloadBytes)
      return this.refused('oversize', `${payload.length} bytes on ${excerpt(topic)}`);

    const second = Math.floor(arrivalMs / 1000);
    if (!continues && route.waste > this.wastePerS && route.wasteSecond === second)
      return this.refused('over-budget', excerpt(topic));

    const plain = route.isBinary ? payload : plainPayload(payload, this.limits.maxPayloadBytes);
    if ('reason' in plain) {
      addWaste(route, plain.wasted + REJECT_BYTES, second);
      return this.refused(plain.reason, `${plain.detail} on ${excerpt(topic)}`);
    }
    const message = new Message(topic, plain, arrivalMs, this.limits.maxJsonDepth, continues);
    if (route.mayBeAgent && this.otherAgents.sent(message))
      return this.refused('other-agent', excerpt(topic));
    const collector = new Collector(message, route, this.routes, this.streams, this.limits, this.count);
    if (retained) collector.retained = this.retained;
    // in the messages 1, 2, 4, 8, … of a topic, until one is found
    if (route.searched >= 0 && (++route.searched & (route.searched - 1)) === 0) {
      const repeated = message.repeatedKey();
      if (repeated !== null) {
        route.searched = -1;
        collector.reject('repeated-key', `${excerpt(repeated, 60)} on ${excerpt(topic)}`);
      }
    }
    for (const rule of route.rules) {
      collector.rule = rule;
      rule.decoder.decode(message, collector);
    }
    collector.finish();
    if (collector.discovered.length > 0 && this.retained.size > 0) this.addWaiting(collector);
    if (plain.length > FREE_BYTES || collector.rejects.length > 0) {
      const waste =
        Math.max(0, plain.length - FREE_BYTES - BYTES_PER_READING * collector.samples.length) +
        CONTAINER_BYTES *
          Math.max(0, containersOf(plain) - CONTAINERS_PER_READING * collector.samples.length) +
        REJECT_BYTES * collector.rejects.length;
      addWaste(route, waste, second);
    }
    return collector;
  }

  /** Reads all parts of a large message at once; for commands. */
  wholeMessage(topic: string, payload: Uint8Array, arrivalMs: number, retained = false): Routed {
    const first = this.message(topic, payload, arrivalMs, retained);
    const { rest = [] } = first;
    if (rest.length === 0) return first;
    const parts = [first, ...rest.map((part) => this.message(topic, part, arrivalMs, retained, true))];
    return {
      samples: parts.flatMap(({ samples }) => samples),
      rejects: parts.flatMap(({ rejects }) => rejects),
      discovered: parts.flatMap(({ discovered }) => discovered),
      requests: parts.flatMap(({ requests }) => requests),
    };
  }

  /** Adds the retained readings of new streams before their first live readings. */
  private addWaiting({ samples, discovered }: Collector): void {
    for (const { spec } of discovered) {
      const waiting = this.retained.get(spec.name);
      if (waiting === undefined) continue;
      this.retained.delete(spec.name);
      const live = samples.find(({ stream }) => stream === spec.name);
      if (
        live !== undefined &&
        timeOf(live) - waiting.timeMs <= OLDEST_WAITING_MS &&
        waiting.timeMs < timeOf(live)
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

function addWaste(route: Route, bytes: number, second: number): void {
  route.waste = route.wasteSecond === second ? route.waste + bytes : bytes;
  route.wasteSecond = second;
}

const timeOf = ({ timeMs, arrivalMs }: Reading): number => timeMs ?? arrivalMs;

/** Number of objects and lists in a large JSON text (also counts brackets in strings); 0 for a small text. */
function containersOf(payload: Uint8Array): number {
  if (payload.length <= FREE_BYTES) return 0;
  let containers = 0;
  for (const byte of payload) if (byte === 0x7b || byte === 0x5b) containers++;
  return containers;
}

class Collector implements DecodeSink, Routed {
  readonly samples: Reading[] = [];
  readonly rejects: Reject[] = [];
  readonly discovered: DiscoveredStream[] = [];
  readonly requests: OutgoingRequest[] = [];
  /** Rule whose decoder is running. */
  rule: RouteRule | null = null;
  /** For a retained message: stores readings of unknown streams. */
  retained: BoundedCache<string, Sample> | null = null;
  /** Payload values used in the name of the following readings. */
  private identity: readonly string[] | null = null;
  private left: number;
  /** Fields that a rule selects but that get no stream; later rules do not read them. */
  private refused: Set<string> | null = null;
  /** Reject of the whole message, from a rule that found nothing in it. */
  private absent: Reject | null = null;

  constructor(
    private readonly message: Message,
    private readonly route: Route,
    private readonly routes: Routes,
    private readonly streams: Streams,
    limits: IngestLimits,
    private readonly count: (reason: RejectReason) => void,
  ) {
    this.left = limits.maxReadings;
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
    this.samples.push(
      timeMs === null ? { stream, value, arrivalMs, timeMs } : { stream, timeMs, value, arrivalMs },
    );
  }

  /** Whether a retained reading belongs to a stream without a live reading. Stored only if it has its own time. */
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

  /** Rejects the message if no rule found anything in it. */
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

  /** null after a reject, or (without one) if an earlier rule owns the field. */
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
          admission.owner === rule.number
            ? `${admission.name} belongs to a topic or field with other characters; set \`name\` to get other names`
            : `${admission.name} belongs to streams[${admission.owner}]; set \`name\` to get other names`,
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
