/** Running statistics with a bounded memory: plain means while young, exponential means later. */
import type { StateIo } from './state-io.ts';

/** Exponential mean whose weight is 1/n until n reaches `span`, and 1/span from then on. */
export class RunningMean {
  value = 0;
  count = 0;
  private readonly span: number;

  /** @param span memory in steps, >= 1 */
  constructor(span: number) {
    this.span = span;
  }

  add(value: number): void {
    this.count = Math.min(this.count + 1, this.span);
    this.value += (value - this.value) / this.count;
  }

  persist(io: StateIo): void {
    this.value = io.number(this.value);
    this.count = io.number(this.count);
  }
}

/**
 * Running mean of absolute values that one wild reading cannot spoil: once it has seen a few, an addend counts for at
 * most `limit` times the current mean.
 */
export class RobustScale {
  value = 0;
  count = 0;
  private readonly span: number;
  private readonly limit: number;

  constructor(span: number, limit = 10) {
    this.span = span;
    this.limit = limit;
  }

  add(deviation: number): void {
    let size = Math.abs(deviation);
    if (this.count >= 8 && this.value > 0) size = Math.min(size, this.limit * this.value);
    this.count = Math.min(this.count + 1, this.span);
    this.value += (size - this.value) / this.count;
  }

  persist(io: StateIo): void {
    this.value = io.number(this.value);
    this.count = io.number(this.count);
  }
}
