/**
 * Transforms a stream's values for all learning components: into a unit that matches their size and
 * relative to a whole number near the first value, because features and track store single precision; directions are
 * unwrapped, so that they do not jump at north.
 */
import { angleDifference, normaliseAngle } from './circle.ts';
import type { StateIo } from './state-io.ts';

/**
 * Below this, single precision resolves 0.0001; a stream that starts above is stored relative to a whole number near its
 * first value.
 */
export const LARGE = 1024;
/** A stream with smaller first values gets a unit of their size. */
const SMALL = 1e-6;
/** Largest value in units. */
const MOST_UNITS = 2 ** 30;
/** Directions further than this from the middle, in degrees, are shifted by a full turn towards it. */
const FARTHEST = 270;
/** Time constant of the middle, in directions. */
const SPAN = 1024;

export class Line {
  private readonly circular: boolean;
  /** The value at 0 of the line, in the stream's unit. */
  private origin = 0;
  /** Unit of the line in the stream's unit; a power of two, unless the stream has changed its unit. */
  private unit = 1;
  /** Whether origin and unit are fixed, which happens at the first value other than 0. */
  private fixed = false;
  /** The newest direction on the line, the mean of all, and their number. */
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

  /** Adds an observed value. @returns the value on the line */
  enter(value: number): number {
    if (this.circular) return this.turn(value);
    if (!this.fixed) this.fit(value);
    return this.toLine(value);
  }

  /** Fixes origin and unit; earlier values were 0 or must be transformed again. */
  fit(value: number): void {
    const size = Math.abs(value);
    this.fixed = size > 0;
    this.origin = size < LARGE ? 0 : Math.round(value);
    this.unit = size > 0 && size < SMALL ? 2 ** Math.floor(Math.log2(size)) : 1;
  }

  /** The stream has another unit: its values are `factor` times the former ones, and stay the same on the line. */
  rescale(factor: number): void {
    this.origin *= factor;
    this.unit *= factor;
  }

  /** Whether a value is too large for the unit, so that everything must be transformed to a larger one. */
  outgrown(value: number): boolean {
    return this.unit < 1 && Math.abs(this.toLine(value)) > MOST_UNITS;
  }

  private turn(degrees: number): number {
    const first = this.count === 0;
    if (this.count < SPAN) this.count++;
    this.middle = first ? degrees : this.middle + angleDifference(this.middle, degrees) / this.count;
    this.newest = first ? degrees : this.newest + angleDifference(this.newest, degrees);
    while (this.newest - this.middle > FARTHEST) this.newest -= 360;
    while (this.newest - this.middle < -FARTHEST) this.newest += 360;
    return this.newest;
  }

  /** Converts from the stream's unit. */
  toLine(value: number): number {
    return (value - this.origin) / this.unit;
  }

  /** Converts to the stream's unit; a direction stays unwrapped. */
  toUnit(value: number): number {
    return value * this.unit + this.origin;
  }

  /** Converts a difference to the stream's unit. */
  sizeInUnit(value: number): number {
    return value * this.unit;
  }

  /** The value on the line; a direction is unwrapped to be nearest to `to`. */
  near(value: number, to: number): number {
    return this.circular ? to + angleDifference(to, value) : value;
  }

  /**
   * Shifts quantiles of directions so that their median is in [0, 360); the others are at most half a turn away, below 0
   * or above 360 if the interval contains north.
   * @param quantiles [rows, width]
   * @param median its column
   */
  settle(quantiles: Float64Array, width: number, median: number): void {
    if (!this.circular) return;
    for (let at = 0; at < quantiles.length; at += width) {
      const middle = quantiles[at + median];
      const there = normaliseAngle(middle);
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
