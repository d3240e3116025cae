/**
 * The open buckets of a stream, oldest first. Most streams have one or two open buckets at a time, with one reading each: these are
 * kept as numbers, because an object would live until the bucket closes. More readings are kept as lists.
 */
import type { Readings } from './aggregate.ts';

interface OpenBucket extends Readings {
  /** Index of the bucket on the grid. */
  readonly index: number;
}

const NONE: OpenBucket[] = [];
/** Most entries of removed buckets at the front of the array. */
const SLACK = 32;
/** Readings stored as numbers: index of the bucket, time, value. */
const ROWS = 4;
const ROW = 3;

export class OpenBuckets {
  /** Buckets by ascending index; those before `head` are removed. Empty while `rows` has the readings. */
  private buckets = NONE;
  private head = 0;
  /** [ROWS, ROW] readings by bucket index, those of one bucket in order of arrival. */
  private readonly rows = new Float64Array(ROWS * ROW);
  private rowCount = 0;

  get size(): number {
    let size = this.buckets.length - this.head;
    for (let row = 0; row < this.rowCount; row++)
      if (row === 0 || this.indexOf(row) !== this.indexOf(row - 1)) size++;
    return size;
  }

  /** Index of the oldest bucket; Infinity if there is none. */
  get first(): number {
    if (this.rowCount > 0) return this.indexOf(0);
    return this.isList ? this.buckets[this.head].index : Number.POSITIVE_INFINITY;
  }

  /** @returns whether the open bucket has a reading with this time */
  includes(index: number, timeMs: number): boolean {
    for (let row = 0; row < this.rowCount; row++)
      if (this.indexOf(row) === index && this.rows[row * ROW + 1] === timeMs) return true;
    return this.find(index)?.times.includes(timeMs) === true;
  }

  /** Adds a reading to its bucket, which is opened if necessary. */
  add(index: number, timeMs: number, value: number): void {
    if (!this.isList && this.rowCount < ROWS) {
      this.addRow(index, timeMs, value);
      return;
    }
    if (this.rowCount > 0) {
      this.buckets = this.bucketsOfRows();
      this.head = 0;
      this.rowCount = 0;
    }
    const found = this.find(index);
    if (found === undefined) {
      this.buckets.splice(this.place(index), 0, { index, times: [timeMs], values: [value] });
      return;
    }
    found.times.push(timeMs);
    found.values.push(value);
  }

  /** Removes a bucket and returns its readings. */
  take(index: number): Readings | undefined {
    if (!this.isList) return this.takeRows(index);
    const at = this.place(index);
    const found = this.buckets[at];
    if (found?.index !== index) return undefined;
    if (this.buckets.length - this.head === 1) this.clear();
    else if (at === this.head) this.drop();
    else this.buckets.splice(at, 1);
    return found;
  }

  private get isList(): boolean {
    return this.buckets.length > this.head;
  }

  private indexOf(row: number): number {
    return this.rows[row * ROW];
  }

  private addRow(index: number, timeMs: number, value: number): void {
    const { rows } = this;
    let row = this.rowCount;
    while (row > 0 && this.indexOf(row - 1) > index) row--;
    rows.copyWithin((row + 1) * ROW, row * ROW, this.rowCount * ROW);
    rows[row * ROW] = index;
    rows[row * ROW + 1] = timeMs;
    rows[row * ROW + 2] = value;
    this.rowCount++;
  }

  private takeRows(index: number): Readings | undefined {
    const { rows } = this;
    let from = 0;
    while (from < this.rowCount && this.indexOf(from) !== index) from++;
    if (from === this.rowCount) return undefined;
    // Lists of the right size: an empty one that grows has room for 17.
    const times = [rows[from * ROW + 1]];
    const values = [rows[from * ROW + 2]];
    let to = from + 1;
    for (; to < this.rowCount && this.indexOf(to) === index; to++) {
      times.push(rows[to * ROW + 1]);
      values.push(rows[to * ROW + 2]);
    }
    rows.copyWithin(from * ROW, to * ROW, this.rowCount * ROW);
    this.rowCount -= to - from;
    return { times, values };
  }

  private bucketsOfRows(): OpenBucket[] {
    const found: OpenBucket[] = [];
    for (let row = 0; row < this.rowCount; row++) {
      const index = this.indexOf(row);
      if (found.at(-1)?.index !== index) found.push({ index, times: [], values: [] });
      found.at(-1)?.times.push(this.rows[row * ROW + 1]);
      found.at(-1)?.values.push(this.rows[row * ROW + 2]);
    }
    return found;
  }

  /** Removes the oldest bucket efficiently, because after an outage many are removed one by one. */
  private drop(): void {
    this.head++;
    if (this.head < SLACK || this.head < this.size) return;
    this.buckets = this.buckets.slice(this.head);
    this.head = 0;
  }

  /** Oldest first. */
  all(): readonly Readings[] {
    return this.isList ? this.buckets.slice(this.head) : this.bucketsOfRows();
  }

  clear(): void {
    this.buckets = NONE;
    this.head = 0;
    this.rowCount = 0;
  }

  private find(index: number): OpenBucket | undefined {
    const found = this.buckets[this.place(index)];
    return found?.index === index ? found : undefined;
  }

  /** Array position of the bucket with this index, or where it would be inserted. */
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
