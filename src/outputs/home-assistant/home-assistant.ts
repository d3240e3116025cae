/**
 * The output for Home Assistant: announces every stream at the start, when it is new and when its settings changed, and all of
 * them again when Home Assistant or the broker comes back. It sends a few at a time, so that two thousand devices neither push
 * forecasts out of the outbox nor delay them. What was announced is stored, so that it can be removed after a restart.
 * The forecasts themselves go out on the JSON topics.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Change, Context } from '../../agent/part.ts';
import type { Config } from '../../config/index.ts';
import type { Incoming } from '../../mqtt/connection.ts';
import type { StreamSpec } from '../../series/spec.ts';
import type { Store } from '../../store/store-contract.ts';
import type { Output } from '../output.ts';
import { type AnnouncedStream, Discovery } from './discovery.ts';

export type AnnouncedSpec = Pick<StreamSpec, 'name' | 'unit' | 'thresholds'>;

export interface HomeAssistantParts extends Pick<Context, 'clock' | 'send' | 'topics' | 'version'> {
  readonly config: () => Pick<Config, 'base' | 'node'> & {
    readonly publish: Pick<Config['publish'], 'home_assistant' | 'discovery_prefix' | 'quantiles' | 'at'>;
  };
  /** Streams that the agent forecasts. */
  readonly streams: () => readonly AnnouncedSpec[];
  readonly store: Pick<Store, 'getMeta' | 'setMeta'>;
}

const KEY = 'agent.home-assistant';
/** Devices in one go, and the pause before the next, ms. */
const PER_TURN = 25;
const PAUSE_MS = 100;

export class HomeAssistant implements Output {
  readonly name = 'Home Assistant';
  private readonly discovery: Discovery;
  /** By stream, the ids of its components. */
  private readonly announced: Map<string, readonly string[]>;
  private readonly due = new Map<string, AnnouncedSpec>();
  private cancel: (() => void) | null = null;
  private changed = false;

  constructor(private readonly parts: HomeAssistantParts) {
    this.announced = read(parts.store);
    const { topics, version } = parts;
    const { base, node, publish } = parts.config();
    this.discovery = new Discovery({
      prefix: publish.discovery_prefix,
      base,
      node,
      version,
      topics,
      settings: () => parts.config().publish,
    });
  }

  prepare(next: Config, running: Config): Change | null {
    const same = isDeepStrictEqual([next.publish, next.streams], [running.publish, running.streams]);
    return same ? null : { settle: () => this.announce() };
  }

  filters(): string[] {
    return this.enabled ? [this.discovery.statusTopic] : [];
  }

  /** Home Assistant's own status. A retained one is older than our last announcement. */
  receive({ topic, payload, retained, acknowledge }: Incoming): boolean {
    if (topic !== this.discovery.statusTopic) return false;
    acknowledge?.();
    if (!retained && Buffer.from(payload).toString() === 'online') this.announce();
    return true;
  }

  connected(): void {
    this.announce();
  }

  disconnected(): void {
    this.cancelTurn();
  }

  stop(): void {
    this.cancelTurn();
    this.save();
  }

  streams(specs: readonly AnnouncedSpec[]): void {
    if (!this.enabled) return;
    for (const stream of specs) this.due.set(stream.name, stream);
    // New streams come in bursts: gather them.
    if (this.due.size > 0) this.cancel ??= this.parts.clock.after(PAUSE_MS, () => this.turn());
  }

  forget(stream: string): void {
    this.drop(stream);
    this.save();
  }

  private get enabled(): boolean {
    return this.parts.config().publish.home_assistant;
  }

  /** Announces everything, and removes what is no more. */
  private announce(): void {
    if (!this.enabled) {
      this.retract();
      return;
    }
    this.parts.send(this.discovery.agent());
    const wanted = this.parts.streams();
    const names = new Set(wanted.map(({ name }) => name));
    for (const name of [...this.announced.keys()]) if (!names.has(name)) this.drop(name);
    for (const stream of wanted) this.due.set(stream.name, stream);
    this.turn();
  }

  private retract(): void {
    this.due.clear();
    if (this.announced.size === 0) return;
    for (const stream of [...this.announced.keys()]) this.drop(stream);
    this.parts.send(this.discovery.gone(null));
    this.save();
  }

  private drop(stream: string): void {
    this.due.delete(stream);
    if (!this.announced.delete(stream)) return;
    this.parts.send(this.discovery.gone(stream));
    this.changed = true;
  }

  private turn(): void {
    this.cancelTurn();
    const { send, clock } = this.parts;
    for (const stream of [...this.due.values()].slice(0, PER_TURN)) {
      this.due.delete(stream.name);
      const former = this.announced.get(stream.name);
      const { message, ids } = this.discovery.stream(announced(stream), former);
      send(message);
      if (former !== undefined && former.join() === ids.join()) continue;
      this.announced.set(stream.name, ids);
      this.changed = true;
    }
    if (this.due.size > 0) this.cancel = clock.after(PAUSE_MS, () => this.turn());
    else this.save();
  }

  private cancelTurn(): void {
    this.cancel?.();
    this.cancel = null;
  }

  private save(): void {
    if (!this.changed) return;
    this.changed = false;
    this.parts.store.setMeta(KEY, JSON.stringify([...this.announced]));
  }
}

const announced = ({ name, unit, thresholds }: AnnouncedSpec): AnnouncedStream => ({
  name,
  unit,
  thresholds: thresholds.map((threshold) => threshold.name),
});

function read(store: HomeAssistantParts['store']): Map<string, readonly string[]> {
  try {
    const rows: unknown = JSON.parse(store.getMeta(KEY) ?? '[]');
    return new Map(Array.isArray(rows) ? rows.filter(isRow) : []);
  } catch {
    return new Map();
  }
}

const isRow = (row: unknown): row is readonly [string, readonly string[]] =>
  Array.isArray(row) &&
  typeof row[0] === 'string' &&
  Array.isArray(row[1]) &&
  row[1].every((id) => typeof id === 'string');
