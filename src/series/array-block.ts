/**
 * Allocates all arrays of a stream in one block. A separate array has an overhead of about 400 bytes; for a
 * thousand streams of a hundred small arrays this would exceed the numbers themselves.
 */
const ALIGN = 8;

interface ArrayType<T> {
  readonly BYTES_PER_ELEMENT: number;
  new (length: number): T;
  new (block: ArrayBuffer, at: number, length: number): T;
}

export class ArrayBlock {
  readonly block: ArrayBuffer;
  /** Bytes requested so far, including arrays that did not fit: the size needed for all of them. */
  used = 0;

  /** @param bytes size of the block; arrays that do not fit get their own buffer */
  constructor(bytes = 0) {
    this.block = new ArrayBuffer(bytes);
  }

  /** Zeros. */
  float32(length: number): Float32Array {
    return this.place(Float32Array, length);
  }

  /** Zeros. */
  float64(length: number): Float64Array {
    return this.place(Float64Array, length);
  }

  /** Zeros. */
  int8(length: number): Int8Array {
    return this.place(Int8Array, length);
  }

  /** Zeros. */
  int16(length: number): Int16Array {
    return this.place(Int16Array, length);
  }

  /** Zeros. */
  int32(length: number): Int32Array {
    return this.place(Int32Array, length);
  }

  /** Zeros. */
  uint16(length: number): Uint16Array {
    return this.place(Uint16Array, length);
  }

  private place<T>(type: ArrayType<T>, length: number): T {
    const at = this.take(length * type.BYTES_PER_ELEMENT);
    return at === null ? new type(length) : new type(this.block, at, length);
  }

  private take(bytes: number): number | null {
    const at = this.used;
    this.used += Math.ceil(bytes / ALIGN) * ALIGN;
    return this.used <= this.block.byteLength ? at : null;
  }
}
