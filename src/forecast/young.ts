/**
 * Forecasts a stream with little history. Its own readings are too few, so the interval starts from a prior learnt on
 * other sensors: the size of a change by unit (or by the quantity that the stream's name tells), level, step and lead
 * (`young-table.ts`). The changes of the stream itself update the prior, shorter lags first, each weighted by the
 * number of its observations (a Kalman filter over lags, Kalman 1960). Changes at neighbouring lags come from the same
 * readings, so their noise is correlated from lag to lag (coloured noise, Bryson & Henrikson 1968). The forecast is
 * then a mixture of the last value with this interval and of the forecasts of
 * experts and network, with shares that were learnt for each number of buckets seen; from 128 buckets on the share
 * of the prior fades out.
 */

import { MEDIAN, Q } from '../quantiles.ts';
import { ArrayBlock } from '../series/array-block.ts';
import type { Features } from '../series/features.ts';
import type { History } from '../series/history.ts';
import type { Line } from '../series/line.ts';
import type { StateIo } from '../series/state-io.ts';
import { priorGroup, priorUnit, quantityOf } from './prior-unit.ts';
import { Relatives } from './relatives.ts';
import { YOUNG_TABLE } from './young-table.ts';

/** Parameters learnt from other streams. */
export interface YoungTable {
  /**
   * Coefficients for the logarithm of a change: constant; logarithm of the level; level 0; logarithm of the lag; logarithm of
   * the interval in seconds; squared logarithm of the lag; product of both logarithms.
   */
  readonly prior: readonly number[];
  /** [PRIOR_GROUPS, 2] added for a unit: constant, and logarithm of the level. */
  readonly units: readonly number[];
  /** [PRIOR_GROUPS] logarithm of the highest level that was learnt from; beyond it changes grow with the root of the level. */
  readonly tops: readonly number[];
  /** [PRIOR_GROUPS] added for the name of a quantity if no unit is known. */
  readonly names: readonly number[];
  /** [YOUNG_COUNTS, MIXTURE] */
  readonly mixtures: readonly number[];
}

/** Numbers of buckets seen for which there is a mixture. */
export const YOUNG_COUNTS: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128];
const LAST_COUNT = 128;
/** From this number of buckets on, the prior has no share. */
export const GROWN = 4 * LAST_COUNT;
/** Lags at which changes are measured, in steps. */
export const LAGS = [1, 2, 4, 8, 16, 32, 64, 128] as const;
/** Variance of the logarithm of a change before anything has been seen: of any streams, of one quantity's, of one unit's. */
const VARIANCE = 3;
const NAME_VARIANCE = 1;
const UNIT_VARIANCE = 0.7;
/** Share of the correction learnt at one lag that applies at the next: noise changes most at short lags, a slow stream at long ones. */
const CARRIED = 0.9;
/** Share of this variance that sensors of one quantity on one gateway have in common. */
const COMMON = 0.65;
/** Buckets after which other streams use what a stream has learnt, and the number of lags that they use. */
const TELLS = 64;
const TOLD_LAGS = 5;
/** Growth of the variance with every doubling of the lag. */
const DRIFT = 0.4;
/** Variance of the logarithm of one change, and of the mean of many. */
const NOISE = 2;
const LEAST_NOISE = 0.02;
/** Correlation of this noise between one lag and the next, twice as long. */
const CORRELATION = 0.9;
/** Changes after which a prior that is far too narrow is dropped as well. */
const SEVERAL = 8;
/** How the size of changes grows with the level beyond the levels that were learnt from: a city's power is the sum of independent homes. */
const BEYOND = 0.5;
/** If all changes so far are 0, the change counts as this share of the prior, divided by their number. */
const STILL = 0.25;
/** Lower limit of the network's interval as a share of the prior's, because its logarithm is taken. */
const NARROWEST = 1e-3;
/** Assumed level of directions, in degrees. */
const CIRCLE = 100;

/** Number of leads with a width: 1, 2, 4, ... 128. */
export const WIDTH_KNOTS = 8;
/** Indices in a mixture: share of the network's median, share of its width, logarithms of widths [WIDTH_KNOTS], inner quantiles [3]. */
export const [MEDIAN_SHARE, WIDTH_SHARE, WIDTHS] = [0, 1, 2] as const;
export const INNER = WIDTHS + WIDTH_KNOTS;
export const MIXTURE = INNER + MEDIAN - 1;

/** Buffers recomputed with every forecast; streams may share them. */
export class YoungScratch {
  /** [LAGS] logarithm of the usual change. */
  readonly change = new Float64Array(LAGS.length);
  /** [MIXTURE] of the number of buckets seen. */
  readonly mixture = new Float64Array(MIXTURE);
}

/** Interpolates a list of values at 1, 2, 4, ...; constant beyond both ends. */
function between(list: ArrayLike<number>, from: number, length: number, doublings: number): number {
  const at = Math.max(0, Math.min(length - 1, doublings));
  const low = Math.min(length - 2, Math.floor(at));
  const a = list[from + low] as number;
  return a + (at - low) * ((list[from + low + 1] as number) - a);
}

export class Young {
  private readonly logStep: number;
  private unit: string | null;
  private name: string;
  private relatives: Relatives;
  /** The lag-independent part of the prior, NaN before the first value; and its variance. */
  private readonly state: Float64Array;

  /**
   * @param about the stream: its unit and name, and what streams of one kind tell each other
   * @param circular whether the values are directions
   */
  constructor(
    intervalMs: number,
    about: { readonly unit: string | null; readonly name?: string; readonly relatives?: Relatives },
    private readonly circular: boolean,
    memory = new ArrayBlock(),
    private readonly table: YoungTable = YOUNG_TABLE,
  ) {
    this.logStep = Math.log(intervalMs / 1000);
    this.unit = about.unit;
    this.name = about.name ?? '';
    this.relatives = about.relatives ?? new Relatives();
    this.state = memory.float64(2).fill(Number.NaN);
  }

  /** For another stream. */
  serve(unit: string | null, name: string | undefined, relatives: Relatives): void {
    this.unit = unit;
    this.name = name ?? '';
    this.relatives = relatives;
  }

  /** Streams with the same key change alike; null if nothing is known about this one. */
  get kind(): string | null {
    if (this.circular) return `circle ${this.logStep}`;
    const quantity = priorUnit(this.unit)?.group ?? (this.unit === null ? quantityOf(this.name) : null);
    return quantity === null ? null : `${quantity} ${this.logStep}`;
  }

  /** The lag-independent part of the prior for a value in the stream's unit, and its variance. */
  private level(value: number): { level: number; variance: number } {
    const unit = priorUnit(this.unit);
    const size = Math.abs(this.circular ? CIRCLE : unit === null ? value : unit.scale * (value - unit.zero));
    const { prior, units, tops, names } = this.table;
    const [start, perLog, atZero, , perStep] = prior as number[];
    let level = start + perStep * this.logStep + (size === 0 ? atZero : perLog * Math.log(size));
    if (this.circular) return { level, variance: VARIANCE };
    if (unit !== null) {
      const group = priorGroup(unit.group);
      const logSize = Math.log(Math.max(size, 0.01));
      const beyond = Math.max(0, logSize - tops[group]);
      level += units[2 * group] + units[2 * group + 1] * logSize - BEYOND * beyond - Math.log(unit.scale);
      return { level, variance: UNIT_VARIANCE };
    }
    const named = quantityOf(this.name);
    if (named === null) return { level, variance: VARIANCE };
    return { level: level + names[priorGroup(named)], variance: NAME_VARIANCE };
  }

  /** Computes the prior from the first value, in the stream's unit, and from what similar streams have learnt. */
  private begin(first: number): void {
    const { level, variance } = this.level(first);
    const { kind } = this;
    const { count, mean } = kind === null ? { count: 0, mean: 0 } : this.relatives.of(kind, this.name);
    const common = COMMON * variance;
    const own = variance - common;
    const known = (count * common) / (count * common + own);
    this.state[0] = level + known * mean;
    this.state[1] = own + (1 - known) * common;
  }

  /** Tells similar streams how much larger the changes of this stream are than the prior for its level says. */
  tell(features: Features, { change }: YoungScratch): void {
    const { history } = features.experts;
    const { kind } = this;
    if (kind === null || history.steps < TELLS || Number.isNaN(this.state[0])) return;
    this.usualChanges(history, features.line, change);
    const { level } = this.level(features.line.toUnit(history.at(0)));
    const toLine = -Math.log(features.line.sizeInUnit(1));
    let sum = 0;
    for (let j = 0; j < TOLD_LAGS; j++)
      sum += change[j] - (this.prior(Math.log(LAGS[j] as number)) - this.state[0] + level + toLine);
    if (Number.isFinite(sum)) this.relatives.tell(kind, this.name, sum / TOLD_LAGS);
  }

  /** Logarithm of the prior change for a lag, in the stream's unit. */
  private prior(logLag: number): number {
    const { prior } = this.table;
    const [perLag, square, both] = [prior[3] as number, prior[5] as number, prior[6] as number];
    return this.state[0] + logLag * (perLag + square * logLag + both * this.logStep);
  }

  /**
   * Writes the logarithm of the usual change at each of LAGS, in the unit of the history.
   * @param line transform between the stream's unit and the history's
   */
  usualChanges(history: Pick<History, 'steps' | 'reach' | 'at'>, line: Line, out: Float64Array): void {
    if (Number.isNaN(this.state[0])) this.begin(line.toUnit(history.at(history.reach)));
    const steps = Math.min(history.steps, LAST_COUNT);
    const toLine = -Math.log(line.sizeInUnit(1));
    let mean = 0;
    /** What the level has been wrong by beyond its variance: that holds for all lags. */
    let wrong = 0;
    let variance = this.state[1];
    const likely = Math.sqrt(2 * variance);
    let moved = false;
    /** What the noise of the changes at the lag before was, as far as is known. */
    let noiseBefore = 0;
    for (let j = 0; j < LAGS.length; j++) {
      const lag = LAGS[j] as number;
      if (j > 0) {
        mean *= CARRIED;
        variance = CARRIED ** 2 * variance + DRIFT;
      }
      const prior = this.prior(Math.log(lag)) + toLine + wrong;
      const count = steps - lag;
      let sum = 0;
      for (let i = 0; i < count; i++) sum += Math.abs(history.at(i) - history.at(i + lag));
      moved ||= sum > 0;
      // A zero change over a longer lag tells nothing about a stream that has moved: it returned to its old value.
      if (count > 0 && (sum > 0 || !moved)) {
        const seen = sum > 0 ? Math.log(sum / count) - prior : Math.log(STILL / steps);
        const shared = j > 0 ? CORRELATION : 0;
        const noise = ((NOISE * Math.sqrt(lag)) / count) * (1 - shared ** 2) + LEAST_NOISE;
        const surprise = seen - mean - shared * noiseBefore;
        // A prior that is far too wide (a level that says nothing: small changes of a large number) is dropped at once. One
        // that is far too narrow is not: a few changes may be a switch that is not moved again for hours.
        const believed = surprise < 0 || count >= SEVERAL;
        const wide = believed ? Math.max(variance, surprise ** 2 / 2) : variance;
        const gain = wide / (wide + noise);
        const beyond = believed ? Math.sign(surprise) * Math.max(0, Math.abs(surprise) - likely) : 0;
        mean += gain * surprise;
        variance *= 1 - gain;
        noiseBefore = seen - mean;
        out[j] = prior + mean;
        wrong += gain * beyond;
        mean -= gain * beyond;
      } else out[j] = prior + mean;
    }
  }

  /**
   * Mixes the published forecast of a young stream. Call after `features` are updated with the newest bucket.
   * @param quantiles [leads, 9], in the unit of the features
   * @returns false if the stream is no longer young
   */
  mix(features: Features, quantiles: Float64Array, scratch: YoungScratch): boolean {
    const { change, mixture } = scratch;
    const { history } = features.experts;
    const { steps } = history;
    if (steps >= GROWN) return false;
    if (steps === TELLS) this.tell(features, scratch);
    this.usualChanges(history, features.line, change);
    const { mixtures } = this.table;
    const age = Math.log2(steps);
    for (let i = 0; i < MIXTURE; i++) {
      const at = Math.min(age, YOUNG_COUNTS.length - 1);
      const row = Math.min(YOUNG_COUNTS.length - 2, Math.floor(at));
      const a = mixtures[row * MIXTURE + i] as number;
      mixture[i] = a + (at - row) * ((mixtures[(row + 1) * MIXTURE + i] as number) - a);
    }
    const fading =
      steps <= LAST_COUNT ? 1 : 1 - Math.log2(steps / LAST_COUNT) / Math.log2(GROWN / LAST_COUNT);
    const last = history.at(0);
    for (let k = 0; k < quantiles.length / Q; k++) {
      const at = k * Q;
      const median = quantiles[at + MEDIAN];
      const doublings = Math.log2(k + 1);
      const usual = between(change, 0, LAGS.length, doublings);
      const width = between(mixture, WIDTHS, WIDTH_KNOTS, doublings);
      const middle = last + mixture[MEDIAN_SHARE] * (median - last);
      // No function that captures these numbers: each of them would be an object on the heap.
      const narrowest = NARROWEST * Math.exp(usual);
      const logLow = Math.log(Math.max(median - quantiles[at], narrowest));
      const logHigh = Math.log(Math.max(quantiles[at + Q - 1] - median, narrowest));
      const low = Math.exp(usual + mixture[WIDTH_SHARE] * (logLow - usual) + width);
      const high = Math.exp(usual + mixture[WIDTH_SHARE] * (logHigh - usual) + width);
      for (let q = 0; q < Q; q++) {
        const away = Math.abs(q - MEDIAN);
        const share = away === 0 ? 0 : away === MEDIAN ? 1 : mixture[INNER + away - 1];
        const mixed = middle + (q < MEDIAN ? -low : high) * share;
        quantiles[at + q] += fading * (mixed - quantiles[at + q]);
      }
    }
    return true;
  }

  /** The stream has another unit: its values are `factor` times the former ones. */
  rescale(factor: number): void {
    this.state[0] += Math.log(factor);
  }

  persist(io: StateIo): void {
    io.array(this.state);
  }
}
