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
/** The usual size falls no lower than this share of the mean size of all errors, which no interval shows, and not to 0, from where it could not grow. */
const NEGLIGIBLE = 1e-6;
const SMALLEST_FLOAT32 = 2 ** -126;
/** Errors that are averaged before a quantile is tracked; logarithm of this quantile beside the geometric mean of normal errors; largest step. */
const FEW = 16;
const GEOMETRIC = 0.46;
const FARTHEST = 3;
/** Half an interval is no narrower than this share of the usual size; where its situation has a factor, that many times more ... */
const NARROWEST = 0.35;
/** ... up to this share: of normal errors, half an interval of 80 % is 1.5 times what two of five errors exceed. */
const WIDEST = 1.5;
/** After a jump, errors this many times as large as in calm stretches set a minimum of their own for the half interval. */
const FAR_ABOVE_CALM = 4;
/** A factor whose logarithm is smaller than this may be chance, and is not applied. */
const DOUBT = 0.3;
/** Multiples of a lead after which the learnt factors of its situations are applied in full: the errors of a young stream tell nothing about situations. */
const KNOWN_AFTER = 2;
const MOST_LOG_FACTOR = 2.5;
/** Readings of a situation that are counted. */
const MEMORY = 1000;

/** Numbers of a level at a knot, of the forecast that is made now: logarithms of both factors, and both least half intervals. */
const NOW = 4;
const LEAST_HALF = 2;
/** Length of the scratch that `Situations` works in. */
export const situationsScratch = (lead: LeadKnots): number => lead.knots.length * LEVELS * NOW;

/** Share of the learnt factors that is applied at lead k, in a forecast made in step `step`. */
const known = (step: number, k: number): number => Math.min(1, Math.max(0, step - k + 1) / (KNOWN_AFTER * k));

const beyondDoubt = (factor: number): number =>
  factor > DOUBT ? factor - DOUBT : factor < -DOUBT ? factor + DOUBT : 0;

/**
 * Errors of a situation that are much larger than all errors are on average (impulses among zeros) cannot have the right interval
 * by factors that are learnt over all steps: the least half then follows the errors of the situation alone.
 * @param factor logarithm of the factor of a half
 * @param size usual size of an error in the situation
 * @param usual mean size of all errors
 */
function leastHalf(factor: number, size: number, usual: number): number {
  const share = size > usual && usual > 0 ? Math.min(WIDEST, (NARROWEST * size) / usual) : NARROWEST;
  const log = share > NARROWEST ? factor : Math.max(0, factor);
  const factored = log === 0 ? share : share * Math.exp(log);
  return size * Math.min(WIDEST, factored);
}

export class Situations {
  /** [knots, SITUATIONS, WIDTH] */
  private readonly state: Float32Array;
  /** [longest knot] class of the origin of the forecasts that wait. */
  private readonly origins: Int8Array;
  private since = SINCE[CALM - 1] as number;
  /** Class of the forecast that is made now. */
  private origin: number = CALM;
  /** Between low, medium and high: quantiles of the stream's past values. */
  private low = 0;
  private high = 0;
  private states = false;

  /**
   * @param usual mean size of all errors at a knot
   * @param now [knots, LEVELS, NOW] for the forecast that is made now; streams may share it
   */
  constructor(
    private readonly lead: LeadKnots,
    memory: ArrayBlock,
    private readonly usual: (knot: number) => number,
    private readonly now: Float64Array = new Float64Array(situationsScratch(lead)),
  ) {
    this.state = memory.float32(lead.knots.length * ROW);
    this.origins = memory.int8(lead.lower.length);
  }

  /** A bucket has been observed. @param missed its distance from the median of lead 1, in halves of that interval */
  note(missed: number): void {
    this.since = missed > JUMP ? 0 : Math.min(this.since + 1, SINCE[CALM - 1]);
  }

  /**
   * Call when a forecast is made.
   * @param low @param high quantiles of the stream's readings
   * @param states whether the stream has two states, below and above `low`
   */
  begin(step: number, low: number, high: number, states = false): void {
    this.low = low;
    this.high = high;
    this.states = states;
    let origin = 0;
    while (origin < CALM && this.since >= SINCE[origin]) origin++;
    this.origin = origin;
    this.origins[step % this.origins.length] = origin;
    this.prepare(step);
  }

  /** Whether the stream has just jumped. */
  get hasJumped(): boolean {
    return this.since < SINCE[CALM - 1];
  }

  /** Whether the stream had jumped when the forecast of step `step` was made. */
  isAfterJump(step: number): boolean {
    return this.origins[step % this.origins.length] !== CALM;
  }

  /** Whether the stream has two states, each with errors of its own. */
  get hasStates(): boolean {
    return this.states;
  }

  isLow(median: number): boolean {
    return median < this.low;
  }

  private prepare(step: number): void {
    const { state, now, origin } = this;
    for (let j = 0; j < this.lead.knots.length; j++) {
      const sinceJump = j * ROW + origin * WIDTH;
      const share = known(step, this.lead.knots[j]);
      const usual = this.usual(j);
      for (let l = 0; l < LEVELS; l++) {
        const atLevel = j * ROW + (ORIGINS + l) * WIDTH;
        const out = (j * LEVELS + l) * NOW;
        now[out] = share * beyondDoubt(state[sinceJump + 1] + state[atLevel + 1]);
        now[out + 1] = share * beyondDoubt(state[sinceJump + 2] + state[atLevel + 2]);
        for (let side = 0; side < 2; side++)
          now[out + LEAST_HALF + side] = share * this.leastOf(j, sinceJump, atLevel, now[out + side], usual);
      }
    }
  }

  /** Usual size of an error at lead k + 1 in calm stretches; 0 while unknown. */
  calmSize(k: number): number {
    return this.lead.interpolate(this.state, ROW, CALM * WIDTH + SIZE, k);
  }

  private level(median: number): number {
    return median < this.low ? 0 : median > this.high ? 2 : 1;
  }

  /** Logarithm of the factor of half an interval at lead k + 1, after `begin`. @param side 0: the lower half */
  atLead(k: number, median: number, side: number): number {
    return this.lead.interpolate(this.now, LEVELS * NOW, this.level(median) * NOW + side, k);
  }

  /** Half an interval at lead k + 1 is no narrower than this: a share of the errors in its situation. After `begin`. */
  least(k: number, median: number, side: number): number {
    return this.lead.interpolate(this.now, LEVELS * NOW, this.level(median) * NOW + LEAST_HALF + side, k);
  }

  /** The same at a knot, of the forecast that was made in step `step`. */
  at(knot: number, step: number, median: number, side: number): number {
    const from = knot * ROW + 1 + side;
    const origin = this.origins[step % this.origins.length];
    const factor =
      this.state[from + origin * WIDTH] + this.state[from + (ORIGINS + this.level(median)) * WIDTH];
    return known(step, this.lead.knots[knot]) * beyondDoubt(factor);
  }

  /** `least` at a knot, of the forecast that was made in step `step`. */
  leastAt(knot: number, step: number, median: number, side: number): number {
    const sinceJump = knot * ROW + this.origins[step % this.origins.length] * WIDTH;
    const atLevel = knot * ROW + (ORIGINS + this.level(median)) * WIDTH;
    const factor = this.at(knot, step, median, side);
    const least = this.leastOf(knot, sinceJump, atLevel, factor, this.usual(knot));
    return known(step, this.lead.knots[knot]) * least;
  }

  /**
   * Errors after a jump are compared with those of calm stretches as well, which the common factors come from: the mean of all
   * errors is large where the jumps themselves cannot be foreseen, and a small error after them is still many times that of the
   * constant level before.
   */
  private leastOf(knot: number, sinceJump: number, atLevel: number, factor: number, usual: number): number {
    const { state } = this;
    const calm = knot * ROW + CALM * WIDTH;
    const calmSize = state[calm] > 0 ? Math.max(SMALLEST_FLOAT32, state[calm + SIZE]) : usual;
    const size = Math.max(state[sinceJump + SIZE], state[atLevel + SIZE]);
    const afterJump = leastHalf(factor, state[sinceJump + SIZE], Math.min(usual, FAR_ABOVE_CALM * calmSize));
    return Math.max(afterJump, leastHalf(factor, size, usual));
  }

  /**
   * A reading has been above or below its interval, or inside.
   * @param below how far the lower factor rises or falls, in its learning rate: negative after a hit, 0 where that half has no width
   * @param above the same of the upper factor
   */
  learn(knot: number, step: number, median: number, error: number, below: number, above: number): void {
    this.learnOne(knot, step, this.origins[step % this.origins.length], error, below, above);
    this.learnOne(knot, step, ORIGINS + this.level(median), error, below, above);
  }

  private learnOne(
    knot: number,
    step: number,
    situation: number,
    error: number,
    below: number,
    above: number,
  ): void {
    const { state } = this;
    const at = knot * ROW + situation * WIDTH;
    // Forecasts that were made within k steps of each other miss the same readings at lead k: together they count as one.
    const k = this.lead.knots[knot];
    const now = step % TURN;
    const news = Math.min(k, (now - state[at + LAST] + TURN) % TURN || TURN) / k;
    state[at + LAST] = now;
    this.learnSize(at, news, Math.abs(error), Math.max(SMALLEST_FLOAT32, NEGLIGIBLE * this.usual(knot)));
    state[at] = Math.min(MEMORY, state[at] + news);
    const rate = news * Math.max(LEAST, FIRST / Math.sqrt(1 + state[at]));
    this.move(at + 1, rate * below);
    this.move(at + 2, rate * above);
  }

  private move(at: number, by: number): void {
    this.state[at] = Math.max(-MOST_LOG_FACTOR, Math.min(MOST_LOG_FACTOR, this.state[at] + by));
  }

  /** Tracks a quantile of the errors' sizes by steps in log space; the first few errors by their geometric mean, which is sooner right. */
  private learnSize(at: number, news: number, error: number, least: number): void {
    const { state } = this;
    const size = state[at + SIZE];
    const count = state[at];
    if (size === 0) state[at + SIZE] = error;
    else if (count < FEW) {
      const apart = error > 0 ? Math.log(error / size) + GEOMETRIC : -FARTHEST;
      const step = (news / (1 + count)) * Math.max(-FARTHEST, Math.min(FARTHEST, apart));
      state[at + SIZE] = Math.max(size * Math.exp(step), least);
    } else {
      const moved = size * Math.exp(news * SIZE_RATE * ((error > size ? 1 : 0) - 1 + USUAL));
      state[at + SIZE] = Math.max(moved, least);
    }
  }

  persist(io: StateIo): void {
    io.array(this.state);
    io.array(this.origins);
    this.since = io.number(this.since);
    this.origin = io.number(this.origin);
    this.low = io.number(this.low);
    this.high = io.number(this.high);
    this.states = io.number(this.states ? 1 : 0) === 1;
  }
}
