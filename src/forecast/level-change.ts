/**
 * Detects that a stream has jumped to a level that it had not shown before: a new set-point, a moved sensor, a machine that
 * starts. A reading begins an excursion if it lies beyond the range of the last readings by far more than the usual error and
 * by half of that range. The excursion ends with the first reading nearer to the range. An excursion that has lasted longer than
 * any that ended is a lasting change: spikes and bursts that a stream has had before are no reason to expect another level.
 *
 * A level that has been the usual one for a while is the whole range: the next change is then detected wherever it leads, also
 * back. If the stream's last excursion became its usual level, its next one is expected to last from the first reading on.
 *
 * Forecasts from before a lasting change tell nothing about the forecasters, because none of them could know. They must not
 * be learnt from. The same holds when the old level returns.
 */
import { ArrayBlock } from '../series/array-block.ts';
import type { StateIo } from '../series/state-io.ts';

/** Smallest distance from the range of the readings: multiples of the usual error at lead 1 ... */
const FAR_ABOVE_USUAL = 5;
/** ... and of the width of the range. */
const FAR_OUTSIDE = 0.5;
/** An excursion goes on while readings are beyond this share of the distance between the range and its nearest reading. */
const STILL_OUT = 0.5;
/** Number of readings before an excursion can begin. */
const ENOUGH = 200;
/** Steps over which the range, and the length of past excursions, are forgotten. */
const MEMORY = 1000;
/** An excursion that has lasted this many readings has become a usual level. */
const LASTING = 64;
/** Indices of the numbers. */
const [LOW, HIGH, COUNT, START, SIDE, CHANGED, LONGEST, EDGE, NEWEST] = [0, 1, 2, 3, 4, 5, 6, 7, 8] as const;
const [FAR, FIRM, SETTLED, LEVEL_LOW, LEVEL_HIGH] = [9, 10, 11, 12, 13] as const;
const SIZE = 14;
const NONE = -1;

export class LevelChange {
  private readonly state: Float64Array;

  constructor(memory = new ArrayBlock()) {
    this.state = memory.float64(SIZE);
    this.state[START] = NONE;
  }

  /**
   * Call with each reading.
   * @param step number of forecasts made so far: forecasts from this step on know the reading
   * @param usual mean error at lead 1
   * @returns whether a lasting change has just been detected, to a new level or back
   */
  observe(y: number, step: number, usual: number): boolean {
    const s = this.state;
    s[NEWEST] = step;
    if (s[COUNT] < ENOUGH) {
      this.extend(y);
      return false;
    }
    if (s[START] === NONE) {
      const side = this.sideOf(y, Math.max(FAR_ABOVE_USUAL * usual, FAR_OUTSIDE * (s[HIGH] - s[LOW])));
      if (side === 0) this.extend(y);
      else {
        s[START] = step;
        s[SIDE] = side;
        s[EDGE] = y;
        s[FAR] = y;
      }
      return false;
    }
    const age = step - s[START];
    const near = s[SIDE] > 0 ? s[EDGE] - s[HIGH] : s[LOW] - s[EDGE];
    if (this.sideOf(y, STILL_OUT * near) !== s[SIDE]) return this.end(y, step, age);
    const [nearest, farthest] = s[SIDE] > 0 ? [Math.min, Math.max] : [Math.max, Math.min];
    s[EDGE] = nearest(s[EDGE], y);
    s[FAR] = farthest(s[FAR], y);
    if (age >= LASTING) {
      this.settle();
      return false;
    }
    if (s[CHANGED] === s[START] || age <= this.longest) return false;
    s[CHANGED] = s[START];
    return true;
  }

  /** The first step whose forecasts know the newest lasting change; 0 if there was none. */
  get since(): number {
    return this.state[CHANGED];
  }

  /** Whether a forecast knew only the first reading after the newest lasting change. False after a return to the old level, which is known at once. */
  beganWith(step: number): boolean {
    return step === this.since && this.state[SIDE] !== 0;
  }

  /** 1 or -1 if the newest reading is the first beyond the range, and the stream has had no such excursion yet: it may be a spike or a change. */
  get doubt(): number {
    const s = this.state;
    return s[NEWEST] === s[START] && this.longest === 0 ? s[SIDE] : 0;
  }

  /** Whether the stream's last excursion became its usual level, so that the next one probably lasts too. */
  get isFirm(): boolean {
    return this.state[FIRM] === 1;
  }

  /** Length of the longest excursion that ended, in readings, as far as it is remembered. */
  private get longest(): number {
    return Math.round(this.state[LONGEST]);
  }

  /** The excursion has become a usual level. */
  private settle(): void {
    const s = this.state;
    s[FIRM] = 1;
    s[LEVEL_LOW] = Math.min(s[EDGE], s[FAR]);
    s[LEVEL_HIGH] = Math.max(s[EDGE], s[FAR]);
    s[START] = NONE;
    this.extend(s[EDGE]);
    this.extend(s[FAR]);
    s[SETTLED] = s[COUNT];
  }

  private end(y: number, step: number, age: number): boolean {
    const s = this.state;
    const accepted = s[CHANGED] === s[START];
    s[LONGEST] = Math.max(s[LONGEST], age);
    s[START] = NONE;
    this.extend(s[EDGE]);
    this.extend(y);
    if (!accepted) {
      s[FIRM] = 0;
      return false;
    }
    s[CHANGED] = step;
    s[SIDE] = 0;
    return true;
  }

  /** Includes a reading in the range, whose edges move slowly towards it. */
  private extend(y: number): void {
    const s = this.state;
    const first = s[COUNT] === 0;
    s[COUNT]++;
    s[LOW] = first ? y : Math.min(y, s[LOW] + (y - s[LOW]) / MEMORY);
    s[HIGH] = first ? y : Math.max(y, s[HIGH] + (y - s[HIGH]) / MEMORY);
    s[LONGEST] -= s[LONGEST] / MEMORY;
    if (s[SETTLED] > 0) this.narrow(y);
  }

  /** A level that has been the usual one for as long again is the range alone: a return to the former level is a change too. */
  private narrow(y: number): void {
    const s = this.state;
    s[LEVEL_LOW] = Math.min(s[LEVEL_LOW], y);
    s[LEVEL_HIGH] = Math.max(s[LEVEL_HIGH], y);
    if (s[COUNT] - s[SETTLED] < LASTING) return;
    s[LOW] = s[LEVEL_LOW];
    s[HIGH] = s[LEVEL_HIGH];
    s[SETTLED] = 0;
  }

  private sideOf(y: number, distance: number): number {
    if (y > this.state[HIGH] + distance) return 1;
    return y < this.state[LOW] - distance ? -1 : 0;
  }

  persist(io: StateIo): void {
    io.array(this.state);
  }
}
