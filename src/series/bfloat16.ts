/**
 * 16-bit numbers: the upper half of a single-precision float, rounded to the nearest (ties to even). They have
 * the range of a float and 8 bits of significand: an error of at most 0.4 %. Used for the thousands of stored values
 * that are only compared, stored as a difference from a reference in full precision. Pure.
 */
const single = new Float32Array(1);
const bits = new Int32Array(single.buffer);

/** As an int16. NaN stays NaN. */
export function toBfloat16(value: number): number {
  // Rounding could turn NaN bits into a number.
  if (Number.isNaN(value)) return 0x7fc0;
  single[0] = value;
  return (bits[0] + 0x7fff + ((bits[0] >>> 16) & 1)) >> 16;
}

export function fromBfloat16(code: number): number {
  bits[0] = code << 16;
  return single[0];
}
