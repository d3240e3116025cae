/** A bounded history of buckets for one chart: the newest `capacity` points, oldest dropped first. Pure. */

import type { MarkName } from '../series/quality.ts';

/** One bucket as the chart shows it. */
export interface ChartPoint {
  /** Label (start) of the bucket, ms. */
  readonly timeMs: number;
  /** Null: the bucket was empty and the engine filled it. */
  readonly observed: number | null;
  /** What the forecast before it expected: p10, p50, p90 at lead 1; null where there was none. */
  readonly low: number | null;
  readonly p50: number | null;
  readonly high: number | null;
  /** What was found wrong with the bucket; nothing: absent. */
  readonly marks?: readonly MarkName[];
}

/** Time and reading. */
const EXACT = 2;
/** low, p50, high */
const EXPECTED = 3;
const orNull = (value: number): number | null => (Number.isNaN(value) ? null : value);

export class PointRing {
  readonly capacity: number;
  /** [rows, 2], NaN stands for null; rows grow to `capacity` as points come. */
  private exact: Float64Array;
  /** [rows, 3] as differences from `base`, which is exact enough for a picture. */
  private expected: Float32Array;
  /** The first median of all; NaN before there is one. */
  private base = Number.NaN;
  /** By time; most buckets have none, and most streams have no such bucket. */
  private marks: Map<number, readonly MarkName[]> | null = null;
  private start = 0;
  private count = 0;

  constructor(capacity: number) {
    this.capacity = Math.max(1, capacity);
    const rows = Math.min(16, this.capacity);
    ({ exact: this.exact, expected: this.expected } = columns(rows));
  }

  get length(): number {
    return this.count;
  }

  get lastMs(): number | null {
    return this.count === 0 ? null : this.at(this.count - 1).timeMs;
  }

  /**
   * Points come in order of time, and the newest one may come again. One that goes back is of a clock that was ahead and has
   * been put right: what stands after it gives way.
   */
  push(point: ChartPoint): void {
    for (let last = this.lastMs; last !== null && last >= point.timeMs; last = this.lastMs) {
      this.marks?.delete(last);
      this.count--;
    }
    if (point.marks !== undefined) {
      this.marks ??= new Map();
      this.marks.set(point.timeMs, point.marks);
    }
    if (this.count === this.capacity) {
      this.marks?.delete(this.at(0).timeMs);
      this.start = (this.start + 1) % this.capacity;
      this.count--;
    } else if (this.count === this.rows) this.grow();
    const { observed, low, p50, high } = point;
    const row = (this.start + this.count) % this.rows;
    if (Number.isNaN(this.base)) this.base = p50 ?? Number.NaN;
    this.exact[row * EXACT] = point.timeMs;
    this.exact[row * EXACT + 1] = observed ?? Number.NaN;
    this.expected[row * EXPECTED] = (low ?? Number.NaN) - this.base;
    this.expected[row * EXPECTED + 1] = (p50 ?? Number.NaN) - this.base;
    this.expected[row * EXPECTED + 2] = (high ?? Number.NaN) - this.base;
    this.count++;
  }

  private get rows(): number {
    return this.exact.length / EXACT;
  }

  /** Points later than `afterMs`, ascending. */
  since(afterMs: number): ChartPoint[] {
    let first = this.count;
    while (first > 0 && this.at(first - 1).timeMs > afterMs) first--;
    const points: ChartPoint[] = [];
    for (let i = first; i < this.count; i++) points.push(this.at(i));
    return points;
  }

  private at(index: number): ChartPoint {
    const row = (this.start + index) % this.rows;
    const timeMs = this.exact[row * EXACT]!;
    const marks = this.marks?.get(timeMs);
    const expected = (column: number): number | null =>
      orNull(this.base + this.expected[row * EXPECTED + column]!);
    return {
      timeMs,
      observed: orNull(this.exact[row * EXACT + 1]!),
      low: expected(0),
      p50: expected(1),
      high: expected(2),
      ...(marks === undefined ? {} : { marks }),
    };
  }

  /** Only while the ring has not wrapped (`start` is 0 until it has its full size). */
  private grow(): void {
    const larger = columns(Math.min(this.capacity, 2 * this.rows));
    larger.exact.set(this.exact);
    larger.expected.set(this.expected);
    this.exact = larger.exact;
    this.expected = larger.expected;
  }
}

/** Both in one block: a block of its own costs more than a short column. */
function columns(rows: number): { exact: Float64Array; expected: Float32Array } {
  const block = new ArrayBuffer((8 * EXACT + 4 * EXPECTED) * rows);
  return {
    exact: new Float64Array(block, 0, EXACT * rows),
    expected: new Float32Array(block, 8 * EXACT * rows, EXPECTED * rows),
  };
}
