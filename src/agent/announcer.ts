/**
 * When the forecasts are announced to Home Assistant: every stream at the start, when it is new or its settings changed,
 * and all again when Home Assistant or the broker comes back; a few at a time, so that two thousand of them neither push
 * forecasts out of the outbox nor hold the agent up. What was announced is remembered, so that it can be taken back after
 * a restart too.
 */
import type { AnnouncedStream, HomeAssistant } from '../mqtt/home-assistant.ts';
import type { Outgoing } from '../mqtt/outbox.ts';
import type { StreamSpec } from '../series/spec.ts';
import type { Store } from '../store/store-contract.ts';
import type { Clock } from '../system/clock.ts';
import type { Incoming } from './inbox.ts';

export type AnnouncedSpec = Pick<StreamSpec, 'name' | 'unit' | 'thresholds'>;

export interface AnnouncerParts {
  readonly home: HomeAssistant;
  readonly enabled: () => boolean;
  readonly streams: () => readonly AnnouncedSpec[];
  readonly send: (message: Outgoing) => void;
  readonly store: Pick<Store, 'getMeta' | 'setMeta'>;
  readonly clock: Clock;
}

const KEY = 'agent.home-assistant';
/** Devices in one go, and the pause before the next, ms. */
const PER_TURN = 25;
const PAUSE_MS = 100;

export class Announcer {
  /** By stream, the ids of its components. */
  private readonly announced: Map<string, readonly string[]>;
  private readonly due = new Map<string, AnnouncedSpec>();
  private cancel: (() => void) | null = null;
  private changed = false;

  constructor(private readonly parts: AnnouncerParts) {
    this.announced = read(parts.store);
  }

  /** Everything, and takes back what is no more: at the start, and whenever the other side may have forgotten. */
  announce(): void {
    const { home, enabled, streams, send } = this.parts;
    if (!enabled()) {
      this.retract();
      return;
    }
    send(home.agent());
    const wanted = streams();
    const names = new Set(wanted.map(({ name }) => name));
    for (const name of [...this.announced.keys()]) if (!names.has(name)) this.drop(name);
    for (const stream of wanted) this.due.set(stream.name, stream);
    this.turn();
  }

  /** New streams, or ones with other settings. */
  add(streams: readonly AnnouncedSpec[]): void {
    if (!this.parts.enabled()) return;
    for (const stream of streams) this.due.set(stream.name, stream);
    // A burst of new streams is one turn.
    if (this.due.size > 0) this.cancel ??= this.parts.clock.after(PAUSE_MS, () => this.turn());
  }

  forget(stream: string): void {
    this.drop(stream);
    this.save();
  }

  /** Home Assistant's own status. A retained one was said before we came, and we have announced since. */
  heard({ payload, retained, acknowledge }: Incoming): void {
    acknowledge?.();
    if (!retained && Buffer.from(payload).toString() === 'online') this.announce();
  }

  /** The broker is away; call `announce` when it is back. */
  pause(): void {
    this.cancel?.();
    this.cancel = null;
  }

  stop(): void {
    this.cancel?.();
    this.cancel = null;
    this.save();
  }

  private retract(): void {
    this.due.clear();
    if (this.announced.size === 0) return;
    for (const stream of [...this.announced.keys()]) this.drop(stream);
    this.parts.send(this.parts.home.gone(null));
    this.save();
  }

  private drop(stream: string): void {
    this.due.delete(stream);
    if (!this.announced.delete(stream)) return;
    this.parts.send(this.parts.home.gone(stream));
    this.changed = true;
  }

  private turn(): void {
    this.cancel?.();
    this.cancel = null;
    const { home, send, clock } = this.parts;
    for (const stream of [...this.due.values()].slice(0, PER_TURN)) {
      this.due.delete(stream.name);
      const former = this.announced.get(stream.name);
      const { message, ids } = home.stream(announced(stream), former);
      send(message);
      if (former !== undefined && former.join() === ids.join()) continue;
      this.announced.set(stream.name, ids);
      this.changed = true;
    }
    if (this.due.size > 0) this.cancel = clock.after(PAUSE_MS, () => this.turn());
    else this.save();
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

function read(store: AnnouncerParts['store']): Map<string, readonly string[]> {
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
