/**
 * The open buckets of a stream, oldest first. Most streams have one open bucket at a time, for which a map would
 * take more memory than its readings; most readings belong to the newest bucket.
 */
import type { Readings } from './aggregate.ts';

interface OpenBucket extends Readings {
  /** Of its place on the grid. */
  readonly index: number;
}

const NONE: OpenBucket[] = [];
/** Places that taken buckets may hold at the front. */
const SLACK = 32;

export class OpenBuckets {
  /** By index, ascending; those before `head` are taken. */
  private buckets = NONE;
  private head = 0;
  /**
   * The only open bucket while it has one reading, as numbers: an object would live until the bucket closes, and most streams have
   * one reading in each. NaN: there is none, or `buckets` has all of them.
   */
  private onlyIndex = Number.NaN;
  private onlyMs = Number.NaN;
  private onlyValue = Number.NaN;

  private get hasOnly(): boolean {
    return !Number.isNaN(this.onlyIndex);
  }

  get size(): number {
    return this.hasOnly ? 1 : this.buckets.length - this.head;
  }

  /** Index of the oldest; Infinity where there is none. */
  get first(): number {
    if (this.hasOnly) return this.onlyIndex;
    return this.size === 0 ? Number.POSITIVE_INFINITY : this.buckets[this.head].index;
  }

  /** @returns whether a bucket that is open has a reading of this time */
  includes(index: number, timeMs: number): boolean {
    if (this.hasOnly) return this.onlyIndex === index && this.onlyMs === timeMs;
    return this.find(index)?.times.includes(timeMs) === true;
  }

  /** Opens a bucket that is not open yet, or adds to one that is. */
  add(index: number, timeMs: number, value: number): void {
    if (this.size === 0) {
      this.onlyIndex = index;
      this.onlyMs = timeMs;
      this.onlyValue = value;
      return;
    }
    this.spread();
    const found = this.find(index);
    if (found === undefined) {
      this.buckets.splice(this.place(index), 0, { index, times: [timeMs], values: [value] });
      return;
    }
    found.times.push(timeMs);
    found.values.push(value);
  }

  /** Takes one out. */
  take(index: number): Readings | undefined {
    if (this.hasOnly) {
      if (this.onlyIndex !== index) return undefined;
      this.onlyIndex = Number.NaN;
      return { times: [this.onlyMs], values: [this.onlyValue] };
    }
    const at = this.place(index);
    const found = this.buckets[at];
    if (found?.index !== index) return undefined;
    if (this.size === 1) this.clear();
    else if (at === this.head) this.drop();
    else this.buckets.splice(at, 1);
    return found;
  }

  /** From numbers to a list. */
  private spread(): void {
    if (!this.hasOnly) return;
    this.buckets = [{ index: this.onlyIndex, times: [this.onlyMs], values: [this.onlyValue] }];
    this.head = 0;
    this.onlyIndex = Number.NaN;
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
    this.spread();
    return this.buckets.slice(this.head);
  }

  clear(): void {
    this.buckets = NONE;
    this.head = 0;
    this.onlyIndex = Number.NaN;
  }

  private find(index: number): OpenBucket | undefined {
    const found = this.buckets[this.place(index)];
    return found?.index === index ? found : undefined;
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
