/**
 * The filters of the agent's session with its broker: what is wanted, what the broker refused, and what a kept session may
 * still hold that nobody wants. No protocol has a way to ask for a session's filters, so they are remembered: those of before
 * are taken back until the broker confirms it, and a session of which nothing is known is begun anew.
 */
import type { Subscription } from './connection.ts';

export interface SessionMemory {
  /** What the session may hold; null: nothing is known of it. */
  readonly former: readonly string[] | null;
  /** Called whenever that changes, before the broker is told. */
  readonly remember: (filters: readonly string[]) => void;
}

export class SessionFilters {
  readonly #wanted = new Map<string, 0 | 1>();
  readonly #refused = new Set<string>();
  readonly #stale: Set<string>;
  readonly #memory: SessionMemory;
  #known: boolean;

  constructor(memory: SessionMemory) {
    this.#memory = memory;
    this.#stale = new Set(memory.former ?? []);
    this.#known = memory.former !== null;
  }

  /** False until the session that is there, if there is one, has been left behind. */
  get known(): boolean {
    return this.#known;
  }

  get wanted(): Subscription[] {
    return [...this.#wanted].map(([filter, qos]) => ({ filter, qos }));
  }

  get refused(): string[] {
    return [...this.#refused];
  }

  /** Held perhaps, wanted by nobody. */
  get stale(): string[] {
    return [...this.#stale];
  }

  /** The whole list. @returns those to ask for: new ones, and ones at another QoS */
  want(list: readonly Subscription[]): Subscription[] {
    const filters = new Set(list.map(({ filter }) => filter));
    const added = list.filter(({ filter, qos }) => this.#wanted.get(filter) !== qos);
    for (const filter of [...this.#wanted.keys()].filter((one) => !filters.has(one))) {
      this.#wanted.delete(filter);
      this.#refused.delete(filter);
      this.#stale.add(filter);
    }
    for (const { filter, qos } of added) {
      this.#wanted.set(filter, qos);
      this.#stale.delete(filter);
    }
    this.#remember();
    return added;
  }

  /** A connection begins, with the session of before or with an empty one. */
  begin(empty: boolean): void {
    this.#refused.clear();
    if (empty) this.#stale.clear();
    this.#known = true;
    this.#remember();
  }

  /** The broker holds them no more. */
  takenBack(filters: readonly string[]): void {
    for (const filter of filters) this.#stale.delete(filter);
    this.#remember();
  }

  /** The broker has answered. @returns those refused now that had not been */
  answered(asked: readonly Subscription[], refused: ReadonlySet<string>): string[] {
    const fresh: string[] = [];
    for (const { filter } of asked) {
      if (!refused.has(filter)) this.#refused.delete(filter);
      else if (this.#wanted.has(filter)) {
        if (!this.#refused.has(filter)) fresh.push(filter);
        this.#refused.add(filter);
      }
    }
    return fresh;
  }

  #remember(): void {
    if (this.#known) this.#memory.remember([...this.#wanted.keys(), ...this.#stale].sort());
  }
}
