/**
 * Calibrates the published interval by situation. Factors that are learnt over all steps hold 80 % on average, but not
 * in each situation: just after a jump, at a low or at a high level. So each situation has a factor of its own, beside
 * the common one, in log space (online quantile tracking, Gibbs & Candes 2021, applied to groups as in multivalid
 * conformal prediction, Bastani et al. 2022). A situation is known when the forecast is made: how long ago the stream
 * jumped, and whether the median of the lead is low, medium or high among the values of the stream. What may be chance
 * does not count, so that streams without such situations are forecast as without these factors.
 */
import type { ArrayBlock } from '../series/array-block.ts';
import type { LeadKnots } from '../series/lead-knots.ts';
import type { StateIo } from '../series/state-io.ts';

/** A reading this many halves of the interval of lead 1 from its median is a jump. */
const JUMP = 3;
/** Steps since a jump at which one class ends and the next begins. */
const SINCE = [1, 3, 8] as const;
const CALM = SINCE.length;
const ORIGINS = SINCE.length + 1;
const LEVELS = 3;
const SITUATIONS = ORIGINS + LEVELS;
/** Numbers of a situation at a knot: readings learnt from, logarithms of the factors of the lower and the upper half, the last step, and the usual size of an error. */
const WIDTH = 5;
const [LAST, SIZE] = [3, 4] as const;
/** Steps are kept modulo this, which is more than any lead. */
const TURN = 4096;
const ROW = SITUATIONS * WIDTH;
/** Learning rate after n readings: FIRST / sqrt(n), and no less than LEAST. */
const FIRST = 0.5;
const LEAST = 0.04;
/** Share of the errors of a situation that are below its usual size: an interval of 80 % has to be wider than that. */
const USUAL = 0.6;
const SIZE_RATE = 0.1;
/** Half an interval is no narrower than this share of the usual size. */
const NARROWEST = 0.35;
/** What a factor may be by chance, and does not count. */
const DOUBT = 0.3;
const MOST_LOG_FACTOR = 2.5;
/** Readings of a situation that are counted. */
const MEMORY = 1000;

/** Numbers of a level at a knot, of the forecast that is made now: logarithms of both factors, and the least half interval. */
const NOW = 3;
/** Length of the scratch that `Situations` works in. */
export const situationsScratch = (lead: LeadKnots): number => lead.knots.length * LEVELS * NOW;

const beyondDoubt = (factor: number): number =>
  factor > DOUBT ? factor - DOUBT : factor < -DOUBT ? factor + DOUBT : 0;

export class Situations {
  private readonly lead: LeadKnots;
  private readonly tail: number;
  /** [knots, SITUATIONS, WIDTH] */
  private readonly state: Float32Array;
  /** [longest knot] class of the origin of the forecasts that wait. */
  private readonly origins: Int8Array;
  private readonly now: Float64Array;
  private since = SINCE[CALM - 1] as number;
  /** Class of the forecast that is made now. */
  private origin: number = CALM;
  /** Between low, medium and high: quantiles of the stream's past values. */
  private low = 0;
  private high = 0;

  /**
   * @param tail share of readings wanted on each side of the interval
   * @param now [knots, LEVELS, NOW] for the forecast that is made now; streams may share it
   */
  constructor(
    lead: LeadKnots,
    tail: number,
    memory: ArrayBlock,
    now: Float64Array = new Float64Array(situationsScratch(lead)),
  ) {
    this.lead = lead;
    this.tail = tail;
    this.now = now;
    this.state = memory.float32(lead.knots.length * ROW);
    this.origins = memory.int8(lead.lower.length);
  }

  /** A bucket has been observed. @param missed its distance from the median of lead 1, in halves of that interval */
  note(missed: number): void {
    this.since = missed > JUMP ? 0 : Math.min(this.since + 1, SINCE[CALM - 1]);
  }

  /** A forecast is made in step `step`. @param low @param high quantiles of what the stream has shown */
  begin(step: number, low: number, high: number): void {
    this.low = low;
    this.high = high;
    let origin = 0;
    while (origin < CALM && this.since >= SINCE[origin]) origin++;
    this.origin = origin;
    this.origins[step % this.origins.length] = origin;
    this.prepare();
  }

  private prepare(): void {
    const { state, now, origin } = this;
    for (let j = 0; j < this.lead.knots.length; j++) {
      const sinceJump = j * ROW + origin * WIDTH;
      for (let l = 0; l < LEVELS; l++) {
        const atLevel = j * ROW + (ORIGINS + l) * WIDTH;
        const out = (j * LEVELS + l) * NOW;
        now[out] = beyondDoubt(state[sinceJump + 1] + state[atLevel + 1]);
        now[out + 1] = beyondDoubt(state[sinceJump + 2] + state[atLevel + 2]);
        now[out + 2] = NARROWEST * Math.max(state[sinceJump + SIZE], state[atLevel + SIZE]);
      }
    }
  }

  private level(median: number): number {
    return median < this.low ? 0 : median > this.high ? 2 : 1;
  }

  /** Logarithm of the factor of half an interval at lead k + 1, after `begin`. @param side 0: the lower half */
  atLead(k: number, median: number, side: number): number {
    return this.lead.interpolate(this.now, LEVELS * NOW, this.level(median) * NOW + side, k);
  }

  /** Half an interval at lead k + 1 is no narrower than this: a share of the errors in its situation. After `begin`. */
  least(k: number, median: number): number {
    return this.lead.interpolate(this.now, LEVELS * NOW, this.level(median) * NOW + 2, k);
  }

  /** The same at a knot, of the forecast that was made in step `step`. */
  at(knot: number, step: number, median: number, side: number): number {
    const from = knot * ROW + 1 + side;
    const origin = this.origins[step % this.origins.length];
    return beyondDoubt(
      this.state[from + origin * WIDTH] + this.state[from + (ORIGINS + this.level(median)) * WIDTH],
    );
  }

  /** Records whether a reading was above, below or inside its interval. @param below @param above null if that half has no width */
  learn(
    knot: number,
    step: number,
    median: number,
    error: number,
    below: boolean | null,
    above: boolean | null,
  ): void {
    this.learnOne(knot, step, this.origins[step % this.origins.length], error, below, above);
    this.learnOne(knot, step, ORIGINS + this.level(median), error, below, above);
  }

  private learnOne(
    knot: number,
    step: number,
    situation: number,
    error: number,
    below: boolean | null,
    above: boolean | null,
  ): void {
    const { state } = this;
    const at = knot * ROW + situation * WIDTH;
    // Forecasts that were made within k steps of each other miss the same readings at lead k: together they count as one.
    const k = this.lead.knots[knot];
    const now = step % TURN;
    const news = Math.min(k, (now - state[at + LAST] + TURN) % TURN || TURN) / k;
    state[at + LAST] = now;
    this.learnSize(at, news, error);
    state[at] = Math.min(MEMORY, state[at] + news);
    const rate = news * Math.max(LEAST, FIRST / Math.sqrt(1 + state[at]));
    this.move(at + 1, rate, below);
    this.move(at + 2, rate, above);
  }

  private move(at: number, rate: number, missed: boolean | null): void {
    if (missed === null) return;
    const moved = this.state[at] + rate * ((missed ? 1 : 0) - this.tail);
    this.state[at] = Math.max(-MOST_LOG_FACTOR, Math.min(MOST_LOG_FACTOR, moved));
  }

  /** Tracks a quantile of the errors' sizes by steps in log space. */
  private learnSize(at: number, news: number, error: number): void {
    const { state } = this;
    const size = Math.abs(error);
    if (state[at + SIZE] === 0) {
      state[at + SIZE] = size;
      return;
    }
    const rate = news * Math.max(SIZE_RATE, 1 / Math.sqrt(1 + state[at]));
    const moved = state[at + SIZE] * Math.exp(rate * ((size > state[at + SIZE] ? 1 : 0) - 1 + USUAL));
    state[at + SIZE] = Math.max(moved, Number.MIN_VALUE);
  }

  persist(io: StateIo): void {
    io.array(this.state);
    io.array(this.origins);
    this.since = io.number(this.since);
    this.origin = io.number(this.origin);
    this.low = io.number(this.low);
    this.high = io.number(this.high);
  }
}
