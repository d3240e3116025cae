/**
 * Topics whose retained messages are to be removed at the broker. The list is stored until the broker has taken the removals: if the
 * agent ends before, nothing else tells the next run which topics a stream had that was forgotten.
 */
import type { Logger } from '../log.ts';
import type { ClientStatus } from '../mqtt/client.ts';
import type { Outgoing } from '../mqtt/outbox.ts';
import { isTopicName } from '../mqtt/topics.ts';
import type { Clock } from '../system/clock.ts';
import { type MetaStore, StoredValue } from '../system/stored-value.ts';

interface ClearsParts {
  readonly clock: Pick<Clock, 'after'>;
  readonly store: MetaStore & { flush(): unknown };
  readonly log: Pick<Logger, 'warn'>;
  readonly publish: (message: Outgoing) => void;
  readonly status: () => Pick<ClientStatus, 'connected' | 'outbox'>;
}

const CHECK_MS = 5000;
/** Of more topics, the oldest are not stored: this run clears them, the next one does not repeat it. */
const MOST = 50_000;

export class Clears {
  /** Topics to clear. */
  private readonly topics: Set<string>;
  /** Topics with a message of this run: a list that is read later must not clear them. Null: the list has been read. */
  private inUse: Set<string> | null;
  private readonly kept: StoredValue<readonly string[]>;
  private changed = false;
  private stopped = false;
  private cancel: (() => void) | null = null;

  constructor(private readonly parts: ClearsParts) {
    const merged = (stored: readonly string[], own: readonly string[]) => [
      ...new Set([...stored.filter((topic) => this.inUse?.has(topic) !== true), ...own]),
    ];
    this.kept = new StoredValue<readonly string[]>(parts.store, 'agent.clears', topicsOf, merged);
    this.topics = new Set(this.kept.read());
    this.inUse = this.kept.isUnread ? new Set() : null;
  }

  /** Call for every message that is published. */
  sent({ topic, payload, retain }: Outgoing): void {
    const clears = retain && payload.length === 0;
    if (retain && !clears) this.inUse?.add(topic);
    if (clears) {
      this.topics.add(topic);
      this.inUse?.delete(topic);
    } else if (this.topics.size === 0 || !this.topics.delete(topic)) return;
    // once for all messages of a stream, or of all streams that a config change removes
    if (!this.changed) queueMicrotask(() => this.save());
    this.changed = true;
  }

  connected(): void {
    this.publish([...this.topics]);
    this.check();
  }

  stop(): void {
    this.stopped = true;
    this.cancel?.();
    this.cancel = null;
  }

  private publish(topics: readonly string[]): void {
    for (const topic of topics) this.parts.publish({ topic, payload: '', qos: 1, retain: true });
  }

  private save(): void {
    this.changed = false;
    const excess = [...this.topics].slice(0, Math.max(0, this.topics.size - MOST));
    for (const topic of excess) this.topics.delete(topic);
    if (excess.length > 0)
      this.parts.log.warn('removals of retained messages are not repeated after a restart', {
        topics: excess.length,
      });
    this.keep();
    const { connected } = this.parts.status();
    // Without a connection this is the only record; with one, the broker has the message before the next flush.
    if (!connected) this.parts.store.flush();
    this.check();
  }

  /** Saves the topics. If the list of earlier runs can be read only now, clears its topics, too. */
  private keep(): void {
    const saved = this.kept.save([...this.topics]);
    if (this.inUse === null || saved === null) return;
    this.inUse = null;
    const missed = saved.filter((topic) => !this.topics.has(topic));
    for (const topic of missed) this.topics.add(topic);
    if (this.parts.status().connected) this.publish(missed);
  }

  /** An empty outbox means that the broker has them all. */
  private check(): void {
    const nothing = this.topics.size === 0 && this.inUse === null;
    if (nothing || this.stopped || this.cancel !== null) return;
    this.cancel = this.parts.clock.after(CHECK_MS, () => {
      this.cancel = null;
      if (this.inUse !== null) this.keep();
      const { connected, outbox } = this.parts.status();
      if (this.inUse !== null || !connected || outbox > 0) return this.check();
      this.topics.clear();
      this.kept.save([]);
    });
  }
}

const topicsOf = (json: unknown): string[] =>
  Array.isArray(json) ? json.filter((topic) => typeof topic === 'string' && isTopicName(topic)) : [];
