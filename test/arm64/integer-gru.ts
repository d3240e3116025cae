/**
 * One GRU step with int8 products with the state, in exact integers and doubles: what every processor's kernels must
 * give. Equations as in `src/network/cells/gru.ts`; gates in the order z, r, n.
 */
import { quantizeColumns, STATE_SCALE, STATE_ZERO, transposed } from '../../src/network/quantize.ts';
import type { Weights } from '../../src/network/weights.ts';

/** Rounds half to even, as the processors do. */
function roundEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
}

/** u8 codes of states in [-1, 1], less their zero point. */
export const codesOf = (h: Float32Array): Int32Array =>
  Int32Array.from(
    h,
    (value) =>
      Math.min(255, Math.max(0, roundEven(Math.fround(value / Math.fround(STATE_SCALE))) + STATE_ZERO)) -
      STATE_ZERO,
  );

/** codes [n, rows] times values [rows, columns], exact. */
export function integerProduct(
  codes: Int32Array,
  values: Int8Array,
  n: number,
  columns: number,
): Float64Array {
  const rows = values.length / columns;
  const result = new Float64Array(n * columns);
  for (let row = 0; row < n; row++)
    for (let column = 0; column < columns; column++) {
      let total = 0;
      for (let k = 0; k < rows; k++) total += codes[row * rows + k]! * values[k * columns + column]!;
      result[row * columns + column] = total;
    }
  return result;
}

const sigmoid = (v: number) => 1 / (1 + Math.exp(-v));

/**
 * @param x [n, I]
 * @param h [n, H]
 * @returns h' [n, H]
 */
export function integerGruStep(weights: Weights, n: number, x: Float32Array, h: Float32Array): Float64Array {
  const input = weights.get('layers.0.input.weight')!;
  const hidden = weights.get('layers.0.hidden.weight')!.data;
  const inputBias = weights.get('layers.0.input.bias')!.data;
  const hiddenBias = weights.get('layers.0.hidden.bias')!.data;
  const I = input.shape[1]!;
  const H = h.length / n;
  const codes = codesOf(h);
  const recurrent = [0, 1, 2].map((gate) => {
    const part = transposed(hidden.subarray(gate * H * H, (gate + 1) * H * H), H, H);
    const { values, scales } = quantizeColumns(part, H, H);
    const product = integerProduct(codes, values, n, H);
    return product.map((value, i) => value * Math.fround(STATE_SCALE) * scales[i % H]!);
  });
  const next = new Float64Array(n * H);
  for (let row = 0; row < n; row++)
    for (let unit = 0; unit < H; unit++) {
      const at = row * H + unit;
      const fromInput = [0, 1, 2].map((gate) => {
        let total = inputBias[gate * H + unit]!;
        for (let k = 0; k < I; k++) total += x[row * I + k]! * input.data[(gate * H + unit) * I + k]!;
        return total;
      });
      const z = sigmoid(fromInput[0]! + recurrent[0]![at]! + hiddenBias[unit]!);
      const r = sigmoid(fromInput[1]! + recurrent[1]![at]! + hiddenBias[H + unit]!);
      const c = Math.tanh(fromInput[2]! + r * (recurrent[2]![at]! + hiddenBias[2 * H + unit]!));
      next[at] = (1 - z) * c + z * h[at]!;
    }
  return next;
}
