/**
 * Which worker fine-tunes the model of the site and watches its probation: the one that holds this lease. The state of the
 * fine-tuning is stored with the lease, so that another worker can continue. As for partitions, the server's clock alone decides when the lease expires.
 */
import { TUNING_KEY } from './names.ts';
import { entryValue, isConflict, removeKey, type Site, writeKey } from './nats.ts';

export class TuningLease {
  private revision: number | null = null;
  private stateRevision = 0;
  /** Writes go one after the other: each needs the revision of the one before. */
  private writing: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly site: Pick<Site, 'leases' | 'state' | 'jsm' | 'name'>,
    private readonly member: string,
    private readonly session: string,
  ) {}

  get isHeld(): boolean {
    return this.revision !== null;
  }

  /** Whether some member holds the lease. */
  async isTaken(): Promise<boolean> {
    return (await this.site.leases.get(TUNING_KEY))?.operation === 'PUT';
  }

  /** Takes the lease, or renews it. @returns whether this member holds it */
  async hold(): Promise<boolean> {
    const { leases } = this.site;
    const value = JSON.stringify({ owner: this.member, session: this.session });
    try {
      this.revision = await writeKey(leases, TUNING_KEY, value, this.revision ?? 0);
      return true;
    } catch (error) {
      if (!isConflict(error)) throw error;
      return this.regain(value);
    }
  }

  /** The lease has expired, or the answer to a renewal was lost. */
  private async regain(value: string): Promise<boolean> {
    const { leases } = this.site;
    this.revision = null;
    const entry = await leases.get(TUNING_KEY);
    if (entry === null || entryValue<{ session?: unknown }>(entry)?.session !== this.session) return false;
    try {
      this.revision = await leases.update(TUNING_KEY, value, entry.revision);
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
    return this.isHeld;
  }

  async release(): Promise<void> {
    const { revision } = this;
    this.revision = null;
    if (revision !== null) await removeKey(this.site, 'leases', TUNING_KEY, revision);
  }

  /** The state as the former holder left it; null: there is none. */
  async read(): Promise<unknown> {
    const entry = await this.site.state.get(TUNING_KEY);
    this.stateRevision = entry?.revision ?? 0;
    return entryValue(entry);
  }

  /** @returns false if another member has written it since: this one no longer holds the lease */
  write(value: unknown): Promise<boolean> {
    const text = JSON.stringify(value);
    const written = this.writing.then(() => this.update(text));
    this.writing = written.catch(() => {});
    return written;
  }

  private async update(text: string): Promise<boolean> {
    const { state } = this.site;
    try {
      this.stateRevision = await writeKey(state, TUNING_KEY, text, this.stateRevision);
      return true;
    } catch (error) {
      if (!isConflict(error)) throw error;
      const entry = await state.get(TUNING_KEY);
      // A write of this member whose answer was lost.
      if (entry?.operation === 'PUT' && entry.string() === text) {
        this.stateRevision = entry.revision;
        return true;
      }
      this.revision = null;
      return false;
    }
  }
}
