/**
 * Compares forecasts with the readings that follow. For a few leads (knots) the interval of every candidate and of
 * the published forecast waits until its bucket arrives; the bucket then updates the weights that blend the
 * candidates, the factors that calibrate the published interval, and the published scores.
 *
 * Blending: `weights.ts`. Calibration: online quantile tracking of a multiplicative correction of each half of the
 * interval, in log space (adaptive conformal inference, Gibbs & Candes 2021; quantile tracker of conformal PID,
 * Angelopoulos et al. 2023). This adapts slowly to permanently increased noise: see `widening.ts`.
 */
import { MEDIAN, pinball3, Q } from '../quantiles.ts';
import { ArrayBlock } from '../series/array-block.ts';
import { Bounds } from '../series/bounds.ts';
import type { History } from '../series/history.ts';
import type { StateIo } from '../series/state-io.ts';
import { ADAPTER, C, CLIMATE, GRU, NAIVE, SEASONAL } from './candidates.ts';
import type { IntervalView, LeadView, PartName } from './explanation.ts';
import { IntervalRing } from './interval-ring.ts';
import { LevelChange } from './level-change.ts';
import { OwnShare } from './own-share.ts';
import { Situations } from './situations.ts';
import { BLEND, OWN, PUBLISHED, ROW, TrackScratch } from './track-scratch.ts';
import { TwoStates } from './two-states.ts';
import { WeekBefore } from './week-before.ts';
import { Weights } from './weights.ts';
import { Widening } from './widening.ts';
import { GROWN } from './young.ts';

export const SCORE_MEMORY = 1000;
/** Target share of actuals below the interval, and above it. Rounded so that 0.8 gives exactly 0.1. */
const tailOf = (coverage: number): number => Math.round(5e8 * (1 - coverage)) / 1e9;
const MAX_LOG_FACTOR = 1.6;
/** Index of the factors among the numbers of a knot. */
const FACTOR = 9;
/** Index of the factors for intervals that are narrow compared with the usual error: these are calibrated separately. */
const NARROW_FACTOR = FACTOR + 2;
/** Readings that either pair of factors has learnt from. */
const COUNT = NARROW_FACTOR + 2;
const KNOT = COUNT + 2;
/** Columns of the quantiles between low, medium and high. */
const [LOW_THIRD, HIGH_THIRD] = [2, 6] as const;
/** A level is low or high if it is beyond these by this share of the mean error. */
const LEVEL_MARGIN = 0.1;
/** The states of a stream are calibrated separately where they are foreseen: the mean error at the longest lead is at most this share of the distance between them. */
const FORESEEN = 0.2;
/** A half interval below this share of the usual error is narrow: a meter's buckets between two impulses, a panel at night. */
const NARROW = 0.35;
/** A network's median may be outside the range seen by this many usual errors: it then still has its weight. */
const OUTSIDE = 4;

export interface LeadScore {
  /** Lead in steps. */
  readonly lead: number;
  readonly n: number;
  readonly mae: number;
  readonly bias: number;
  readonly coverage: number;
  /** Mean pinball losses over the three kept quantiles, of the published forecast, the seasonal naive and the naive. */
  readonly loss: number;
  readonly lossSeasonal: number;
  readonly lossNaive: number;
  readonly maeSeasonal: number;
  readonly maeNaive: number;
}

/**
 * Accuracy of the model on trial since `beginTrial`, compared with the two naive forecasts. With an own network: of the blend
 * that it has a share in, because it may help only there. Otherwise of the network alone, whatever is published.
 */
export interface NetworkScore {
  /** Number of scored forecasts. */
  readonly n: number;
  readonly loss: number;
  /** Loss of the blend without the own network; equal to `loss` if there is none. */
  readonly lossWithout: number;
  readonly lossSeasonal: number;
  readonly lossNaive: number;
}

/** A missing network forecast counts as this many times the loss of the better naive. */
const NO_ANSWER = 10;
/** Numbers of a knot in the scores of a trial. */
const TRIAL = 5;

interface TrackPlaces {
  readonly scratch?: TrackScratch;
  readonly memory?: ArrayBlock;
  /** Steps of the seasonal naive's season; 0 if there is none. */
  readonly season?: number;
  /** Target share of actuals inside the published interval. */
  readonly coverage?: number;
  /** What the stream has shown; default: nothing. */
  readonly bounds?: Bounds;
  /** The stream's past values, and the steps of a week; 0: too many. null: the value a week before is not used. */
  readonly past?: Past | null;
}

interface Past {
  readonly history: History;
  readonly weekLag: number;
}

export class Track {
  readonly knots: readonly number[];
  private readonly tail: number;
  private readonly bounds: Bounds;
  private readonly scratch: TrackScratch;
  private readonly pending: IntervalRing;
  private step = 0;
  private readonly worth: Weights;
  readonly ownShare: OwnShare;
  /**
   * [knots, KNOT]: n, mae, bias, covered, loss, loss seasonal, loss naive, mae seasonal, mae naive; then the logarithms of the
   * factors of the lower and the upper half.
   */
  private readonly state: Float64Array;
  /** Whether the own network has a share of the forecast just combined. */
  private pooled = false;
  private readonly widening: Widening;
  private readonly situations: Situations;
  private readonly level: LevelChange;
  readonly states: TwoStates;
  private readonly past: Past | null;
  /** Whether the value a week before has a part in the forecast of the present knot. */
  private isMixed = false;
  private readonly week: WeekBefore;
  /** [knots, TRIAL] since `beginTrial`: n, then mean losses: on trial, without the own network, seasonal naive, naive. Not part of the state. */
  private readonly trial: Float64Array;
  /** First step whose forecasts belong to the trial. */
  private trialFrom = 0;

  constructor(
    private readonly leads: number,
    places: TrackPlaces = {},
  ) {
    const {
      scratch = new TrackScratch(leads),
      memory = new ArrayBlock(),
      season = 0,
      coverage = 0.8,
      past = null,
      bounds = new Bounds(),
    } = places;
    this.tail = tailOf(coverage);
    this.bounds = bounds;
    this.scratch = scratch;
    this.knots = scratch.knots.knots;
    const n = this.knots.length;
    this.pending = new IntervalRing(scratch.knots, ROW, memory, scratch.bfloat16);
    this.worth = new Weights(scratch.knots, season, memory, scratch);
    this.ownShare = new OwnShare(scratch.knots, memory);
    this.widening = new Widening(scratch.knots, coverage, memory);
    this.situations = new Situations(
      scratch.knots,
      memory,
      (j) => this.state[j * KNOT + 1],
      scratch.situations,
    );
    this.level = new LevelChange(memory);
    this.states = new TwoStates(memory);
    this.past = past;
    this.week = new WeekBefore(scratch.knots, scratch.mixture, memory);
    this.state = memory.float64(n * KNOT);
    this.trial = memory.float64(n * TRIAL);
  }

  /** [leads, C] weights of the forecast just combined. */
  get weights(): Float64Array {
    return this.scratch.weights;
  }

  /** Learns from the bucket that has just closed; call once a step, before `combine`. */
  observe(y: number, observed: boolean): void {
    if (!observed) return;
    this.states.add(y);
    if (this.level.observe(y, this.step, this.state[1])) {
      this.worth.beginLevel();
      this.ownShare.beginLevel();
    }
    for (let j = 0; j < this.knots.length; j++) {
      const k = this.knots[j];
      if (this.step < k) continue;
      this.pending.read(j, this.step, this.scratch.row);
      if (Number.isNaN(this.scratch.row[PUBLISHED])) continue;
      // How many forecasts of this lead since the newest lasting change have met a reading.
      const since = this.level.since > 0 ? this.step - k - this.level.since + 1 : Infinity;
      this.isMixed = false;
      if (since <= 0) {
        // The situations after a jump learn from these errors whether a level stays.
        if (this.situations.isAfterJump(this.step - k)) this.learnSituation(j, y);
        this.rate(j, y);
        continue;
      }
      for (let c = 0; c < C; c++) {
        // A candidate without a forecast gets the loss of the blend: its weight neither rises nor falls.
        const from = Number.isNaN(this.scratch.row[3 * c]) ? BLEND : 3 * c;
        this.scratch.missed[c] = lossAt(this.scratch.row, from, y);
      }
      this.worth.learn(j, this.scratch.missed, since, this.situations.isAfterJump(this.step - k));
      const without = lossAt(this.scratch.row, BLEND, y);
      this.pool(j, y, since);
      if (this.step - k >= this.trialFrom) this.try(j, y, without);
      this.isMixed = this.learnWeek(j, y);
      if (j === 0) this.noteSurprise(y);
      this.widen(j, y);
      this.calibrate(j, y);
      this.rate(j, y);
    }
    this.ownShare.follow(this.known);
    this.widening.follow();
  }

  /** Longest lead whose forecasts since the newest lasting change have met a reading. */
  private get known(): number {
    return this.level.since > 0 ? this.step - this.level.since : Infinity;
  }

  /** Starts the scores of a new network. */
  beginTrial(): void {
    this.trial.fill(0);
    this.trialFrom = this.step;
  }

  /**
   * The own network is replaced or removed.
   * @param sameBase whether the base network stays: then the next own network, trained as this one on more history, goes on with its shares
   */
  beginOwn(sameBase = false): void {
    if (!sameBase) this.ownShare.begin();
    this.pending.clear(OWN);
  }

  /** One score per knot. */
  networkScores(): NetworkScore[] {
    return this.knots.map((_, j) => {
      const [n, loss, lossWithout, lossSeasonal, lossNaive] = this.trial.subarray(TRIAL * j, TRIAL * (j + 1));
      return { n, loss, lossWithout, lossSeasonal, lossNaive };
    });
  }

  /** @param without loss of the blend without the own network; call after `pool` */
  private try(j: number, y: number, without: number): void {
    const { row } = this.scratch;
    const pooled = !Number.isNaN(row[OWN]);
    const network = lossAt(row, pooled ? BLEND : 3 * GRU, y);
    const seasonal = lossAt(row, 3 * SEASONAL, y);
    const naive = lossAt(row, 3 * NAIVE, y);
    const held = Number.isNaN(network) ? NO_ANSWER * Math.min(seasonal, naive) : network;
    const at = TRIAL * j;
    const rate = 1 / ++this.trial[at];
    average(this.trial, at + 1, rate, held);
    average(this.trial, at + 2, rate, pooled ? without : held);
    average(this.trial, at + 3, rate, seasonal);
    average(this.trial, at + 4, rate, naive);
  }

  /** Updates the own network's share, then replaces the blend's interval in the row by the pooled one. */
  private pool(j: number, y: number, since: number): void {
    const { row } = this.scratch;
    if (Number.isNaN(row[OWN])) return;
    this.ownShare.learn(j, row, BLEND, OWN, y, since);
    for (let i = 0; i < 3; i++) row[BLEND + i] += this.ownShare.at(j) * (row[OWN + i] - row[BLEND + i]);
  }

  /** Whether the reading is a jump: as the calibrated interval saw it, which the prior of a young stream has no part in. */
  private noteSurprise(y: number): void {
    const median = this.scratch.row[BLEND + 1];
    const miss = Math.abs(y - median);
    const half = Math.abs(this.edge(0, y < median ? 0 : 1) - median);
    this.situations.note(half > 0 ? miss / half : miss === 0 ? 0 : Infinity);
  }

  /** Half the interval by the common factors, those of its situation and the widening. */
  private half(j: number, side: number): number {
    const { row } = this.scratch;
    return Math.abs(row[BLEND + 2 * side] - row[BLEND + 1]) * Math.exp(this.factor(j, side));
  }

  /**
   * Call before the history has the newest bucket.
   * @returns whether the value a week before has a part in such a forecast
   */
  private learnWeek(j: number, y: number): boolean {
    const { past } = this;
    if (past === null || past.weekLag === 0 || past.history.reach < past.weekLag - 1) return false;
    const before = past.history.at(past.weekLag - 1);
    const median = this.scratch.row[BLEND + 1];
    const half = this.calibratedHalf(j, before < median ? 0 : 1);
    return this.week.learn(j, y, before, median, half, this.state[j * KNOT + 1]);
  }

  /** Call when the history has the newest bucket. */
  private mixWeek(out: Float64Array): void {
    const { past } = this;
    if (past === null || past.weekLag === 0 || past.history.reach < past.weekLag) return;
    const leads = Math.min(this.leads, past.weekLag);
    const moved = Math.abs(past.history.at(0) - past.history.at(past.weekLag));
    for (let k = 0; k < leads; k++) {
      const error = this.meanError(k);
      this.week.mix(k, past.history.at(past.weekLag - 1 - k), error, moved, out);
    }
  }

  private widen(j: number, y: number): void {
    const median = this.scratch.row[BLEND + 1];
    const half = this.half(j, y < median ? 0 : 1);
    if (half > 0) this.widening.learn(j, Math.abs(y - median), half, this.state[j * KNOT + 1]);
  }

  private calibrate(j: number, y: number): void {
    const [below, above] = [this.missed(j, 0, y), this.missed(j, 1, y)];
    if (below !== null) this.move(j, 0, below);
    if (above !== null) this.move(j, 1, above);
    this.learnSituation(j, y, below, above);
  }

  /** Whether the reading is beyond a half of the interval. Null without width: the interval of a constant stream says nothing about its width. */
  private missed(j: number, side: 0 | 1, y: number): boolean | null {
    const { row } = this.scratch;
    if (side === 0) return row[BLEND] < row[BLEND + 1] ? y < this.edge(j, 0) : null;
    return row[BLEND + 2] > row[BLEND + 1] ? y > this.edge(j, 1) : null;
  }

  private learnSituation(
    j: number,
    y: number,
    below = this.missed(j, 0, y),
    above = this.missed(j, 1, y),
  ): void {
    const made = this.step - this.knots[j];
    const [toLower, toUpper] = [this.tells(j, 0, below), this.tells(j, 1, above)];
    const median = this.scratch.row[BLEND + 1];
    this.situations.learn(j, made, median, this.errorInSituation(y, made), toLower, toUpper);
  }

  /**
   * Error that a situation learns from. A forecast that could not know whether the stream stays at a new level counts with its
   * distance to the nearer of the two levels: the height of the change would make the intervals of its situation far too wide.
   * @param step step of the forecast
   */
  private errorInSituation(y: number, step: number): number {
    const { row } = this.scratch;
    const error = Math.abs(y - row[BLEND + 1]);
    return this.level.beganWith(step) ? Math.min(error, Math.abs(y - row[3 * NAIVE + 1])) : error;
  }

  /** How far a miss or a hit moves a factor, in its learning rate. The narrower the interval, the less it tells about others. */
  private tells(j: number, side: number, missed: boolean | null): number {
    if (missed === null) return 0;
    const { row } = this.scratch;
    const half = Math.abs(row[BLEND + 2 * side] - row[BLEND + 1]);
    const share = Math.min(1, half / (NARROW * this.state[j * KNOT + 1]));
    return share ** 2 * ((missed ? 1 : 0) - this.tail);
  }

  /** Logarithm of the factor of half the interval that meets its reading at a knot. */
  private factor(j: number, side: number): number {
    return this.state[this.factorAt(j, side)] + this.widening.at(j) + this.situation(j, side);
  }

  /** Logarithm of the factor of the situation in which this forecast was made. */
  private situation(j: number, side: number): number {
    return this.situations.at(j, this.step - this.knots[j], this.scratch.row[BLEND + 1], side);
  }

  /**
   * Edge of the calibrated interval: the published one, except for a young stream, whose interval has further factors, and for a
   * forecast into which the value a week before was mixed: the factors are not of this mixture.
   */
  private edge(j: number, side: number): number {
    const { row } = this.scratch;
    if (this.step >= GROWN + this.knots[j] && !this.isMixed) return row[PUBLISHED + 2 * side];
    return row[BLEND + 1] + (side === 0 ? -1 : 1) * this.calibratedHalf(j, side);
  }

  private calibratedHalf(j: number, side: number): number {
    const half = this.half(j, side);
    const median = this.scratch.row[BLEND + 1];
    return Math.max(half, half > 0 ? this.situations.leastAt(j, this.step - this.knots[j], median, side) : 0);
  }

  /** Index of the factor for a half of the blended interval at a knot. */
  private factorAt(j: number, side: number): number {
    const { row } = this.scratch;
    const half = Math.abs(row[BLEND + 2 * side] - row[BLEND + 1]);
    return j * KNOT + this.factorsOf(row[BLEND + 1], half, NARROW * this.state[j * KNOT + 1]) + side;
  }

  /** Index of the pair of factors: each state of a stream with two states has its own, and so have narrow intervals of other streams. */
  private factorsOf(median: number, half: number, narrow: number): number {
    const isOther = this.situations.hasStates ? this.situations.isLow(median) : half < narrow;
    return isOther ? NARROW_FACTOR : FACTOR;
  }

  private move(j: number, side: number, missed: boolean): void {
    const at = this.factorAt(j, side);
    const countAt = j * KNOT + COUNT + (at < j * KNOT + NARROW_FACTOR ? 0 : 1);
    this.state[countAt] = Math.min(SCORE_MEMORY, this.state[countAt] + 0.5);
    // Errors at lead k overlap for k steps: a longer lead learns more slowly, or it would swing.
    const usual = Math.max(0.04, 0.25 / Math.sqrt(this.state[countAt])) / Math.sqrt(this.knots[j]);
    // A situation with readings inside an interval of any width (zeros between impulses) says little about the others.
    const rate = usual * Math.exp(2 * Math.min(0, this.situation(j, side)));
    this.shift(at, rate * ((missed ? 1 : 0) - this.tail));
    if (at < j * KNOT + NARROW_FACTOR || this.situations.hasStates) return;
    // The narrower the interval, the less it tells about the others.
    const { row } = this.scratch;
    const half = Math.abs(row[BLEND + 2 * side] - row[BLEND + 1]);
    const share = half / (NARROW * this.state[j * KNOT + 1]);
    this.shift(j * KNOT + FACTOR + side, rate * share ** 3 * ((missed ? 1 : 0) - this.tail));
  }

  private shift(at: number, by: number): void {
    this.state[at] = Math.max(-MAX_LOG_FACTOR, Math.min(MAX_LOG_FACTOR, this.state[at] + by));
  }

  private rate(j: number, y: number): void {
    const { row } = this.scratch;
    const low = row[PUBLISHED];
    const median = row[PUBLISHED + 1];
    const high = row[PUBLISHED + 2];
    const s = this.state;
    const base = j * KNOT;
    s[base] = Math.min(SCORE_MEMORY, s[base] + 1);
    const r = 1 / s[base];
    average(s, base + 1, r, Math.abs(y - median));
    average(s, base + 2, r, median - y);
    // The experts use single precision: without this tolerance a constant stream would never be inside its own forecast.
    const rounding = 1e-6 * Math.abs(y);
    average(s, base + 3, r, y >= low - rounding && y <= high + rounding ? 1 : 0);
    average(s, base + 4, r, pinball3(y, low, median, high));
    for (let c = SEASONAL; c <= NAIVE; c++) {
      average(s, base + 4 + c, r, lossAt(row, 3 * c, y));
      average(s, base + 6 + c, r, Math.abs(y - row[3 * c + 1]));
    }
  }

  /**
   * Blends the candidates, pools the blend with the own network's forecast, and calibrates the result.
   * @param candidates C arrays [leads, 9]; null for those of the network while it has no forecast
   * @param limit limits the values to the range that may be published
   * @param out [leads, 9]
   * @param finish modifies the result before it is limited
   * @param own forecast of the gateway's own network, [leads, 9]; null if there is none
   * @param age buckets since the last reading
   */
  combine(
    candidates: readonly (Float64Array | null)[],
    limit: (out: Float64Array) => void,
    out: Float64Array,
    finish?: (out: Float64Array) => void,
    own: Float64Array | null = null,
    age = 0,
  ): void {
    const { atKnots, weights } = this.scratch;
    this.worth.weigh(candidates, atKnots, weights, this.known, this.situations.hasJumped);
    this.discount(candidates);
    this.mix(candidates, out);
    if (own !== null) this.discountOwn(own, out);
    this.keepBlend(candidates, own, out);
    this.pooled = own !== null;
    this.beginSituation(candidates);
    for (let k = 0; k < this.leads; k++) {
      if (own !== null) {
        const share = this.ownShare.atLead(k);
        for (let i = k * Q; i < (k + 1) * Q; i++) out[i] += share * (own[i] - out[i]);
      }
      const wider = this.widening.atLead(k) + this.sinceReading(k, age);
      const median = out[k * Q + MEDIAN];
      const usual = NARROW * this.meanError(k);
      const lower = this.factorsOf(median, median - out[k * Q], usual);
      const upper = this.factorsOf(median, out[k * Q + Q - 1] - median, usual) + 1;
      const logLow = this.scratch.knots.interpolate(this.state, KNOT, lower, k) + wider;
      const logHigh = this.scratch.knots.interpolate(this.state, KNOT, upper, k) + wider;
      const low = atLeast(
        Math.exp(logLow + this.situations.atLead(k, median, 0)),
        median - out[k * Q],
        this.situations.least(k, median, 0),
      );
      const high = atLeast(
        Math.exp(logHigh + this.situations.atLead(k, median, 1)),
        out[k * Q + Q - 1] - median,
        this.situations.least(k, median, 1),
      );
      for (let q = 0; q < MEDIAN; q++) out[k * Q + q] = median + low * (out[k * Q + q] - median);
      for (let q = MEDIAN + 1; q < Q; q++) out[k * Q + q] = median + high * (out[k * Q + q] - median);
    }
    this.mixWeek(out);
    this.admitLevel(candidates[NAIVE], out);
    finish?.(out);
    limit(out);
    const { rows } = this.scratch;
    for (let j = 0; j < this.knots.length; j++) {
      keep3(rows, j * ROW + PUBLISHED, out, (this.knots[j] - 1) * Q);
      this.pending.write(j, this.step, rows, j * ROW);
    }
    this.step++;
  }

  /** Mean error at lead k + 1. */
  private meanError(k: number): number {
    return this.scratch.knots.interpolate(this.state, KNOT, 1, k);
  }

  /** Logarithm by which the interval of lead k + 1 is wider in a gap: the bucket is that many steps further from the last reading. */
  private sinceReading(k: number, age: number): number {
    if (age === 0) return 0;
    const error = this.meanError(k);
    const atReading = this.meanError(Math.min(this.leads - 1, k + age));
    return error > 0 && atReading > error ? Math.log(atReading / error) : 0;
  }

  /**
   * A network whose median is beyond what the stream has shown (it adds a refill to a forecast that contains it) loses weight to the other
   * candidates: its losses, averaged over all situations, do not show that it is wrong now.
   */
  private discount(candidates: readonly (Float64Array | null)[]): void {
    const { weights } = this.scratch;
    for (const c of [GRU, ADAPTER]) {
      const quantiles = candidates[c];
      if (quantiles === null) continue;
      for (let k = 0; k < this.leads; k++) {
        const lost = weights[k * C + c] * this.discredit(k, quantiles);
        if (lost === 0 || !(lost < 1)) continue;
        weights[k * C + c] -= lost;
        for (let i = k * C; i < (k + 1) * C; i++) weights[i] /= 1 - lost;
      }
    }
  }

  /** Share that a network's forecast loses at lead k + 1, by how far its median is beyond what the stream has shown. */
  private discredit(k: number, quantiles: Float64Array): number {
    const { bounds } = this;
    const median = quantiles[k * Q + MEDIAN];
    const outside = bounds.beyond(median);
    const usual = outside > 0 ? this.situations.calmSize(k) : 0;
    const far = usual > 0 ? outside - OUTSIDE * usual : 0;
    const excess = Math.max(Math.abs(median - bounds.hold(median)), far);
    if (excess === 0) return 0;
    const half = (quantiles[k * Q + Q - 1] - quantiles[k * Q]) / 2;
    return 1 - (half ** 2 / (half ** 2 + excess ** 2)) ** 2;
  }

  /** Moves the own network's forecast, as far as it is beyond what the stream has shown, to the blend. */
  private discountOwn(own: Float64Array, blend: Float64Array): void {
    for (let k = 0; k < this.leads; k++) {
      const lost = this.discredit(k, own);
      if (lost > 0) for (let i = k * Q; i < (k + 1) * Q; i++) own[i] += lost * (blend[i] - own[i]);
    }
  }

  /** The sum of the candidates by weight; one candidate after the other, because loops over a single array are fast. */
  private mix(candidates: readonly (Float64Array | null)[], out: Float64Array): void {
    const { weights } = this.scratch;
    out.fill(0);
    for (let c = 0; c < C; c++) {
      const quantiles = candidates[c];
      if (quantiles === null) continue;
      for (let k = 0; k < this.leads; k++) {
        const weight = weights[k * C + c];
        const end = (k + 1) * Q;
        for (let i = k * Q; i < end; i++) out[i] += weight * quantiles[i];
      }
    }
  }

  /**
   * After the first reading beyond the range: a third of the distribution moves to the new level, because it may stay or be a
   * spike; all of it if the stream's last such reading was not a spike.
   */
  private admitLevel(naive: Float64Array | null, out: Float64Array): void {
    const side = this.level.doubt;
    if (side === 0 || naive === null) return;
    if (this.level.isFirm) {
      for (let i = 0; i < out.length; i += Q) centre(out, naive, i);
      return;
    }
    const [from, to] = side > 0 ? [MEDIAN + 2, Q] : [0, MEDIAN - 1];
    for (let k = 0; k < this.leads; k++)
      for (let i = k * Q + from; i < k * Q + to; i++)
        out[i] = side > 0 ? Math.max(out[i], naive[i]) : Math.min(out[i], naive[i]);
  }

  /** Low and high are the outer thirds of the stream's past values; or, of a stream with two states, the values of either. */
  private beginSituation(candidates: readonly (Float64Array | null)[]): void {
    const { states, step } = this;
    const error = this.state[(this.knots.length - 1) * KNOT + 1];
    const isForeseen = states.areDistinct && error <= FORESEEN * states.distance;
    const climate = candidates[CLIMATE];
    const margin = LEVEL_MARGIN * this.state[1];
    const low = isForeseen ? states.low : (climate?.[LOW_THIRD] ?? 0) - margin;
    const high = isForeseen ? states.high : (climate?.[HIGH_THIRD] ?? 0) + margin;
    this.situations.begin(step, low, high, isForeseen);
  }

  /** Stores the intervals of all forecasts and of the candidates' blend at the knots. */
  private keepBlend(
    candidates: readonly (Float64Array | null)[],
    own: Float64Array | null,
    blend: Float64Array,
  ): void {
    const { rows } = this.scratch;
    for (let j = 0; j < this.knots.length; j++) {
      const at = j * ROW;
      const from = (this.knots[j] - 1) * Q;
      for (let c = 0; c <= C; c++) {
        const quantiles = c === C ? own : candidates[c];
        if (quantiles === null) for (let i = 0; i < 3; i++) rows[at + 3 * c + i] = Number.NaN;
        else keep3(rows, at + 3 * c, quantiles, from);
      }
      keep3(rows, at + BLEND, blend, from);
    }
  }

  /** Mean weight of each candidate over the leads in the forecast just combined, [C]; the rest is the own network's. */
  meanWeights(): number[] {
    const mean = new Array<number>(C).fill(0);
    for (let k = 0; k < this.leads; k++) {
      const left = (this.pooled ? 1 - this.ownShare.atLead(k) : 1) / this.leads;
      for (let c = 0; c < C; c++) mean[c] += left * this.weights[k * C + c];
    }
    return mean;
  }

  /** The parts of the forecast just combined, at the knots, in its unit. Call before the next `combine`. */
  explain(): Omit<LeadView, 'covariates'>[] {
    const { rows } = this.scratch;
    return this.knots.map((lead, j) => {
      const base = j * ROW;
      const own = this.pooled ? this.ownShare.at(j) : 0;
      const places: readonly (readonly [PartName, number])[] = [
        ...CANDIDATE_PARTS.map((part, c) => [part, base + 3 * c] as const),
        ['own network', base + OWN],
      ];
      const parts = places.flatMap(([part, at], c) => {
        const share = c < C ? (1 - own) * this.weights[(lead - 1) * C + c] : own;
        return Number.isNaN(rows[at]) ? [] : [{ part, share, ...intervalAt(rows, at) }];
      });
      const published = intervalAt(rows, base + PUBLISHED);
      const blend = intervalAt(rows, base + BLEND);
      const mixture =
        (1 - own) * (blend.p90 - blend.p10) +
        own * (this.pooled ? rows[base + OWN + 2] - rows[base + OWN] : 0);
      return {
        lead,
        published,
        parts,
        width: mixture > 0 ? (published.p90 - published.p10) / mixture : null,
        widened: Math.exp(this.widening.at(j)),
      };
    });
  }

  /** Share of actuals inside the published interval over all knots, and the number of scored forecasts. */
  coverage(): { observed: number | null; n: number } {
    let n = 0;
    let covered = 0;
    for (let j = 0; j < this.knots.length; j++) {
      n += this.state[j * KNOT];
      covered += this.state[j * KNOT] * this.state[j * KNOT + 3];
    }
    return { observed: n > 0 ? covered / n : null, n };
  }

  /** Number of scored forecasts at the first knot from lead k + 1 on. */
  scored(k: number): number {
    const j = this.knots.findIndex((knot) => knot > k);
    return this.state[j * KNOT];
  }

  /**
   * Scores by lead, without leads that have no scored forecast yet.
   * @param unit of the track, in the unit of the result
   */
  scores(unit = 1): LeadScore[] {
    const scored = this.knots.map((lead, j) => {
      const s = this.state.subarray(j * KNOT, j * KNOT + FACTOR);
      return {
        lead,
        n: s[0],
        mae: unit * s[1],
        bias: unit * s[2],
        coverage: s[3],
        loss: unit * s[4],
        lossSeasonal: unit * s[5],
        lossNaive: unit * s[6],
        maeSeasonal: unit * s[7],
        maeNaive: unit * s[8],
      };
    });
    return scored.filter(({ n }) => n > 0);
  }

  /** What `persist` leaves out. */
  packTrial(io: StateIo): void {
    io.array(this.trial);
    this.trialFrom = io.number(this.trialFrom);
  }

  persist(io: StateIo): void {
    this.pending.persist(io);
    io.array(this.state);
    this.worth.persist(io);
    this.ownShare.persist(io);
    this.widening.persist(io);
    this.situations.persist(io);
    this.level.persist(io);
    this.states.persist(io);
    this.week.persist(io);
    this.step = io.number(this.step);
  }
}

/** Names of the candidates for `explain`, in their order. */
const CANDIDATE_PARTS: readonly PartName[] = [
  'network',
  'seasonal naive',
  'naive',
  'climate',
  'corrected',
  'recurrence',
];

const intervalAt = (row: Float64Array, at: number): IntervalView => ({
  p10: row[at],
  p50: row[at + 1],
  p90: row[at + 2],
});

/** Loss of the interval at an index of a row. */
const lossAt = (row: Float64Array, at: number, y: number): number =>
  pinball3(y, row[at], row[at + 1], row[at + 2]);

/** Moves the quantiles of a lead to the median of others; they stay at least as wide as both were. */
function centre(out: Float64Array, others: Float64Array, from: number): void {
  const median = out[from + MEDIAN];
  const middle = others[from + MEDIAN];
  for (let i = from; i < from + Q; i++) {
    const [own, other] = [out[i] - median, others[i] - middle];
    out[i] = middle + (i < from + MEDIAN ? Math.min(own, other) : Math.max(own, other));
  }
}

/** Updates a running mean with a value of weight `rate`. */
function average(state: Float64Array, at: number, rate: number, value: number): void {
  state[at] += rate * (value - state[at]);
}

/** A factor of half an interval that leaves it no narrower than `least`. */
const atLeast = (factor: number, half: number, least: number): number =>
  half > 0 && half * factor < least ? least / half : factor;

/** Stores low, median and high of the quantiles of one lead. */
function keep3(rows: Float64Array, at: number, quantiles: Float64Array, from: number): void {
  rows[at] = quantiles[from];
  rows[at + 1] = quantiles[from + MEDIAN];
  rows[at + 2] = quantiles[from + Q - 1];
}
