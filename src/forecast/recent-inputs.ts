/** The most recent network inputs of a stream, used to warm up another model. 8 bits per number, [steps, I], a ring. */

import { ArrayBlock } from '../series/array-block.ts';
import { compress, expand } from '../series/companding.ts';
import { I } from '../series/features.ts';

export class RecentInputs {
  private readonly capacity: number;
  private readonly ring: Int8Array;
  private count = 0;

  /** @param capacity steps kept */
  constructor(capacity: number, memory = new ArrayBlock()) {
    this.capacity = capacity;
    this.ring = memory.int8(capacity * I);
  }

  /** Steps that are kept now. */
  get steps(): number {
    return Math.min(this.count, this.capacity);
  }

  /** @param x [I] from `offset` */
  add(x: Float32Array, offset: number): void {
    if (this.capacity === 0) return;
    const from = (this.count++ % this.capacity) * I;
    for (let i = 0; i < I; i++) this.ring[from + i] = compress(x[offset + i]);
  }

  /** Writes the inputs of `age` steps ago, [I], from `offset`; nothing where they are not kept. */
  read(age: number, x: Float32Array, offset: number): void {
    if (age >= this.steps) return;
    const from = ((this.count - 1 - age) % this.capacity) * I;
    for (let i = 0; i < I; i++) x[offset + i] = expand(this.ring[from + i]);
  }
}
