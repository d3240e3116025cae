/**
 * A value that a part of the agent keeps in the store under one key. While the stored value cannot be read, nothing replaces it: the
 * part works with its own value, and the first save after that merges both.
 */

/** Texts that parts of the agent keep. */
export interface MetaStore {
  getMeta(key: string): string | null;
  setMeta(key: string, value: string): void;
  /** Number of queries so far that could not read the store and found nothing; left out where `getMeta` throws then. */
  readonly failedReads?: number;
}

export class StoredValue<T> {
  /** Whether the last `read` could not read the store; it then returned the value of an empty store. */
  isUnread = false;

  /**
   * @param readFrom gets null if nothing is stored, else parsed JSON, or undefined if it is damaged
   * @param merge the value of this run, with what it lacks from the stored one
   */
  constructor(
    private readonly store: MetaStore,
    readonly key: string,
    private readonly readFrom: (json: unknown) => T,
    private readonly merge: (stored: T, own: T) => T,
  ) {}

  read(): T {
    const { failedReads } = this.store;
    const text = this.store.getMeta(this.key);
    this.isUnread = text === null && this.store.failedReads !== failedReads;
    let json: unknown;
    try {
      json = JSON.parse(text ?? 'null');
    } catch {
      // Damaged: `json` stays undefined.
    }
    return this.readFrom(json);
  }

  /**
   * Hands the value to the store; durable with the store's next flush.
   * @returns the saved value: `own`, merged with the stored one if that was read only now; null if that still cannot be read, so that
   * nothing was saved
   */
  save(own: T): T | null {
    let value = own;
    if (this.isUnread) {
      const stored = this.read();
      if (this.isUnread) return null;
      value = this.merge(stored, own);
    }
    this.store.setMeta(this.key, JSON.stringify(value));
    return value;
  }
}
