/**
 * One block for all arrays of a stream. An array of its own costs some 400 bytes beside its numbers, which for a
 * thousand streams of a hundred small arrays would be more than the numbers.
 */
const ALIGN = 8;

export class Memory {
  private readonly block: ArrayBuffer;
  /** Bytes asked for so far, whether they fitted or not: the size of a block for all of it. */
  used = 0;

  /** @param bytes of the block; arrays that do not fit get their own */
  constructor(bytes = 0) {
    this.block = new ArrayBuffer(bytes);
  }

  /** Zeros. */
  float32(length: number): Float32Array {
    const at = this.take(length * Float32Array.BYTES_PER_ELEMENT);
    return at === null ? new Float32Array(length) : new Float32Array(this.block, at, length);
  }

  /** Zeros. */
  float64(length: number): Float64Array {
    const at = this.take(length * Float64Array.BYTES_PER_ELEMENT);
    return at === null ? new Float64Array(length) : new Float64Array(this.block, at, length);
  }

  /** Zeros. */
  int16(length: number): Int16Array {
    const at = this.take(length * Int16Array.BYTES_PER_ELEMENT);
    return at === null ? new Int16Array(length) : new Int16Array(this.block, at, length);
  }

  /** Zeros. */
  int32(length: number): Int32Array {
    const at = this.take(length * Int32Array.BYTES_PER_ELEMENT);
    return at === null ? new Int32Array(length) : new Int32Array(this.block, at, length);
  }

  /** Zeros. */
  uint16(length: number): Uint16Array {
    const at = this.take(length * Uint16Array.BYTES_PER_ELEMENT);
    return at === null ? new Uint16Array(length) : new Uint16Array(this.block, at, length);
  }

  private take(bytes: number): number | null {
    const at = this.used;
    this.used += Math.ceil(bytes / ALIGN) * ALIGN;
    return this.used <= this.block.byteLength ? at : null;
  }
}
