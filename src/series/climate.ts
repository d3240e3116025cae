/**
 * Running quantiles of all values of a stream: the fallback for forecasts far ahead. Each quantile is moved up or
 * down by a step that shrinks as readings come in (stochastic approximation, Robbins & Monro 1951) but never below a
 * floor, so that the quantiles follow slow change.
 */
import { Q, QUANTILES } from '../quantiles.ts';
import { ArrayBlock } from './array-block.ts';
import type { StateIo } from './state-io.ts';

const LEVELS: readonly number[] = QUANTILES;
const MEMORY = 4000;
/** Number of readings that are sorted exactly before tracking starts. */
const START = 24;

export class Climate {
  /** [9], non-decreasing; all equal to the first value at the start. */
  readonly quantiles: Float64Array;
  /** The first readings, [START]; null when complete. */
  private first: Float64Array | null = new Float64Array(START);
  private count = 0;

  constructor(memory = new ArrayBlock()) {
    this.quantiles = memory.float64(Q);
  }

  /** @param spread mean absolute deviation of the stream, the unit of a step */
  add(value: number, spread: number): void {
    if (this.first !== null) {
      this.first[this.count++] = value;
      const sorted = this.first.slice(0, this.count).sort();
      if (this.count === START) this.first = null;
      LEVELS.forEach((level, i) => {
        this.quantiles[i] = sorted[Math.min(this.count - 1, Math.floor(level * this.count))];
      });
      return;
    }
    this.count = Math.min(this.count + 1, MEMORY);
    const step = (4 * spread) / this.count;
    let floor = -Infinity;
    for (let i = 0; i < Q; i++) {
      const q = this.quantiles[i];
      const level = LEVELS[i];
      const moved = value > q ? q + step * level : value < q ? q - step * (1 - level) : q;
      this.quantiles[i] = Math.max(moved, floor);
      floor = this.quantiles[i];
    }
  }

  persist(io: StateIo): void {
    io.array(this.quantiles);
    this.count = io.number(this.count);
    this.first = this.count < START ? io.array(this.first ?? new Float64Array(START)) : null;
  }
}
