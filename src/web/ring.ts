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

const WIDTH = 5;
const orNull = (value: number): number | null => (Number.isNaN(value) ? null : value);

export class PointRing {
  readonly capacity: number;
  /** [capacity, 5]: time, observed, low, p50, high; NaN stands for null. Grows to `capacity` as points come. */
  private data: Float64Array;
  /** By time; most buckets have none, and most streams have no such bucket. */
  private marks: Map<number, readonly MarkName[]> | null = null;
  private start = 0;
  private count = 0;

  constructor(capacity: number) {
    this.capacity = Math.max(1, capacity);
    this.data = new Float64Array(Math.min(16, this.capacity) * WIDTH);
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
    } else if ((this.count + 1) * WIDTH > this.data.length) this.grow();
    const row = (((this.start + this.count) * WIDTH) % this.data.length) | 0;
    this.data[row] = point.timeMs;
    this.data[row + 1] = point.observed ?? Number.NaN;
    this.data[row + 2] = point.low ?? Number.NaN;
    this.data[row + 3] = point.p50 ?? Number.NaN;
    this.data[row + 4] = point.high ?? Number.NaN;
    this.count++;
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
    const row = ((this.start + index) * WIDTH) % this.data.length;
    const timeMs = this.data[row]!;
    const marks = this.marks?.get(timeMs);
    return {
      timeMs,
      observed: orNull(this.data[row + 1]!),
      low: orNull(this.data[row + 2]!),
      p50: orNull(this.data[row + 3]!),
      high: orNull(this.data[row + 4]!),
      ...(marks === undefined ? {} : { marks }),
    };
  }

  /** Only while the ring has not wrapped (`start` is 0 until `data` has its full size). */
  private grow(): void {
    const rows = Math.min(this.capacity, (this.data.length / WIDTH) * 2);
    const larger = new Float64Array(rows * WIDTH);
    larger.set(this.data);
    this.data = larger;
  }
}
