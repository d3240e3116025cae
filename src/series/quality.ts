/**
 * Marks readings that are probably sensor faults: spikes, stuck values, flat lines; and steps to another level,
 * which look like a spike until the next reading confirms them. Streaming, bounded, part of a stream's state.
 *
 * A spike is far from the median of the last readings (Hampel 1974), far from the forecast of its bucket (so that a
 * daily event is not a spike), and outside the recent range of the stream (so that a machine that is switched on now
 * and then is not a spike). A reading is stuck when its value has been constant for much longer than ever before in
 * this stream.
 */
import { ArrayBlock } from './array-block.ts';
import { RobustScale, RunningMean } from './running.ts';
import type { StateIo } from './state-io.ts';

export const SPIKE = 1;
export const STUCK = 2;
export const FLAT_LINE = 4;
export const OUT_OF_RANGE = 8;
export const STEP = 16;
export const TOO_FAST = 32;
/** For single readings: arrived after its bucket was forecast; still used in training and history. */
export const LATE = 64;
/** For single readings: the time is an estimate. */
export const ASSIGNED_TIME = 128;
export const JUMP = 256;
/** A bucket with one of these marks is treated as missing, and is not used for training. */
export const MASKED = SPIKE | STUCK | FLAT_LINE;
/** For single readings, which are excluded from their bucket: its other readings may be good. */
export const REFUSED = OUT_OF_RANGE | TOO_FAST;

export type MarkName =
  | 'spike'
  | 'stuck'
  | 'flat-line'
  | 'out-of-range'
  | 'step'
  | 'too-fast'
  | 'late'
  | 'assigned-time'
  | 'counter-jump';

const MARKS: readonly (readonly [bit: number, name: MarkName, text: string])[] = [
  [SPIKE, 'spike', 'far from the readings before and from what was expected, and not confirmed by the next'],
  [STUCK, 'stuck', 'the same value for much longer than usual for this stream'],
  [FLAT_LINE, 'flat-line', 'hardly any change for much longer than usual for this stream'],
  [OUT_OF_RANGE, 'out-of-range', 'outside the limits of the stream'],
  [STEP, 'step', 'the stream has gone to another level'],
  [TOO_FAST, 'too-fast', 'changed faster than the limit of the stream'],
  [LATE, 'late', 'came after its bucket was forecast'],
  [
    ASSIGNED_TIME,
    'assigned-time',
    'came late and without a time stamp: its time is estimated from the ones before',
  ],
  [
    JUMP,
    'counter-jump',
    'the counter fell, or rose further than it can: a reset, another meter or a wrong reading',
  ],
];

/** Names of the marks, as in messages; empty for a good bucket. */
export function markNames(marks: number): MarkName[] {
  return MARKS.filter(([bit]) => (marks & bit) !== 0).map(([, name]) => name);
}

/** Description of each mark, by name. */
export const MARK_TEXTS: ReadonlyMap<MarkName, string> = new Map(MARKS.map(([, name, text]) => [name, text]));

/** Number of last readings whose median and deviation a spike is compared with. */
const WINDOW = 15;
/** Number of readings before anything is marked. */
const WARM_UP = 30;
/** A reading is suspicious beyond this many robust standard deviations from the median and mean errors from the forecast. */
const FAR = 7;
/** The normal deviation of a variable whose median (mean) absolute deviation is 1. */
const SIGMA_PER_MEDIAN = 1.4826;
const SIGMA_PER_MEAN = 1.2533;
/** A spike is outside the past range by at least this share of the range. */
const MARGIN = 0.2;
/** Time constant of the past range, in steps. */
const ENVELOPE_MEMORY = 4096;
/** Spikes whose distances differ by at most this share, or by one reading, are regular events, not faults. */
const REGULAR = 0.02;
/** After this many suspicious readings in a row they are accepted, even if inconsistent. */
const MAX_RUN = 3;
/** After more missing buckets the level may have changed: no reading is then a spike. */
const MAX_AGE = 6;
/** A stream with a larger share of spikes is normal with them. */
const SPIKY_SHARE = 0.04;
const SPIKY_MEMORY = 256;
/** A change below this share of the usual change counts as no change. */
const QUIET_SHARE = 0.01;
/** A stream is flat after this many times its longest quiet run, and after at least this many buckets. */
const TIMES_LONGEST = 4;
const LEAST_QUIET = 24;
/** A stream that is quiet for this many times the limit is no longer marked: it has become constant. */
const BELIEVED = 4;
/** A stream that is quiet for a larger share of time cannot be distinguished from a stuck one. */
const MOSTLY = 0.5;

interface Expectation {
  /** One-step forecast for this bucket. */
  readonly point: number;
  /** Mean absolute error of such forecasts, > 0. */
  readonly error: number;
  /** Lowest and highest value at this phase of the last seasons; omitted or NaN if the stream has no season. */
  readonly low?: number;
  readonly high?: number;
}

export class Quality {
  /** [WINDOW] ring of the last good values. */
  private readonly recent: Float64Array;
  /** [WINDOW] scratch for sorting in `around`. */
  private readonly sorted: Float64Array;
  private count = 0;
  private readonly deviation = new RobustScale(384);
  private readonly change = new RobustScale(1024);
  /** Share of buckets that are quiet. */
  private readonly rest = new RunningMean(512);
  private low = Infinity;
  private high = -Infinity;
  private suspect = Number.NaN;
  private run = 0;
  private spikeShare = 0;
  private previous = Number.NaN;
  private quiet = 0;
  private identical = 0;
  private longestQuiet = 0;
  /** Number of readings; number of the last spike, and its distance from the previous one. */
  private seen = 0;
  private lastSpike = 0;
  private spikeDistance = 0;

  constructor(memory = new ArrayBlock()) {
    this.recent = memory.float64(WINDOW);
    this.sorted = memory.float64(WINDOW);
  }

  /**
   * Determines the marks of the next observed bucket.
   * @param age number of missing buckets just before it
   * @returns marks, a set of bits; 0 for a good one
   */
  judge(value: number, expected: Expectation, age: number): number {
    this.seen++;
    const quiet = this.quietMark(value);
    if (quiet !== 0) return quiet;
    if (this.count < WARM_UP || age > MAX_AGE) {
      this.run = 0;
      this.absorb(value);
      return 0;
    }
    const { median, sigma } = this.around();
    // Buckets just masked as spikes do not count as missing.
    const reach = Math.sqrt(1 + Math.max(0, age - this.run)) * FAR;
    const margin = MARGIN * (this.high - this.low);
    const suspicious =
      !usualHere(value, expected) &&
      (value > this.high + margin || value < this.low - margin) &&
      Math.abs(value - median) > reach * sigma &&
      Math.abs(value - expected.point) > reach * expected.error;
    let marks = 0;
    if (suspicious) {
      const agrees = this.run > 0 && Math.abs(value - this.suspect) < 0.5 * Math.abs(this.suspect - median);
      marks = agrees ? STEP : this.run + 1 >= MAX_RUN || this.spikeShare > SPIKY_SHARE ? 0 : SPIKE;
      if (marks === SPIKE && this.run === 0 && this.comesRegularly()) marks = 0;
    }
    this.spikeShare += ((suspicious ? 1 : 0) - this.spikeShare) / SPIKY_MEMORY;
    if (marks === SPIKE) {
      this.run++;
      this.suspect = value;
      return marks;
    }
    this.run = 0;
    // The new level is the reference from now on.
    if (suspicious) this.recent.fill(value);
    this.absorb(value);
    return marks;
  }

  /** Whether the distance to the last spike equals the previous distance between spikes. */
  private comesRegularly(): boolean {
    const distance = this.seen - this.lastSpike;
    const difference = Math.abs(distance - this.spikeDistance);
    this.spikeDistance = distance;
    this.lastSpike = this.seen;
    return distance > 2 * MAX_RUN && difference <= Math.max(1, REGULAR * distance);
  }

  private around(): { median: number; sigma: number } {
    const { recent, sorted } = this;
    sorted.set(recent);
    const middle = WINDOW >> 1;
    const median = sorted.sort()[middle];
    for (let i = 0; i < WINDOW; i++) sorted[i] = Math.abs(recent[i] - median);
    return {
      median,
      sigma: Math.max(SIGMA_PER_MEDIAN * sorted.sort()[middle], SIGMA_PER_MEAN * this.deviation.value),
    };
  }

  private absorb(value: number): void {
    if (this.count >= WINDOW) this.deviation.add(value - this.around().median);
    this.recent[this.count++ % WINDOW] = value;
    const forget = Math.max(0, (this.high - this.low) / ENVELOPE_MEMORY);
    this.low = Math.min(value, this.low + forget);
    this.high = Math.max(value, this.high - forget);
  }

  private quietMark(value: number): number {
    const change = Math.abs(value - this.previous);
    const first = Number.isNaN(this.previous);
    this.previous = value;
    if (first) return 0;
    if (change <= QUIET_SHARE * this.change.value) {
      this.quiet++;
      this.identical = change === 0 ? this.identical + 1 : 0;
    } else {
      // The run has ended, so longer runs are plausible, but a single fault must not raise the limit too much.
      this.longestQuiet = Math.max(
        this.longestQuiet,
        Math.min(this.quiet, 2 * this.longestQuiet + LEAST_QUIET),
      );
      this.quiet = 0;
      this.identical = 0;
    }
    const limit = Math.max(LEAST_QUIET, TIMES_LONGEST * this.longestQuiet);
    // It is normal for a stream to rest at its minimum or maximum (off, dark, empty, full), or to rest most of the time.
    const atEdge = value <= this.low || value >= this.high;
    const natural = this.count < WARM_UP || atEdge || this.rest.value > MOSTLY;
    if (!natural && this.quiet >= limit && this.quiet < BELIEVED * limit)
      return this.identical === this.quiet ? STUCK : FLAT_LINE;
    this.change.add(change);
    this.rest.add(this.quiet > 0 ? 1 : 0);
    return 0;
  }

  /**
   * -log10 of the probability of a quiet run of this length. Runs end at random, so their lengths are distributed
   * geometrically; the parameter is chosen so that the longest run so far is the most likely maximum of as many runs as buckets.
   */
  get quietScore(): number {
    const usual = Math.max(this.longestQuiet, LEAST_QUIET / TIMES_LONGEST);
    return (this.quiet / usual) * Math.log10(Math.max(2, this.count));
  }

  /** The stream has another unit: its values are `factor` times the former ones. */
  rescale(factor: number): void {
    for (let i = 0; i < WINDOW; i++) this.recent[i] *= factor;
    this.deviation.value *= factor;
    this.change.value *= factor;
    this.low *= factor;
    this.high *= factor;
    this.previous *= factor;
    this.run = 0;
  }

  persist(io: StateIo): void {
    io.array(this.recent);
    this.count = io.number(this.count);
    this.deviation.persist(io);
    this.change.persist(io);
    this.rest.persist(io);
    this.low = io.number(this.low);
    this.high = io.number(this.high);
    this.suspect = io.number(this.suspect);
    this.run = io.number(this.run);
    this.spikeShare = io.number(this.spikeShare);
    this.previous = io.number(this.previous);
    this.quiet = io.number(this.quiet);
    this.identical = io.number(this.identical);
    this.longestQuiet = io.number(this.longestQuiet);
    this.seen = io.number(this.seen);
    this.lastSpike = io.number(this.lastSpike);
    this.spikeDistance = io.number(this.spikeDistance);
  }
}

/** Whether a value is usual at this phase of the season: within twice the range of the last seasons. */
function usualHere(value: number, { low = Number.NaN, high = Number.NaN }: Expectation): boolean {
  const range = high - low;
  return value >= low - range && value <= high + range;
}
