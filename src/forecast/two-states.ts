/**
 * Finds out whether a stream has two states: values near a low level or near a high one, and few between them (a machine that is
 * on or off, a lamp). Each state has errors of its own, so each is calibrated by itself. The levels are the means of two clusters
 * (online k-means, MacQueen 1967).
 */
import { Q, QUANTILES } from '../quantiles.ts';
import type { ArrayBlock } from '../series/array-block.ts';
import type { History } from '../series/history.ts';
import type { StateIo } from '../series/state-io.ts';
import { NORMAL, SIGMA_PER_MAD } from './candidates.ts';

/** Numbers of a cluster: mean, readings, mean distance from the mean, readings since its last one, and how often the stream has come to it. */
const WIDTH = 5;
const [MEAN, COUNT, SPREAD, AGE, VISITS] = [0, 1, 2, 3, 4] as const;
const HIGH = WIDTH;
/** Index of the share of readings that are near neither level. */
const BETWEEN = 2 * WIDTH;
/** A stream with a larger share has no states: it moves from one level to the other (humidity by day and by night). */
const FEW = 0.05;
/** Readings of a cluster that are counted; readings until it is a state. */
const MEMORY = 300;
const ENOUGH = 16;
/** A stream that has come to a level less often has changed its level, and has no states. */
const RETURNS = 4;
/** The mean distance of two states from their levels is at most this share of the distance between them: for a uniform distribution it is 0.25. */
const COMPACT = 0.12;
/** A value up to this share of the distance from a level belongs to its state. */
const NEAR = 0.3;
/** Readings after which a level counts no longer. A cluster with few readings is then given up: it began with a wild reading. */
const STALE = 512;
/** The gap between two states begins this many mean distances from the level of either, and no further than the values near it. */
const OUTSIDE = 4;
/** A gap holds at most this share of the last readings. */
const EMPTY = 0.01;
const LOOK_BACK = 512;

export class TwoStates {
  /** [2, WIDTH] the low cluster and the high one; then BETWEEN. */
  private readonly state: Float64Array;

  constructor(memory: ArrayBlock) {
    this.state = memory.float64(2 * WIDTH + 1);
  }

  add(y: number): void {
    const s = this.state;
    if (s[COUNT] === 0) {
      this.begin(0, y);
      this.begin(HIGH, y);
      return;
    }
    const { distance } = this;
    if (y > s[HIGH + MEAN] + distance || y < s[MEAN] - distance) {
      this.beginBeyond(y);
      return;
    }
    const isBetween = y > this.low && y < this.high;
    s[BETWEEN] += ((isBetween ? 1 : 0) - s[BETWEEN]) / (1 + Math.min(MEMORY, s[COUNT] + s[HIGH + COUNT]));
    const at = y - s[MEAN] > s[HIGH + MEAN] - y ? HIGH : 0;
    s[AGE]++;
    s[HIGH + AGE]++;
    if (s[at + AGE] > 1) s[at + VISITS]++;
    s[at + AGE] = 0;
    s[at + COUNT] = Math.min(MEMORY, s[at + COUNT] + 1);
    s[at + SPREAD] += (Math.abs(y - s[at + MEAN]) - s[at + SPREAD]) / s[at + COUNT];
    s[at + MEAN] += (y - s[at + MEAN]) / s[at + COUNT];
    for (const one of [0, HIGH]) if (s[one + COUNT] < ENOUGH && s[one + AGE] > STALE) this.split(HIGH - one);
  }

  /** A value far outside begins a cluster; the others become one, unless they are states. */
  private beginBeyond(y: number): void {
    const s = this.state;
    if (this.areDistinct) return;
    const other = y > s[HIGH + MEAN] ? 0 : HIGH;
    const count = s[COUNT] + s[HIGH + COUNT];
    const mean = (s[COUNT] * s[MEAN] + s[HIGH + COUNT] * s[HIGH + MEAN]) / count;
    this.begin(HIGH - other, y);
    s[other + MEAN] = mean;
    s[other + COUNT] = Math.min(MEMORY, count);
  }

  private begin(at: number, y: number): void {
    this.state[at + MEAN] = y;
    this.state[at + COUNT] = 1;
    this.state[at + SPREAD] = 0;
    this.state[at + AGE] = 0;
    this.state[at + VISITS] = 0;
  }

  /** Drops the other cluster, and splits this one into two. */
  private split(at: number): void {
    const mean = this.state[at + MEAN];
    const spread = this.state[at + SPREAD];
    this.begin(0, mean - spread);
    this.begin(HIGH, mean + spread);
  }

  /** Distance between the two levels. */
  get distance(): number {
    return this.state[HIGH + MEAN] - this.state[MEAN];
  }

  /** Whether the stream has two states now. */
  get areDistinct(): boolean {
    const s = this.state;
    const { distance } = this;
    if (Math.min(s[COUNT], s[HIGH + COUNT]) < ENOUGH || !(distance > 0)) return false;
    if (Math.min(s[VISITS], s[HIGH + VISITS]) < RETURNS || s[BETWEEN] > FEW) return false;
    if (Math.max(s[AGE], s[HIGH + AGE]) > STALE) return false;
    return Math.max(s[SPREAD], s[HIGH + SPREAD]) <= COMPACT * distance;
  }

  /** Values below this are in the low state. */
  get low(): number {
    return this.state[MEAN] + NEAR * this.distance;
  }

  /** Values above this are in the high state. */
  get high(): number {
    return this.state[HIGH + MEAN] - NEAR * this.distance;
  }

  /** Distance from a level at which the gap begins. */
  private reach(at: number): number {
    return Math.min(NEAR * this.distance, OUTSIDE * this.state[at + SPREAD]);
  }

  /** A quantile of the values near a level, assuming normal ones. */
  private valueIn(at: number, quantile: number): number {
    const position = Math.max(0, Math.min(Q - 1, quantile * (Q + 1) - 1));
    const below = Math.min(Q - 2, Math.floor(position));
    const [a, b] = [NORMAL[below] as number, NORMAL[below + 1] as number];
    return (
      this.state[at + MEAN] + SIGMA_PER_MAD * this.state[at + SPREAD] * (a + (position - below) * (b - a))
    );
  }

  /**
   * Moves quantiles out of the gap between the states, where the stream has no values: a median half way between *on* and *off*
   * says that either may be next. A quantile in the gap stands for as large a probability of the high state as its share of the
   * way up; where this exceeds what is above the quantile, it is in the high state.
   * @param out [leads, 9]
   * @param history of the stream
   */
  leaveGap(out: Float64Array, history: History): void {
    if (!this.areDistinct) return;
    const s = this.state;
    const low = s[MEAN] + this.reach(0);
    const high = s[HIGH + MEAN] - this.reach(HIGH);
    let inGap = false;
    for (let i = 0; i < out.length && !inGap; i++) inGap = out[i] > low && out[i] < high;
    if (!inGap || !isEmpty(history, low, high)) return;
    for (let i = 0; i < out.length; i++) {
      if (!(out[i] > low && out[i] < high)) continue;
      const q = i % Q;
      const share = (out[i] - s[MEAN]) / this.distance;
      const above = 1 - (QUANTILES[q] as number);
      out[i] =
        share > above ? this.valueIn(HIGH, 1 - above / share) : this.valueIn(0, (1 - above) / (1 - share));
    }
    for (let i = 1; i < out.length; i++) if (i % Q > 0) out[i] = Math.max(out[i], out[i - 1]);
  }

  persist(io: StateIo): void {
    io.array(this.state);
  }
}

/**
 * Whether few of the last values are between two others, and the newest is not. The history has single precision, so the two
 * others are rounded like its values: a reading of 0.7 is stored as 0.699999988, and is not below the level 0.7.
 */
function isEmpty(history: History, from: number, to: number): boolean {
  const [low, high] = [Math.fround(from), Math.fround(to)];
  const n = Math.min(LOOK_BACK, history.reach + 1);
  let inside = 0;
  for (let lag = 0; lag < n; lag++) {
    const value = history.at(lag);
    if (value > low && value < high && (lag === 0 || ++inside > EMPTY * n)) return false;
  }
  return true;
}
