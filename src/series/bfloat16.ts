/**
 * 16-bit numbers: the upper half of a single-precision float, rounded to the nearest (ties to even). They have
 * the range of a float and 8 bits of significand: an error of at most 0.4 %. Used for the thousands of stored values
 * that are only compared, stored as a difference from a reference in full precision. Pure.
 */
export class Bfloat16 {
  /** The bits of one number, written and read within one call. */
  private readonly single = new Float32Array(1);
  private readonly bits = new Int32Array(this.single.buffer);

  /** As an int16. NaN stays NaN. */
  encode(value: number): number {
    // Rounding could turn NaN bits into a number.
    if (Number.isNaN(value)) return 0x7fc0;
    this.single[0] = value;
    return (this.bits[0] + 0x7fff + ((this.bits[0] >>> 16) & 1)) >> 16;
  }

  decode(code: number): number {
    this.bits[0] = code << 16;
    return this.single[0];
  }
}
