/**
 * The open buckets of a stream, oldest first. Most streams have one open bucket at a time, for which a map would
 * take more memory than its readings; most readings belong to the newest bucket.
 */
import type { Readings } from './aggregate.ts';

interface OpenBucket extends Readings {
  /** Of its place on the grid. */
  readonly index: number;
}

const NONE: readonly OpenBucket[] = [];
/** Places that taken buckets may hold at the front. */
const SLACK = 32;

export class OpenBuckets {
  /** By index, ascending; those before `head` are taken. */
  private buckets = NONE as OpenBucket[];
  private head = 0;

  get size(): number {
    return this.buckets.length - this.head;
  }

  /** Index of the oldest; Infinity where there is none. */
  get first(): number {
    return this.size === 0 ? Number.POSITIVE_INFINITY : this.buckets[this.head].index;
  }

  get(index: number): Readings | undefined {
    const found = this.buckets[this.place(index)];
    return found?.index === index ? found : undefined;
  }

  /** Opens a bucket that is not open yet. */
  open(index: number, timeMs: number, value: number): void {
    const bucket = { index, times: [timeMs], values: [value] };
    if (this.buckets.length === 0) this.buckets = [bucket];
    else this.buckets.splice(this.place(index), 0, bucket);
  }

  /** Takes one out. */
  take(index: number): Readings | undefined {
    const at = this.place(index);
    const found = this.buckets[at];
    if (found?.index !== index) return undefined;
    if (this.size === 1) this.clear();
    else if (at === this.head) this.drop();
    else this.buckets.splice(at, 1);
    return found;
  }

  /** The oldest; after an outage there may be many to be taken one by one. */
  private drop(): void {
    this.head++;
    if (this.head < SLACK || this.head < this.size) return;
    this.buckets = this.buckets.slice(this.head);
    this.head = 0;
  }

  /** Oldest first. */
  all(): readonly Readings[] {
    return this.buckets.slice(this.head);
  }

  clear(): void {
    this.buckets = NONE as OpenBucket[];
    this.head = 0;
  }

  /** Where a bucket of this index stands, or would. */
  private place(index: number): number {
    const { buckets } = this;
    let low = this.head;
    let high = buckets.length;
    if (high > low && buckets[high - 1].index < index) return high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (buckets[middle].index < index) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
