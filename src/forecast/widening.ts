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

/** Mean miss that does not widen the interval, in half widths of the 80 % interval: for normal errors it is 0.6. */
const HARMLESS = 1;
const NOMINAL = 0.8;
/** Ratio of that half width to the mean distance from the median, for normal errors. */
const ORDINARY = 1.6;
/** A miss is clipped to this: a single miss does not show that the noise has changed. */
const FARTHEST = 2;
/** Amount that a miss adds to the sum at lead 1, per half width; at lead k, whose errors overlap, k^0.75 times less. */
const RATE = 0.4;
const OVERLAP = 0.75;
/** Threshold of the sum: smaller values occur by chance (logarithm of the widening) ... */
const DOUBT = 0.5;
/** ... and the logarithm of the maximum widening. */
const WIDEST = 3;
/** Long leads follow a widening slowly, over this share of the lead (in steps), because it may be temporary. */
const PATIENCE = 0.5;
/** Indices of the two numbers of a knot. */
const [SUM, WIDER] = [0, 1] as const;

export class Widening {
  private readonly knots: readonly number[];
  /** Ratio of the 80 % interval's width to the published one's, for logistic errors. */
  private readonly nominal: number;
  /** [knots, 2]: sum of the misses; logarithm of the published widening. */
  private readonly state: Float32Array;

  /** @param coverage target share of readings inside the published interval */
  constructor(
    private readonly lead: LeadKnots,
    coverage: number,
    memory: ArrayBlock,
  ) {
    this.nominal = Math.atanh(NOMINAL) / Math.atanh(coverage);
    this.knots = lead.knots;
    this.state = memory.float32(2 * this.knots.length);
  }

  /** Logarithm of the widening at a knot. */
  at(knot: number): number {
    return this.state[2 * knot + WIDER];
  }

  /** Logarithm of the widening at lead k + 1. */
  atLead(k: number): number {
    return this.lead.interpolate(this.state, 2, WIDER, k);
  }

  /**
   * @param missed distance of the reading from the median of its forecast
   * @param half width of the half interval on the reading's side, as it would be published now; > 0
   * @param usual mean of such distances: a miss of a much narrower interval (a solar panel's at night) tells
   *   little about the others
   */
  learn(knot: number, missed: number, half: number, usual: number): void {
    const nominal = half * this.nominal;
    const more = Math.min(FARTHEST, missed / nominal) - HARMLESS;
    // After repeated misses the usual distance is unreliable, so a hit counts fully.
    const breadth = more > 0 ? Math.min(1, nominal / (ORDINARY * usual)) : 1;
    const sum = this.state[2 * knot + SUM] + (RATE * breadth ** 2 * more) / this.knots[knot] ** OVERLAP;
    if (Number.isFinite(sum)) this.state[2 * knot + SUM] = Math.max(0, Math.min(WIDEST + DOUBT, sum));
  }

  /** Call once per step, after `learn` for all knots. */
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
