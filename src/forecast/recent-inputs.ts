/** Ring buffer of a stream's most recent network inputs, used to warm up another model. [steps, I], 8 bits per number. */

import { ArrayBlock } from '../series/array-block.ts';
import { compress, expand } from '../series/companding.ts';
import { I } from '../series/features.ts';
import type { StateIo } from '../series/state-io.ts';

export class RecentInputs {
  private readonly ring: Int8Array;
  private count = 0;

  /** @param capacity number of steps */
  constructor(
    private readonly capacity: number,
    memory = new ArrayBlock(),
  ) {
    this.ring = memory.int8(capacity * I);
  }

  /** Saves or restores everything. */
  pack(io: StateIo): void {
    io.array(this.ring);
    this.count = io.number(this.count);
  }

  /** Copies the content of `other`, which has the same capacity. */
  copy(other: RecentInputs): void {
    this.ring.set(other.ring);
    this.count = other.count;
  }

  get steps(): number {
    return Math.min(this.count, this.capacity);
  }

  /** The stored inputs, oldest first, for `restore`. [steps, I] */
  save(): Uint8Array {
    const { steps } = this;
    const saved = new Uint8Array(steps * I);
    for (let i = 0; i < steps; i++) {
      const from = ((this.count - steps + i) % this.capacity) * I;
      saved.set(new Uint8Array(this.ring.buffer, this.ring.byteOffset + from, I), i * I);
    }
    return saved;
  }

  /** @param saved as of `save`; ignored if a step does not fit in whole */
  restore(saved: Uint8Array): void {
    const steps = saved.length / I;
    if (!Number.isInteger(steps) || steps > this.capacity) return;
    this.ring.set(new Int8Array(saved.buffer, saved.byteOffset, saved.length));
    this.count = steps;
  }

  /** @param x [I] from `offset` */
  add(x: Float32Array, offset: number): void {
    if (this.capacity === 0) return;
    const from = (this.count++ % this.capacity) * I;
    for (let i = 0; i < I; i++) this.ring[from + i] = compress(x[offset + i]);
  }

  /** Copies the inputs of `age` steps ago, [I], to `x` from `offset`; does nothing if they are not stored. */
  read(age: number, x: Float32Array, offset: number): void {
    if (age >= this.steps) return;
    const from = ((this.count - 1 - age) % this.capacity) * I;
    for (let i = 0; i < I; i++) x[offset + i] = expand(this.ring[from + i]);
  }
}
