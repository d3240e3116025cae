/**
 * int8 weights for matrix products that are exact on every CPU: one scale per column, values within +-63. Why 63:
 * AVX2 without VNNI sums pairs of u8 x s8 products in 16 bits with saturation; 2 * 255 * 63 still fits.
 */
export const WEIGHT_LIMIT = 63;
/** States lie in [-1, 1]; u8 with this step and the zero point 128 spans them. */
export const STATE_SCALE = 1 / 127;
export const STATE_ZERO = 128;

interface QuantizedMatrix {
  /** [rows, columns] row-major */
  readonly values: Int8Array;
  /** [columns]; value times scale is the weight. */
  readonly scales: Float32Array;
}

/** @param matrix [rows, columns] row-major */
export function quantizeColumns(matrix: Float32Array, rows: number, columns: number): QuantizedMatrix {
  const scales = new Float32Array(columns);
  for (let i = 0; i < matrix.length; i++) {
    const column = i % columns;
    scales[column] = Math.max(scales[column], Math.abs(matrix[i]) / WEIGHT_LIMIT);
  }
  const values = new Int8Array(rows * columns);
  for (let i = 0; i < matrix.length; i++) {
    const scale = scales[i % columns];
    if (scale > 0) values[i] = Math.max(-WEIGHT_LIMIT, Math.min(WEIGHT_LIMIT, Math.round(matrix[i] / scale)));
  }
  return { values, scales };
}

/** [rows, columns] -> [columns, rows], both row-major */
export function transposed(matrix: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(matrix.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      result[column * rows + row] = matrix[row * columns + column];
    }
  }
  return result;
}
