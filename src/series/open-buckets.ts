/**
 * The open buckets of a stream, oldest first. Most streams have one at a time, for which a map would take more than all of
 * its readings; a reading mostly belongs to the newest.
 */
import type { Readings } from './aggregate.ts';

export interface OpenBucket extends Readings {
  /** Of its place on the grid. */
  readonly index: number;
}

const NONE: readonly OpenBucket[] = [];

export class OpenBuckets {
  /** By index, ascending. */
  private buckets = NONE as OpenBucket[];

  get size(): number {
    return this.buckets.length;
  }

  /** Index of the oldest; Infinity where there is none. */
  get first(): number {
    return this.buckets.length === 0 ? Number.POSITIVE_INFINITY : this.buckets[0].index;
  }

  get(index: number): Readings | undefined {
    const at = this.place(index);
    const found = this.buckets[at];
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
    if (this.buckets.length === 1) this.clear();
    else this.buckets.splice(at, 1);
    return found;
  }

  /** Oldest first. */
  all(): readonly Readings[] {
    return this.buckets;
  }

  clear(): void {
    this.buckets = NONE as OpenBucket[];
  }

  /** Where a bucket of this index stands, or would. */
  private place(index: number): number {
    const { buckets } = this;
    let low = 0;
    let high = buckets.length;
    if (high > 0 && buckets[high - 1].index < index) return high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (buckets[middle].index < index) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
