/**
 * Transforms a stream's values for everything that learns from them: into a unit of the values' own size and
 * relative to a whole number near the first value, because features and track store single precision; directions are
 * unwrapped, so that they do not jump at north.
 */
import { inTurn, turnTo } from './circle.ts';
import type { StateIo } from './state-io.ts';

/**
 * Below this single precision tells 0.0001 apart; a stream that begins above is kept relative to a whole number near its
 * first value.
 */
export const LARGE = 1024;
/** A stream whose first values are smaller than this has a unit of their size. */
const SMALL = 1e-6;
/** A unit fits values up to so many of it. */
const MOST_UNITS = 2 ** 30;
/** Directions further than this from the middle, in degrees, are told a turn nearer to it. */
const FARTHEST = 270;
/** Directions that the middle remembers. */
const SPAN = 1024;

export class Line {
  private readonly circular: boolean;
  /** What stands at 0, in the stream's unit. */
  private origin = 0;
  /** Of the line, in the stream's; a power of two. */
  private unit = 1;
  /** Whether both are known: not before the first value that is not 0. */
  private fixed = false;
  /** The newest direction on the line, the middle of all, and how many went into it. */
  private newest = 0;
  private middle = 0;
  private count = 0;

  constructor(circular = false) {
    this.circular = circular;
  }

  /** Whether values are directions. */
  get isCircle(): boolean {
    return this.circular;
  }

  /** Takes in an observed value. @returns the value on the line */
  enter(value: number): number {
    if (this.circular) return this.turn(value);
    if (!this.fixed) this.fit(value);
    return this.toLine(value);
  }

  /** Fixes origin and unit; everything that came before was 0, or is told anew. */
  fit(value: number): void {
    const size = Math.abs(value);
    this.fixed = size > 0;
    this.origin = size < LARGE ? 0 : Math.round(value);
    this.unit = size > 0 && size < SMALL ? 2 ** Math.floor(Math.log2(size)) : 1;
  }

  /** Whether a value is so much larger than the unit that all has to be told anew in a larger one. */
  outgrown(value: number): boolean {
    return this.unit < 1 && Math.abs(value) > MOST_UNITS * this.unit;
  }

  private turn(degrees: number): number {
    const first = this.count === 0;
    if (this.count < SPAN) this.count++;
    this.middle = first ? degrees : this.middle + turnTo(this.middle, degrees) / this.count;
    this.newest = first ? degrees : this.newest + turnTo(this.newest, degrees);
    while (this.newest - this.middle > FARTHEST) this.newest -= 360;
    while (this.newest - this.middle < -FARTHEST) this.newest += 360;
    return this.newest;
  }

  /** From the stream's unit. */
  toLine(value: number): number {
    return (value - this.origin) / this.unit;
  }

  /** To the stream's unit; a direction stays where it is on the line. */
  toUnit(value: number): number {
    return value * this.unit + this.origin;
  }

  /** The same of a difference. */
  sizeInUnit(value: number): number {
    return value * this.unit;
  }

  /** A value as it is nearest to another one, on the line. */
  near(value: number, to: number): number {
    return this.circular ? to + turnTo(to, value) : value;
  }

  /**
   * Puts quantiles of directions where their median is in [0, 360); the others are not further than half a turn from it, below 0
   * or above 360 where the interval lies across north.
   * @param quantiles [rows, width]
   * @param median its column
   */
  settle(quantiles: Float64Array, width: number, median: number): void {
    if (!this.circular) return;
    for (let at = 0; at < quantiles.length; at += width) {
      const middle = quantiles[at + median];
      const there = inTurn(middle);
      for (let q = 0; q < width; q++) {
        const away = Math.max(-180, Math.min(180, quantiles[at + q] - middle));
        quantiles[at + q] = there + away;
      }
    }
  }

  persist(io: StateIo): void {
    this.origin = io.number(this.origin);
    this.unit = io.number(this.unit);
    this.fixed = io.number(this.fixed ? 1 : 0) === 1;
    if (!this.circular) return;
    this.newest = io.number(this.newest);
    this.middle = io.number(this.middle);
    this.count = io.number(this.count);
  }
}
