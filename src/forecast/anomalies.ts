/**
 * The probability of a bucket under the forecast made one step before it: a two-sided tail probability. Inside the
 * interval p10..p90 it comes from the quantiles. Beyond, it comes from the stream's own history: the share of
 * buckets beyond an edge and the distribution of their distance from that edge, in half widths of the interval, modelled as
 * generalised Pareto (Pickands 1975; peaks over threshold in streams: Siffer et al., KDD 2017) and fitted by moments
 * (Hosking & Wallis 1987). Earlier buckets at least as far out are counted too: an event that occurred twice in a
 * thousand buckets cannot have a probability of 10^-9, whatever the fit gives. Learns from every bucket; bounded;
 * part of a stream's state.
 */
import { ArrayBlock } from '../series/array-block.ts';
import type { StateIo } from '../series/state-io.ts';

/** One bucket with a low probability under its forecast. */
export interface Anomaly {
  /** Label (start) of the bucket, ms. */
  readonly timeMs: number;
  readonly observed: number;
  /** The forecast from one step before: p10, p50, p90. */
  readonly low: number;
  readonly p50: number;
  readonly high: number;
  /** -log10 of the probability of a bucket at least as far out: 3 is once in a thousand buckets. */
  readonly score: number;
}

/** Upper limit of a score: no sample is large enough to support a higher one. */
export const MOST_SCORE = 12;
/** Lowest score of a reported bucket: once in a hundred buckets. */
export const LEAST_SCORE = 2;
/** Range of the reporting threshold, as probabilities. */
const MOST_ALPHA = 1e-2;
const LEAST_ALPHA = 1e-5;

/**
 * The score from which a bucket is reported, so that a stream without a change is reported once in `everyMs` on
 * average; the rate is limited to the range from once in 10^5 to once in 100 buckets.
 */
export function alarmScore(stepMs: number, everyMs: number): number {
  return -Math.log10(Math.max(LEAST_ALPHA, Math.min(MOST_ALPHA, stepMs / everyMs)));
}

/** The improbable buckets of a forecast that are to be reported; `everyMs` as in `alarmScore`, null: none. */
export function alarms(
  { anomalies = [], stepMs }: { readonly anomalies?: readonly Anomaly[]; readonly stepMs: number },
  everyMs: number | null,
): readonly Anomaly[] {
  if (anomalies.length === 0 || everyMs === null) return [];
  const least = alarmScore(stepMs, everyMs);
  return anomalies.filter(({ score }) => score >= least);
}

export interface Interval {
  readonly low: number;
  readonly p50: number;
  readonly high: number;
}

/** Buckets before anomalies are reported. */
const WARM_UP = 48;
/** Prior share of buckets beyond p10 and beyond p90, by definition, and its weight in observed buckets. */
const TAIL = 0.1;
const TAIL_WEIGHT = 50;
const TAIL_MEMORY = 2000;
/** Prior mean excess, in half widths (normal: 0.37, Laplace: 0.62), with an exponential tail; and its weight in excesses. */
const EXCESS = 0.5;
const EXCESS_WEIGHT = 16;
const EXCESS_MEMORY = 1000;
/** Range of the tail's shape: a slightly negative one gives the 10^-5 tail of a normal within a factor of 2. */
const SHAPE = [-0.1, 0.35] as const;
/** Each excess is clipped at the quantile of this tail probability before the fit. */
const WINSOR = 2e-4;
/** Number of largest excesses kept for each side, and for how many buckets. */
const PEAKS = 8;
const PEAK_MEMORY = 8000;
/**
 * An earlier excess is comparable if it is about as large or larger; or if it is much smaller, but its deviation is about as large or larger in the stream's
 * own unit, because the interval of a machine that is off has next to no width.
 */
const ALIKE = 0.95;
const ALIKE_DEVIATION = 0.95;
const ALIKE_EXCESS = 1 / 30;
/** An interval narrower than this share of the value counts as having no width, because of single precision. */
const ROUNDING = 1e-6;
const STILL_MEMORY = 10_000;

/** Index of the first peak, after the fit's numbers. */
const FIRST_PEAK = 4;

/** The tail of one side: beyond p10 or beyond p90. */
class Tail {
  /**
   * Share of buckets beyond the edge, number of excesses, their mean and mean square; then [PEAKS, 3]: excess, deviation from the median
   * in the stream's unit, number of the bucket.
   */
  private readonly state: Float64Array;

  constructor(memory: ArrayBlock) {
    this.state = memory.float64(FIRST_PEAK + 3 * PEAKS);
    this.state.set([TAIL, 0, EXCESS, 2 * EXCESS * EXCESS]);
  }

  /** ln of the probability of an excess of at least `e` half widths (`deviation` in the stream's unit) on this side. */
  logProbability(e: number, deviation: number, seen: number): number {
    const { state } = this;
    const [share, , mean, square] = state;
    const fitted = Math.log(share) + logSurvival(e, mean, square);
    let alike = 0;
    for (let at = FIRST_PEAK; at < state.length; at += 3) {
      const [peak, far] = [state[at], state[at + 1]];
      if (peak >= ALIKE * e || (peak >= ALIKE_EXCESS * e && far >= ALIKE_DEVIATION * deviation)) alike++;
    }
    return alike === 0 ? fitted : Math.max(fitted, Math.log(alike / Math.min(seen, PEAK_MEMORY)));
  }

  /** @param e negative if the bucket was not beyond this edge @param seen number of the bucket, from 1 */
  learn(e: number, deviation: number, seen: number): void {
    const { state } = this;
    const rate = 1 / (TAIL_WEIGHT + Math.min(seen, TAIL_MEMORY));
    state[0] += rate * ((e > 0 ? 1 : 0) - state[0]);
    let least = FIRST_PEAK;
    for (let at = FIRST_PEAK; at < state.length; at += 3) {
      if (seen - state[at + 2] > PEAK_MEMORY) state[at] = 0;
      if (state[at] < state[least]) least = at;
    }
    if (e <= 0) return;
    // The first forecasts of a stream are too poor to count.
    if (e > state[least] && seen > WARM_UP) {
      state[least] = e;
      state[least + 1] = deviation;
      state[least + 2] = seen;
    }
    const taken = Math.min(e, quantile(WINSOR, state[2], state[3]));
    state[1] = Math.min(EXCESS_MEMORY, state[1] + 1);
    const step = 1 / (EXCESS_WEIGHT + state[1]);
    state[2] += step * (taken - state[2]);
    state[3] += step * (taken * taken - state[3]);
  }

  persist(io: StateIo): void {
    io.array(this.state);
  }
}

export class Anomalies {
  private readonly below: Tail;
  private readonly above: Tail;
  private seen = 0;
  /** Number of buckets whose interval had no width, and how many of them were outside it. */
  private still = 0;
  private elsewhere = 0;

  constructor(memory = new ArrayBlock()) {
    this.below = new Tail(memory);
    this.above = new Tail(memory);
  }

  /**
   * -log10 of the two-sided probability of `value` or further out; 0 during the warm-up.
   * @param age missing buckets just before this one: the interval is widened as for a random walk
   */
  score(value: number, expected: Interval, age = 0): number {
    if (this.seen < WARM_UP) return 0;
    const e = excess(value, expected, Math.sqrt(1 + age));
    if (Number.isNaN(e)) {
      if (same(value, expected.p50)) return 0;
      return Math.log10((this.still + 2) / (this.elsewhere + 1));
    }
    if (e <= 0) return 0;
    const tail = value < expected.p50 ? this.below : this.above;
    const log = Math.LN2 + tail.logProbability(e, Math.abs(value - expected.p50), this.seen);
    return Math.max(0, Math.min(MOST_SCORE, -log / Math.LN10));
  }

  /** Learns from a bucket with a reading whose previous bucket also had one. */
  learn(value: number, expected: Interval): void {
    this.seen++;
    const e = excess(value, expected, 1);
    if (Number.isNaN(e)) {
      this.still++;
      if (!same(value, expected.p50)) this.elsewhere++;
      if (this.still > STILL_MEMORY) {
        this.still /= 2;
        this.elsewhere /= 2;
      }
      return;
    }
    const deviation = Math.abs(value - expected.p50);
    this.below.learn(value < expected.p50 ? e : -1, deviation, this.seen);
    this.above.learn(value < expected.p50 ? -1 : e, deviation, this.seen);
  }

  persist(io: StateIo): void {
    this.below.persist(io);
    this.above.persist(io);
    this.still = io.number(this.still);
    this.elsewhere = io.number(this.elsewhere);
    this.seen = io.number(this.seen);
  }
}

/** Distance beyond the interval, in half widths of that side; negative inside; NaN if that side has no width. */
function excess(value: number, { low, p50, high }: Interval, widening: number): number {
  const width = widening * (value < p50 ? p50 - low : high - p50);
  if (width <= ROUNDING * Math.max(Math.abs(p50), Math.abs(value))) return Number.NaN;
  return Math.abs(value - p50) / width - 1;
}

const same = (a: number, b: number): boolean =>
  Math.abs(a - b) <= ROUNDING * Math.max(Math.abs(a), Math.abs(b));

/** Shape and scale of the generalised Pareto distribution with this mean and mean square. */
function pareto(mean: number, square: number): { shape: number; scale: number } {
  const ratio = (mean * mean) / Math.max(1e-12, square - mean * mean);
  const shape = Math.max(SHAPE[0], Math.min(SHAPE[1], 0.5 * (1 - ratio)));
  return { shape, scale: mean * (1 - shape) };
}

/** ln of the share of excesses of `e` or more. */
function logSurvival(e: number, mean: number, square: number): number {
  const { shape, scale } = pareto(mean, square);
  if (Math.abs(shape) < 1e-6) return -e / scale;
  const inner = 1 + (shape * e) / scale;
  return inner <= 0 ? -Infinity : -Math.log(inner) / shape;
}

/** The excess that this share of the excesses reaches. */
function quantile(share: number, mean: number, square: number): number {
  const { shape, scale } = pareto(mean, square);
  return Math.abs(shape) < 1e-6 ? -scale * Math.log(share) : (scale / shape) * (share ** -shape - 1);
}
