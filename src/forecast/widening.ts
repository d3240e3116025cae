/**
 * Widens the published interval for a while beyond its learnt width when the stream misses it more often than it
 * would miss an interval of the right width.
 *
 * The widths from the network, and the factors that calibrate them, average over hundreds of steps. When a stream
 * becomes permanently noisier, both are too narrow for days, most of all at the long leads, whose errors are known
 * last. So for every lead a sum of recent misses is kept, each in widths of the interval as published now (CUSUM,
 * Page 1954): in an unchanged stream the sum stays at zero. The part of the sum above a threshold widens the
 * interval, in log space, at this lead and at all longer ones, until it is no longer missed that often; then the sum
 * falls again.
 */

import type { ArrayBlock } from '../series/array-block.ts';
import type { LeadKnots } from '../series/lead-knots.ts';
import type { StateIo } from '../series/state-io.ts';

/** Mean miss, in halves of the 80 % interval, that is not held against a width: that of normal errors is 0.6. */
const HARMLESS = 1;
const NOMINAL = 0.8;
/** Half of that interval beside the mean distance from the median, of normal errors. */
const ORDINARY = 1.6;
/** A miss counts no more than this: none tells by itself that the noise has changed. */
const FARTHEST = 2;
/** What a miss adds to the sum, per half of the interval, at lead 1; at lead k, whose errors overlap, k^0.75 times less. */
const RATE = 0.4;
const OVERLAP = 0.75;
/** Logarithm of the widening that is asked for by chance, and not given ... */
const DOUBT = 0.5;
/** ... and of the widest one. */
const WIDEST = 3;
/** What may be over soon does not widen a long lead: it is followed over this share of the lead, in steps. */
const PATIENCE = 0.5;
/** Places of the two numbers of a knot. */
const [SUM, WIDER] = [0, 1] as const;

export class Widening {
  private readonly knots: readonly number[];
  private readonly lead: LeadKnots;
  /** Width of the interval of 80 % beside that of the published one, if errors are logistic. */
  private readonly nominal: number;
  /** [knots, 2]: sum of the misses; logarithm of how much wider, as published. */
  private readonly state: Float32Array;

  /** @param coverage share of readings that the published interval shall hold */
  constructor(lead: LeadKnots, coverage: number, memory: ArrayBlock) {
    this.lead = lead;
    this.nominal = Math.atanh(NOMINAL) / Math.atanh(coverage);
    this.knots = lead.knots;
    this.state = memory.float32(2 * this.knots.length);
  }

  /** Logarithm of how much wider the interval is at a knot. */
  at(knot: number): number {
    return this.state[2 * knot + WIDER];
  }

  /** The same at lead k + 1. */
  atLead(k: number): number {
    return this.lead.interpolate(this.state, 2, WIDER, k);
  }

  /**
   * @param missed distance of a reading from the median of its forecast
   * @param half width of that half of the interval which the reading is on, as it would be published now; > 0
   * @param usual mean of such distances: a miss of an interval that is narrow beside it (a solar panel's at night) says
   *   little of the others
   */
  learn(knot: number, missed: number, half: number, usual: number): void {
    const nominal = half * this.nominal;
    const more = Math.min(FARTHEST, missed / nominal) - HARMLESS;
    // What is usual is no measure of how narrow an interval is once it has been missed too often: that it holds counts in full.
    const breadth = more > 0 ? Math.min(1, nominal / (ORDINARY * usual)) : 1;
    const sum = this.state[2 * knot + SUM] + (RATE * breadth ** 2 * more) / this.knots[knot] ** OVERLAP;
    if (Number.isFinite(sum)) this.state[2 * knot + SUM] = Math.max(0, Math.min(WIDEST + DOUBT, sum));
  }

  /** Once a step, when all knots have learnt. */
  follow(): void {
    let asked = 0;
    for (let j = 0; j < this.knots.length; j++) {
      asked = Math.max(asked, this.state[2 * j + SUM] - DOUBT);
      const above = asked - this.state[2 * j + WIDER];
      this.state[2 * j + WIDER] += above > 0 ? above / (1 + PATIENCE * this.knots[j]) : above;
    }
  }

  persist(io: StateIo): void {
    io.array(this.state);
  }
}
