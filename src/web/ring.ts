/** A bounded history of buckets for one chart: the newest `capacity` points, oldest dropped first. Pure. */
import type { MarkName } from '../series/quality.ts';
import { restored } from './differences.ts';

export interface ChartPoint {
  /** Label (start) of the bucket, ms. */
  readonly timeMs: number;
  /** null: the bucket was empty, and the engine filled it. */
  readonly observed: number | null;
  /** The previous forecast for this bucket: p10, p50, p90 at lead 1; null without one. */
  readonly low: number | null;
  readonly p50: number | null;
  readonly high: number | null;
  /** Quality marks of the bucket; absent without any. */
  readonly marks?: readonly MarkName[];
}

/** Time, reading and median. */
const EXACT = 3;
/** Low and high, as differences from the median. */
const EDGES = 2;
/** Number of readings used by `liveliness`. */
const LIVELY_POINTS = 16;
const orNull = (value: number): number | null => (Number.isNaN(value) ? null : value);

export class PointRing {
  readonly capacity: number;
  /** [rows, 3]; NaN means null. Grows up to `capacity` rows. */
  private exact: Float64Array;
  /** [rows, 2] */
  private edges: Float32Array;
  /** By time of the bucket; null until the first mark, because most streams have none. */
  private marks: Map<number, readonly MarkName[]> | null = null;
  private start = 0;
  private count = 0;

  constructor(capacity: number) {
    this.capacity = Math.max(1, capacity);
    ({ exact: this.exact, edges: this.edges } = columns(Math.min(16, this.capacity)));
  }

  get length(): number {
    return this.count;
  }

  get lastMs(): number | null {
    return this.count === 0 ? null : this.timeAt(this.count - 1);
  }

  /**
   * Adds a point. Points arrive in order of time; the newest may arrive again. An older point means that the clock was set
   * back, and replaces all points after it.
   */
  push({ timeMs, observed, low, p50, high, marks }: ChartPoint): void {
    for (let last = this.lastMs; last !== null && last >= timeMs; last = this.lastMs) {
      this.marks?.delete(last);
      this.count--;
    }
    if (marks !== undefined) {
      this.marks ??= new Map();
      this.marks.set(timeMs, marks);
    }
    if (this.count === this.capacity) {
      this.marks?.delete(this.timeAt(0));
      this.start = (this.start + 1) % this.capacity;
      this.count--;
    } else if (this.count === this.rows) this.grow();
    const row = this.row(this.count);
    const median = p50 ?? Number.NaN;
    this.exact[row * EXACT] = timeMs;
    this.exact[row * EXACT + 1] = observed ?? Number.NaN;
    this.exact[row * EXACT + 2] = median;
    this.edges[row * EDGES] = (low ?? Number.NaN) - median;
    this.edges[row * EDGES + 1] = (high ?? Number.NaN) - median;
    this.count++;
  }

  private get rows(): number {
    return this.exact.length / EXACT;
  }

  private row(index: number): number {
    return (this.start + index) % this.rows;
  }

  private timeAt(index: number): number {
    return this.exact[this.row(index) * EXACT];
  }

  /** Points later than `afterMs`, ascending. */
  since(afterMs: number): ChartPoint[] {
    let first = this.count;
    while (first > 0 && this.timeAt(first - 1) > afterMs) first--;
    const points: ChartPoint[] = [];
    for (let i = first; i < this.count; i++) points.push(this.at(i));
    return points;
  }

  /**
   * How much the newest readings vary, 0 to 1: the share of readings that differ from the previous one, times their range
   * relative to their size. 0 for a constant stream.
   */
  liveliness(): number {
    let last = Number.NaN;
    let changes = 0;
    let readings = 0;
    let low = Number.POSITIVE_INFINITY;
    let high = Number.NEGATIVE_INFINITY;
    for (let i = Math.max(0, this.count - LIVELY_POINTS); i < this.count; i++) {
      const value = this.exact[this.row(i) * EXACT + 1];
      if (Number.isNaN(value) || this.marks?.has(this.timeAt(i))) continue;
      if (readings > 0 && value !== last) changes++;
      readings++;
      last = value;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    const size = Math.max(Math.abs(low), Math.abs(high));
    return readings < 2 || size === 0 ? 0 : (changes / (readings - 1)) * Math.min(1, (high - low) / size);
  }

  private at(index: number): ChartPoint {
    const row = this.row(index);
    const timeMs = this.exact[row * EXACT];
    const median = this.exact[row * EXACT + 2];
    const marks = this.marks?.get(timeMs);
    return {
      timeMs,
      observed: orNull(this.exact[row * EXACT + 1]),
      low: orNull(restored(median, this.edges[row * EDGES])),
      p50: orNull(median),
      high: orNull(restored(median, this.edges[row * EDGES + 1])),
      ...(marks === undefined ? {} : { marks }),
    };
  }

  /** Only while the ring has not wrapped (`start` is 0 until it has its full size). */
  private grow(): void {
    const larger = columns(Math.min(this.capacity, 2 * this.rows));
    larger.exact.set(this.exact);
    larger.edges.set(this.edges);
    this.exact = larger.exact;
    this.edges = larger.edges;
  }
}

/** Two views of one buffer, because the overhead of a buffer exceeds a short column. */
function columns(rows: number): { exact: Float64Array; edges: Float32Array } {
  const block = new ArrayBuffer((8 * EXACT + 4 * EDGES) * rows);
  return {
    exact: new Float64Array(block, 0, EXACT * rows),
    edges: new Float32Array(block, 8 * EXACT * rows, EDGES * rows),
  };
}
