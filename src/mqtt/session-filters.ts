/**
 * The filters of the agent's session at the broker: the wanted filters, the refused ones, and filters from before
 * that a kept session may still hold. MQTT has no way to query the filters of a session, so they are stored: the
 * agent unsubscribes from old filters until the broker confirms, and starts a clean session when it has no record of
 * the former one.
 */
import type { Subscription } from './connection.ts';

export interface SessionMemory {
  /** What the session may hold; null: nothing is known of it. */
  readonly former: readonly string[] | null;
  /** Called after every change, before the packet is sent to the broker. */
  readonly remember: (filters: readonly string[]) => void;
}

export class SessionFilters {
  private readonly byFilter = new Map<string, Subscription>();
  private readonly refusals = new Set<string>();
  private readonly leftover: Set<string>;
  private readonly memory: SessionMemory;
  private sessionKnown: boolean;

  constructor(memory: SessionMemory) {
    this.memory = memory;
    this.leftover = new Set(memory.former ?? []);
    this.sessionKnown = memory.former !== null;
  }

  /** False until the session that is there, if there is one, has been left behind. */
  get known(): boolean {
    return this.sessionKnown;
  }

  get wanted(): Subscription[] {
    return [...this.byFilter.values()];
  }

  get refused(): string[] {
    return [...this.refusals];
  }

  /** Filters that the session may hold and that are not wanted. */
  get stale(): string[] {
    return [...this.leftover];
  }

  /** The whole list. @returns those to ask for: new ones, and ones at another QoS */
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

  /** A connection begins, with the session of before or with an empty one. */
  begin(empty: boolean): void {
    this.refusals.clear();
    if (empty) this.leftover.clear();
    this.sessionKnown = true;
    this.remember();
  }

  /** The broker holds them no more. */
  takenBack(filters: readonly string[]): void {
    for (const filter of filters) this.leftover.delete(filter);
    this.remember();
  }

  /** The broker has answered. @returns those refused now that had not been */
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
    if (this.sessionKnown) this.memory.remember([...this.byFilter.keys(), ...this.leftover].sort());
  }
}
