/**
 * Finds out whether a stream has two states: values near a low level or near a high one, and few between them (a machine that is
 * on or off, a lamp). Each state has errors of its own, so each is calibrated by itself. The levels are the means of two clusters
 * (online k-means, MacQueen 1967).
 */
import type { ArrayBlock } from '../series/array-block.ts';
import type { StateIo } from '../series/state-io.ts';

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

  persist(io: StateIo): void {
    io.array(this.state);
  }
}
