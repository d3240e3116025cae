/**
 * Topic -> the rules that read it, compiled once and remembered within bounds. A route is only a memory: it can be
 * dropped at any time and is the same when it is made again.
 */
import { type Binding, Bindings } from './bindings.ts';
import { BoundedCache } from './bounded-cache.ts';
import type { Decoder } from './decoder.ts';
import { createDecoder } from './decoders/index.ts';
import { OtherAgents } from './other-agents.ts';
import { matchPattern, type TopicPattern } from './pattern.ts';
import type { IngestLimits, IngestRule, ReservedTopics } from './rule.ts';
import { newSession } from './session.ts';
import { TopicIndex } from './topic-index.ts';

export interface RouteRule {
  /** Of the rule in the config, from 0. */
  readonly number: number;
  readonly rule: IngestRule;
  readonly decoder: Decoder;
  /** What the wildcards of the rule's pattern took from the topic. */
  readonly taken: readonly string[];
}

export interface Route {
  /** Not for ingestion, and not a reject either. */
  readonly reserved: boolean;
  readonly rules: readonly RouteRule[];
  readonly bindings: Bindings;
  /** The topic has the form of an output of an agent; its messages are to be looked at. */
  readonly mayBeAgent: boolean;
  /** Work without readings in the second `wasteSecond`, in bytes. */
  waste: number;
  wasteSecond: number;
}

export class Routes {
  private readonly rules: readonly IngestRule[];
  private readonly reserved: readonly ReservedTopics[];
  private readonly decoders: readonly Decoder[];
  private readonly index: TopicIndex;
  private readonly cache: BoundedCache<string, Route>;
  private readonly maxBindings: number;
  /** Made since the last clearing; bounds what many fields on few topics can take. */
  private bindings = 0;

  constructor(rules: readonly IngestRule[], reserved: readonly ReservedTopics[], limits: IngestLimits) {
    this.rules = rules;
    this.reserved = reserved;
    const session = newSession();
    this.decoders = rules.map(({ payload, decoder }) => createDecoder(payload, decoder, session));
    this.index = new TopicIndex(rules.map(({ pattern }) => pattern));
    this.cache = new BoundedCache(limits.topicCache);
    this.maxBindings = 4 * (limits.maxStreams + limits.topicCache);
  }

  get size(): number {
    return this.cache.size;
  }

  of(topic: string): Route {
    const known = this.cache.get(topic);
    if (known !== undefined) return known;
    const levels = topic.split('/');
    const reserved = this.reserved.filter(({ pattern }) => matchPattern(pattern, levels) !== null);
    const closed = reserved.some(({ unlessNamed }) => !unlessNamed);
    const matching = closed ? [] : this.index.match(levels).map((number) => this.routeRule(number, levels));
    const rules = reserved.length === 0 ? matching : matching.filter(namesFirstLevel);
    const route: Route = {
      reserved: reserved.length > 0 && rules.length === 0,
      rules,
      bindings: new Bindings(),
      mayBeAgent: OtherAgents.mayBe(topic) && !rules.some(({ rule }) => namesOutput(rule.pattern)),
      waste: 0,
      wasteSecond: 0,
    };
    this.cache.set(topic, route);
    return route;
  }

  bind(route: Route, binding: Binding): void {
    if (this.bindings >= this.maxBindings) {
      this.clear();
      route.bindings.clear();
    }
    this.bindings += 1;
    route.bindings.add(binding);
  }

  clear(): void {
    this.cache.clear();
    this.bindings = 0;
  }

  private routeRule(number: number, levels: readonly string[]): RouteRule {
    const rule = this.rules[number] as IngestRule;
    return {
      number,
      rule,
      decoder: this.decoders[number] as Decoder,
      taken: matchPattern(rule.pattern, levels) ?? [],
    };
  }
}

const namesFirstLevel = ({ rule }: RouteRule): boolean => rule.pattern.levels[0]?.kind === 'literal';

/** Whether a rule spells out that it reads forecasts of an agent: its owner means it. */
const namesOutput = ({ levels }: TopicPattern): boolean =>
  levels.some((level) => level.kind === 'literal' && level.text === 'forecast');
