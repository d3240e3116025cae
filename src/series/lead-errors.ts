/**
 * The recent error of each expert, by lead. Forecasts for a few leads (the knots, spaced by ratio) are kept until
 * their bucket arrives; errors of the leads between are interpolated over the logarithm of the lead. These errors
 * give the anchor (the experts' mean, weighted by 1/error^4) and the scale of every lead.
 */

import { ArrayBlock } from './array-block.ts';
import { Bfloat16 } from './bfloat16.ts';
import { LeadKnots } from './lead-knots.ts';
import type { StateIo } from './state-io.ts';

const KNOTS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 72, 96, 144, 192, 288, 336];
const MEMORY = 384;
const OUTLIER = 8;

/** Knots for the errors; shared by all streams of one horizon. */
export const errorKnots = (leads: number): LeadKnots => new LeadKnots(KNOTS, leads);

/** Scratch buffers for one expert's errors and for coding; streams may share them. */
export class ErrorScratch {
  readonly atKnots = new Float64Array(KNOTS.length + 1);
  readonly logAtKnots = new Float64Array(KNOTS.length + 1);
  readonly bfloat16 = new Bfloat16();
}

export class LeadErrors {
  private readonly scratch: ErrorScratch;
  readonly knots: readonly number[];
  /**
   * [knots, experts + 2]: mean absolute error of each expert; errors averaged so far, bounded by MEMORY; the innovation,
   * (observed - anchor forecast) / scale forecast, for the bucket that has just arrived, 0 if there is none.
   */
  private readonly state: Float32Array;
  /** For each knot k a ring of k rows: the anchor, the scale. */
  private readonly pending: Float32Array;
  /** The experts' forecasts for each of these rows, as differences from the anchor (`bfloat16.ts`). */
  private readonly offsets: Int16Array;
  private step = 0;

  constructor(
    private readonly lead: LeadKnots,
    private readonly experts: number,
    memory = new ArrayBlock(),
    scratch = new ErrorScratch(),
  ) {
    this.scratch = scratch;
    this.knots = lead.knots;
    this.state = memory.float32(this.knots.length * (experts + 2));
    this.pending = memory.float32(lead.rows * 2);
    this.offsets = memory.int16(lead.rows * experts);
  }

  /** Scores the forecasts made for this bucket. Call once per step, before `keep`. */
  observe(value: number, observed: boolean): void {
    const { experts, state, pending, offsets } = this;
    const { bfloat16 } = this.scratch;
    for (let j = 0; j < this.knots.length; j++) {
      const k = this.knots[j];
      const own = j * (experts + 2);
      const countAt = own + experts;
      const innovationAt = countAt + 1;
      state[innovationAt] = 0;
      if (!observed || this.step < k) continue;
      const at = this.lead.row(j, this.step);
      const fromAnchor = value - pending[2 * at];
      state[countAt] = Math.min(state[countAt] + 1, MEMORY);
      const rate = 1 / state[countAt];
      for (let e = 0; e < experts; e++) {
        const mean = state[own + e];
        let miss = Math.abs(fromAnchor - bfloat16.decode(offsets[at * experts + e]));
        if (state[countAt] > 16 && miss > OUTLIER * mean && mean > 0) miss = OUTLIER * mean;
        state[own + e] = mean + rate * (miss - mean);
      }
      state[innovationAt] = fromAnchor / pending[2 * at + 1];
    }
  }

  /** Innovation of the bucket that has just arrived, at knot `j`. */
  innovation(j: number): number {
    return this.state[j * (this.experts + 2) + this.experts + 1];
  }

  /**
   * Mean absolute error of each expert at each lead, and its logarithm; each interpolated between the knots, because
   * a logarithm for every lead would cost more than all the rest of a step.
   * @param unit the error assumed for lead 1 before anything has been scored; grows with the root of the lead
   * @param out [experts, leads]
   * @param logOut [experts, leads]
   */
  errors(leads: number, unit: number, out: Float32Array, logOut: Float32Array): void {
    const { experts } = this;
    const { lower, upperWeight } = this.lead;
    for (let e = 0; e < experts; e++) {
      this.errorsAtKnots(e, unit);
      const base = e * leads;
      for (let k = 0; k < leads; k++) {
        const j = lower[k];
        const w = upperWeight[k];
        const next = w === 0 ? j : j + 1;
        out[base + k] = this.scratch.atKnots[j] + w * (this.scratch.atKnots[next] - this.scratch.atKnots[j]);
        logOut[base + k] =
          this.scratch.logAtKnots[j] + w * (this.scratch.logAtKnots[next] - this.scratch.logAtKnots[j]);
      }
    }
  }

  private errorsAtKnots(e: number, unit: number): void {
    const { experts, knots } = this;
    const floor = 1e-3 * unit;
    let known = false;
    for (let j = 0; j < knots.length; j++) {
      const growth = j > 0 ? Math.sqrt(knots[j] / knots[j - 1]) : 1;
      const own = j * (experts + 2);
      const count = this.state[own + experts];
      let error: number;
      if (count > 0) {
        known = true;
        error = this.state[own + e];
        if (count < 8) {
          // With few errors, combine them with a prior from the shorter lead and a random walk.
          const prior = j > 0 ? this.scratch.atKnots[j - 1] * growth : unit;
          error += (prior - error) / (1 + count);
        }
      } else if (known) {
        error = this.scratch.atKnots[j - 1] * growth;
      } else {
        error = unit * Math.sqrt(knots[j]) * (e === 0 ? 1 : 1.5);
      }
      this.scratch.atKnots[j] = Math.max(error, floor);
      this.scratch.logAtKnots[j] = Math.log(this.scratch.atKnots[j]);
    }
  }

  /**
   * Stores this step's forecasts until their buckets arrive.
   * @param forecasts [experts, leads]
   * @param anchor [leads]
   * @param scale [leads], > 0
   */
  keep(leads: number, forecasts: Float32Array, anchor: Float32Array, scale: Float32Array): void {
    const { experts, pending, offsets } = this;
    const { bfloat16 } = this.scratch;
    for (let j = 0; j < this.knots.length; j++) {
      const k = this.knots[j];
      const at = this.lead.row(j, this.step);
      pending[2 * at] = anchor[k - 1];
      pending[2 * at + 1] = scale[k - 1];
      for (let e = 0; e < experts; e++)
        offsets[at * experts + e] = bfloat16.encode(forecasts[e * leads + k - 1] - anchor[k - 1]);
    }
    this.step++;
  }

  persist(io: StateIo): void {
    io.array(this.state);
    io.array(this.pending);
    io.array(this.offsets);
    this.step = io.number(this.step);
  }
}
