/**
 * Forecast intervals that wait for their buckets: for each knot k a ring of k rows, one row per step. The published
 * interval keeps full precision, because readings are tested against it and are often exactly on its edge (a solar
 * panel's 0 at night). The other intervals serve only for losses: 16 bits each are enough, stored as differences
 * from the published median.
 */

import type { ArrayBlock } from '../series/array-block.ts';
import type { Bfloat16 } from '../series/bfloat16.ts';
import type { LeadKnots } from '../series/lead-knots.ts';
import type { StateIo } from '../series/state-io.ts';

/** Low, median and high. */
const WHOLE = 3;

export class IntervalRing {
  private readonly others: number;
  /** [rows, 3] */
  private readonly whole: Float32Array;
  /** [rows, others] */
  private readonly offsets: Int16Array;

  /**
   * Rows are NaN until they are written.
   * @param width numbers per row; the last three are the published interval
   */
  constructor(
    private readonly knots: LeadKnots,
    width: number,
    memory: ArrayBlock,
    private readonly bfloat16: Bfloat16,
  ) {
    this.others = width - WHOLE;
    this.whole = memory.float32(knots.rows * WHOLE).fill(Number.NaN);
    this.offsets = memory.int16(knots.rows * this.others);
  }

  /** Copies the row of a step to the start of `out`. */
  read(knot: number, step: number, out: Float64Array): void {
    const { others, whole, offsets, bfloat16 } = this;
    const row = this.knots.row(knot, step);
    const median = whole[row * WHOLE + 1];
    for (let i = 0; i < others; i++) out[i] = median + bfloat16.decode(offsets[row * others + i]);
    for (let i = 0; i < WHOLE; i++) out[others + i] = whole[row * WHOLE + i];
  }

  /** @param from start of the row in `values`; NaN values stay NaN */
  write(knot: number, step: number, values: Float64Array, from: number): void {
    const { others, whole, offsets, bfloat16 } = this;
    const row = this.knots.row(knot, step);
    for (let i = 0; i < WHOLE; i++) whole[row * WHOLE + i] = values[from + others + i];
    const median = whole[row * WHOLE + 1];
    for (let i = 0; i < others; i++) offsets[row * others + i] = bfloat16.encode(values[from + i] - median);
  }

  /** Deletes the interval at index `place` of every row. */
  clear(place: number): void {
    const none = this.bfloat16.encode(Number.NaN);
    for (let at = place; at < this.offsets.length; at += this.others) this.offsets.fill(none, at, at + WHOLE);
  }

  persist(io: StateIo): void {
    io.array(this.whole);
    io.array(this.offsets);
  }
}
