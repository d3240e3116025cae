/** Running statistics: plain means at first, exponential means later. */
import type { StateIo } from './state-io.ts';

/** Exponential mean whose weight is 1/n until n reaches `span`, and 1/span from then on. */
export class RunningMean {
  value = 0;
  count = 0;

  /** @param span time constant in steps, >= 1 */
  constructor(private readonly span: number) {}

  add(value: number): void {
    this.count = Math.min(this.count + 1, this.span);
    this.value += (value - this.value) / this.count;
  }

  persist(io: StateIo): void {
    this.value = io.number(this.value);
    this.count = io.number(this.count);
  }
}

const LIMIT = 10;

/**
 * Running mean of absolute values that is robust against outliers: after the first few, a value is clipped to
 * LIMIT times the current mean.
 */
export class RobustScale {
  value = 0;
  count = 0;

  constructor(private readonly span: number) {}

  add(deviation: number): void {
    let size = Math.abs(deviation);
    if (this.count >= 8 && this.value > 0) size = Math.min(size, LIMIT * this.value);
    this.count = Math.min(this.count + 1, this.span);
    this.value += (size - this.value) / this.count;
  }

  persist(io: StateIo): void {
    this.value = io.number(this.value);
    this.count = io.number(this.count);
  }
}
