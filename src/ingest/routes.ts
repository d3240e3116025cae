/**
 * Maps topics to the rules that read them, in a bounded cache. A route can be dropped at any time, because it can be
 * computed again.
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
  /** Index of the rule in the config. */
  readonly number: number;
  readonly rule: IngestRule;
  readonly decoder: Decoder;
  /** Text matched by the wildcards of the rule's pattern. */
  readonly taken: readonly string[];
}

export interface Route {
  /** Messages are ignored, without a reject. */
  readonly reserved: boolean;
  readonly rules: readonly RouteRule[];
  readonly bindings: Bindings;
  /** Payloads are a binary format of a rule. */
  readonly isBinary: boolean;
  /** The topic has the form of an agent's output, so its messages must be checked. */
  readonly mayBeAgent: boolean;
  /** Messages until now, as a search for repeated keys counts them; -1 after one was found. */
  searched: number;
  /** Wasted work in the second `wasteSecond`, bytes. */
  waste: number;
  wasteSecond: number;
}

export class Routes {
  private readonly decoders: readonly Decoder[];
  private readonly index: TopicIndex;
  private readonly cache: BoundedCache<string, Route>;
  private readonly maxBindings: number;
  /** Number of bindings since the last clear; limits the memory for many fields on few topics. */
  private bindings = 0;
  /** Rules that no topic has matched so far. */
  private readonly unheard: Set<IngestRule>;

  constructor(
    private readonly rules: readonly IngestRule[],
    private readonly reserved: readonly ReservedTopics[],
    limits: IngestLimits,
  ) {
    const session = newSession();
    this.unheard = new Set(rules);
    this.decoders = rules.map(({ payload, decoder }) => createDecoder(payload, decoder, session));
    this.index = new TopicIndex(rules.map(({ pattern }) => pattern));
    this.cache = new BoundedCache(limits.topicCache);
    this.maxBindings = 4 * (limits.maxStreams + limits.topicCache);
  }

  get size(): number {
    return this.cache.size;
  }

  /** The rules that no topic has matched so far. */
  unheardRules(): readonly IngestRule[] {
    return [...this.unheard];
  }

  of(topic: string): Route {
    const known = this.cache.get(topic);
    if (known !== undefined) return known;
    const levels = topic.split('/');
    const reserved = this.reserved.filter(({ pattern }) => matchPattern(pattern, levels) !== null);
    const closed = reserved.some(({ unlessNamed }) => !unlessNamed);
    const matching = closed
      ? []
      : this.index.match(levels).flatMap((number) => this.routeRule(number, levels));
    const rules = reserved.length === 0 ? matching : matching.filter(namesFirstLevel);
    for (const { rule } of rules) this.unheard.delete(rule);
    const route: Route = {
      reserved: reserved.length > 0 && rules.length === 0,
      rules,
      bindings: new Bindings(),
      isBinary: rules.some(({ rule }) => rule.payload === 'sparkplug'),
      mayBeAgent: OtherAgents.mayBe(topic) && !rules.some(({ rule }) => namesOutput(rule.pattern)),
      searched: 0,
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

  private routeRule(number: number, levels: readonly string[]): RouteRule[] {
    const rule = this.rules[number] as IngestRule;
    const taken = matchPattern(rule.pattern, levels);
    return taken === null ? [] : [{ number, rule, decoder: this.decoders[number] as Decoder, taken }];
  }
}

const namesFirstLevel = ({ rule }: RouteRule): boolean => rule.pattern.levels[0]?.kind === 'literal';

/** Whether a rule explicitly reads an agent's forecasts. */
const namesOutput = ({ levels }: TopicPattern): boolean =>
  levels.some(
    (level) => level.kind === 'literal' && /^forecast$|(?:^|_)forecast_|^gatecast_/.test(level.text),
  );
