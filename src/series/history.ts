/** The most recent values of a stream on its grid, one per bucket, gaps filled. A ring in single precision. */
import { ArrayBlock } from './array-block.ts';
import type { StateIo } from './state-io.ts';

export class History {
  /** [capacity]; the value of step n is at index n mod capacity. */
  private readonly values: Float32Array;
  /** Steps seen so far; the newest is `steps - 1`. */
  steps = 0;

  /** @param capacity number of stored steps; at least the longest lag to be read, plus one */
  constructor(
    readonly capacity: number,
    memory = new ArrayBlock(),
  ) {
    this.values = memory.float32(capacity);
  }

  push(value: number): void {
    this.values[this.steps % this.capacity] = value;
    this.steps++;
  }

  /** Longest lag that can be read now. */
  get reach(): number {
    return Math.min(this.steps, this.capacity) - 1;
  }

  /** Value `lag` steps ago; 0 is the newest. Requires 0 <= lag <= reach. */
  at(lag: number): number {
    const step = this.steps - 1 - lag;
    return this.values[step % this.capacity];
  }

  /** Another value for that of `lag` steps ago. */
  replace(lag: number, value: number): void {
    this.values[(this.steps - 1 - lag) % this.capacity] = value;
  }

  /** Raw ring and the index of the newest value, for loops that visit many lags. */
  ring(): { values: Float32Array; newest: number } {
    return { values: this.values, newest: (this.steps - 1) % this.capacity };
  }

  persist(io: StateIo): void {
    this.steps = io.number(this.steps);
    io.array(this.values);
  }
}
