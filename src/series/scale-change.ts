/**
 * Detects that a stream has changed its unit for good (W to kW, Pa to hPa, seconds to minutes): several readings in a row are far
 * outside everything it has shown, and each is what was expected, times the same usual factor between units. All that has been
 * learnt then stays right in the former unit, and only the transform to it changes (`line.ts`). A change to another level
 * by no such factor is a matter of `forecast/level-change.ts`.
 */
import { ArrayBlock } from './array-block.ts';
import type { StateIo } from './state-io.ts';

/** Usual factors between units of one quantity; their inverses count too. */
const FACTORS = [10, 100, 1e3, 1e4, 1e5, 1e6, 60, 3600, 3.6] as const;
const LOGS = FACTORS.flatMap((factor) => [Math.log(factor), -Math.log(factor)]);
/** Readings before a change is recognised; readings in a row that show it. */
const ENOUGH = 200;
const CONFIRMED = 3;
/** A reading is far outside beyond this multiple of the largest size so far, or below that share of the smallest one. */
const FAR = Math.log(2.5);
/** A reading is as expected within this many mean errors for each bucket since the last good one; as a ratio, within `CLOSE` and `ROUGH`. */
const ERRORS = 4;
const [CLOSE, ROUGH] = [Math.log(1.05), Math.log(2.5)] as const;
/** The factor is at least the tolerance to this power. */
const CLEAR = 3;
/** After so many returns, readings that look like another unit are normal for the stream: a pump that runs now and then. */
const MOST_RETURNS = 3;
/** Time constant of the range of sizes, in readings. */
const MEMORY = 4096;

interface Expected {
  /** One-step forecast, in the stream's unit, and its mean error. */
  readonly point: number;
  readonly error: number;
}

export class ScaleChange {
  private seen = 0;
  /** Logarithms of the smallest and the largest size; no size is small for a stream that has been on both sides of 0. */
  private low = Number.POSITIVE_INFINITY;
  private high = Number.NEGATIVE_INFINITY;
  /** Readings in a row that show a change, and the logarithms of their ratios to what was expected. */
  private run = 0;
  private readonly ratios: Float64Array;
  /** Logarithm of the product of all factors. */
  private total = 0;
  /** How often readings looked like a change and then returned. A change that was recognised and undone sets it to the maximum. */
  private returns = 0;
  /** Sign of the newest reading other than 0. */
  private sign = 0;

  constructor(memory = new ArrayBlock()) {
    this.ratios = memory.float64(CONFIRMED);
  }

  /** Whether the newest reading may be the first of another unit. */
  get isWaiting(): boolean {
    return this.run > 0;
  }

  /**
   * Call with each reading, in the stream's unit.
   * @returns the factor of the new unit if a change has just been recognised; 1 otherwise
   */
  observe(value: number, expected: Expected): number {
    const size = Math.log(Math.abs(value));
    const { run } = this;
    const log = this.returns < MOST_RETURNS ? this.changeOf(value, size, expected) : null;
    if (log === null) {
      if (run > 0) this.returns++;
      this.run = 0;
      this.include(size, Math.sign(value));
      return 1;
    }
    if (this.run < CONFIRMED) return 1;
    this.run = 0;
    this.total += log;
    if (Math.abs(this.total) < CLOSE) this.returns = MOST_RETURNS;
    this.low += log;
    this.high += log;
    return Math.exp(log);
  }

  /** Adds a reading to those in a row. @returns logarithm of the factor that they show; null if there is none */
  private changeOf(value: number, size: number, { point, error }: Expected): number | null {
    const isFar = size > this.high + FAR || size < this.low - FAR;
    if (this.seen < ENOUGH || !isFar || !Number.isFinite(size) || !(value * point > 0)) return null;
    const ratio = Math.log(value / point);
    this.ratios[this.run++] = ratio;
    const middle = Float64Array.from(this.ratios.subarray(0, this.run)).sort()[this.run >> 1];
    const log = LOGS.reduce((best, one) => (Math.abs(one - middle) < Math.abs(best - middle) ? one : best));
    const close = Math.log1p((ERRORS * this.run * error) / Math.abs(point));
    const tolerance = Math.max(CLOSE, Math.min(ROUGH, close));
    if (Math.abs(log) < CLEAR * tolerance) return null;
    const former = size - log;
    if (former > this.high + FAR || former < this.low - FAR) return null;
    // A single reading of a stream that can hardly be forecast may be anywhere in the range.
    const single = close > ROUGH ? Math.max(ROUGH, this.high - this.low) : tolerance;
    return Math.abs(ratio - log) <= single && Math.abs(middle - log) <= tolerance ? log : null;
  }

  /** Adds a reading of the past. */
  private include(size: number, sign: number): void {
    this.seen++;
    if (sign === 0) return;
    const span = this.high - this.low;
    const forget = Number.isFinite(span) ? span / MEMORY : 0;
    const isOther = sign === -this.sign;
    this.sign = sign;
    this.low = isOther ? Number.NEGATIVE_INFINITY : Math.min(size, this.low + forget);
    this.high = Math.max(size, this.high - forget);
  }

  persist(io: StateIo): void {
    this.seen = io.number(this.seen);
    this.low = io.number(this.low);
    this.high = io.number(this.high);
    this.run = io.number(this.run);
    io.array(this.ratios);
    this.total = io.number(this.total);
    this.sign = io.number(this.sign);
    this.returns = io.number(this.returns);
  }
}
