/**
 * The filters of the agent's session at the broker: the wanted filters, the refused ones, and filters from before
 * that a kept session may still hold. MQTT has no way to query the filters of a session, so they are stored: the
 * agent unsubscribes from old filters until the broker confirms, and starts a clean session if it has no record of
 * the old one.
 */
import type { Subscription } from './connection.ts';

export interface SessionMemory {
  /** Filters that the session may contain; null: unknown. */
  readonly former: readonly string[] | null;
  /** Called after every change, before the packet is sent to the broker. */
  readonly remember: (filters: readonly string[]) => void;
}

export class SessionFilters {
  private readonly byFilter = new Map<string, Subscription>();
  private readonly refusals = new Set<string>();
  private readonly leftover: Set<string>;
  /** False while the broker may have an unknown session. */
  known: boolean;

  constructor(private readonly memory: SessionMemory) {
    this.leftover = new Set(memory.former ?? []);
    this.known = memory.former !== null;
  }

  get wanted(): Subscription[] {
    return [...this.byFilter.values()];
  }

  get refused(): string[] {
    return [...this.refusals];
  }

  /** Unwanted filters that the session may contain. */
  get stale(): string[] {
    return [...this.leftover];
  }

  /** Replaces the list of wanted filters. @returns those to subscribe to: new ones, and those with a changed QoS */
  want(list: readonly Subscription[]): Subscription[] {
    const filters = new Set(list.map(({ filter }) => filter));
    const added = list.filter(({ filter, qos }) => this.byFilter.get(filter)?.qos !== qos);
    for (const filter of [...this.byFilter.keys()].filter((one) => !filters.has(one))) {
      this.byFilter.delete(filter);
      this.refusals.delete(filter);
      this.leftover.add(filter);
    }
    for (const subscription of added) {
      this.byFilter.set(subscription.filter, subscription);
      this.leftover.delete(subscription.filter);
    }
    this.remember();
    return added;
  }

  /** Call at the start of a connection, with the old session or an empty one. */
  begin(empty: boolean): void {
    this.refusals.clear();
    if (empty) this.leftover.clear();
    this.known = true;
    this.remember();
  }

  /** Call when the broker has confirmed an UNSUBSCRIBE. */
  takenBack(filters: readonly string[]): void {
    for (const filter of filters) this.leftover.delete(filter);
    this.remember();
  }

  /** Call when the broker has answered a SUBSCRIBE. @returns the newly refused filters */
  answered(asked: readonly Subscription[], refused: ReadonlySet<string>): string[] {
    const fresh: string[] = [];
    for (const { filter } of asked) {
      if (!refused.has(filter)) this.refusals.delete(filter);
      else if (this.byFilter.has(filter)) {
        if (!this.refusals.has(filter)) fresh.push(filter);
        this.refusals.add(filter);
      }
    }
    return fresh;
  }

  private remember(): void {
    if (this.known) this.memory.remember([...this.byFilter.keys(), ...this.leftover].sort());
  }
}
