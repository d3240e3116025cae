/**
 * The intervals that wait for their buckets: for each knot k a ring of k rows, one row a step. Half of what a stream
 * would keep in full precision, and most of what it keeps: a row is one number whole, and the others as differences from it.
 */
import { fromBfloat16, toBfloat16 } from '../series/bfloat16.ts';
import type { LeadKnots } from '../series/lead-knots.ts';
import type { Memory } from '../series/memory.ts';
import type { StateIo } from '../series/state-io.ts';

export class IntervalRing {
  private readonly knots: LeadKnots;
  private readonly width: number;
  private readonly whole: number;
  /** [rows] */
  private readonly base: Float32Array;
  /** [rows, width] */
  private readonly offsets: Int16Array;

  /**
   * Rows are NaN until they are written.
   * @param width numbers a row
   * @param whole which of them is kept whole
   */
  constructor(knots: LeadKnots, width: number, whole: number, memory: Memory) {
    this.knots = knots;
    this.width = width;
    this.whole = whole;
    this.base = memory.float32(knots.rows).fill(Number.NaN);
    this.offsets = memory.int16(knots.rows * width);
  }

  /** Where the row of a step stands: what was written there `knots[knot]` steps before is due. */
  private rowOf(knot: number, step: number): number {
    return this.knots.firstRow[knot] + (step % this.knots.knots[knot]);
  }

  /** Writes the row of a step to `out` from 0 on. */
  read(knot: number, step: number, out: Float64Array): void {
    const row = this.rowOf(knot, step);
    for (let i = 0; i < this.width; i++)
      out[i] = this.base[row] + fromBfloat16(this.offsets[row * this.width + i]);
  }

  /** @param from where the row begins in `values`; not a number where there is nothing to keep */
  write(knot: number, step: number, values: Float64Array, from: number): void {
    const row = this.rowOf(knot, step);
    this.base[row] = values[from + this.whole];
    for (let i = 0; i < this.width; i++)
      this.offsets[row * this.width + i] = toBfloat16(values[from + i] - this.base[row]);
  }

  persist(io: StateIo): void {
    io.array(this.base);
    io.array(this.offsets);
  }
}
