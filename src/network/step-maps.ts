/**
 * The matrix products of the step graph, in float32 or int8. Products with states are quantised. A gated cell keeps
 * its states in [-1, 1], so they have one fixed scale; a vanilla RNN with relu has one scale per row. Products with
 * raw inputs and lead features stay float32: there are few of them, and one outlier among the inputs would reduce the
 * resolution of all others. No row's result depends on other rows: scales are constants or belong to the row.
 */
import type { LayerMaps } from './cells/cell.ts';
import type { Graph, Value } from './graph/graph.ts';
import { add, gemm, mul } from './graph/ops.ts';
import type { StateMap } from './heads.ts';
import { quantizeColumns, STATE_SCALE, STATE_ZERO, transposed } from './quantize.ts';
import type { NetworkSpec } from './spec.ts';
import type { Tensor, Weights } from './weights.ts';

/** A state times a constant matrix [in, out], with a bias or without. */
type Product = (state: Value, matrix: Float32Array, out: number, bias: Float32Array | null) => Value;

const floatProduct =
  (g: Graph): Product =>
  (state, matrix, out, bias) => {
    const b = g.constant(matrix, [state.shape.at(-1) as number, out]);
    return gemm(g, state, b, bias && g.constant(bias, [out]));
  };

/** `bounded`: all states lie in [-1, 1]. */
function int8Product(g: Graph, bounded: boolean): Product {
  const seen = new Map<string, { codes: Value; rowScale: Value | null }>();
  const zero = g.uint8(Uint8Array.of(STATE_ZERO), []);
  const scale = g.scalar(Math.fround(STATE_SCALE));
  const quantized = (state: Value) => {
    const known = seen.get(state.name);
    if (known) return known;
    let rowScale: Value | null = null;
    let unit = state;
    if (!bounded) {
      const size = g.emit('Abs', [state], state.shape);
      rowScale = g.emit('ReduceMax', [size, g.int64([1])], [state.shape[0], 1]);
      // a row of zeros has no scale, so any positive one is valid
      rowScale = g.emit('Max', [rowScale, g.scalar(1e-30)], rowScale.shape);
      unit = g.emit('Div', [state, rowScale], state.shape);
    }
    const codes = g.emit('QuantizeLinear', [unit, scale, zero], state.shape, {}, 'uint8');
    seen.set(state.name, { codes, rowScale });
    return { codes, rowScale };
  };
  return (state, matrix, out, bias) => {
    const rows = state.shape.at(-1) as number;
    const { values, scales } = quantizeColumns(matrix, rows, out);
    const { codes, rowScale } = quantized(state);
    const fold = bias && !rowScale ? g.constant(bias, [out]) : null;
    const y = g.emit(
      'MatMulIntegerToFloat',
      [codes, g.int8(values, [rows, out]), scale, g.constant(scales, [out]), zero, null, fold],
      [state.shape[0], out],
      {},
      'float32',
      'com.microsoft',
    );
    if (!rowScale) return y;
    const scaled = mul(g, y, rowScale);
    return bias ? add(g, scaled, g.constant(bias, [out])) : scaled;
  };
}

interface StepMaps {
  layer(index: number): LayerMaps;
  readonly state: StateMap;
}

export function createStepMaps(
  g: Graph,
  spec: NetworkSpec,
  weights: Weights,
  quantized: boolean,
  bounded: boolean,
): StepMaps {
  const float = floatProduct(g);
  const product = quantized ? int8Product(g, bounded) : float;
  const tensor = (name: string): Tensor => weights.get(name)!;
  const H = spec.hidden;
  return {
    state: (h, weight, bias) => {
      const { shape, data } = tensor(weight);
      return product(h, data, shape[1], bias === null ? null : tensor(bias).data);
    },
    layer: (index) => {
      const of = (name: string) => tensor(`layers.${index}.${name}`);
      const rows = (matrix: Tensor, from: number, to: number) => {
        const columns = matrix.shape[1];
        const part = matrix.data.subarray(from * H * columns, to * H * columns);
        return transposed(part, (to - from) * H, columns);
      };
      const hiddenBias = of('hidden.bias').data;
      const inputBias = of('input.bias').data;
      return {
        input: (x, from, to, bias) => {
          const b = inputBias.slice(from * H, to * H);
          if (bias === 'both') for (let i = 0; i < b.length; i++) b[i] += hiddenBias[from * H + i];
          // above the first layer the input is a state
          const multiply = index > 0 ? product : float;
          return multiply(x, rows(of('input.weight'), from, to), (to - from) * H, b);
        },
        hidden: (h, from, to, bias) => {
          const b = bias === 'none' ? null : hiddenBias.slice(from * H, to * H);
          return product(h, rows(of('hidden.weight'), from, to), (to - from) * H, b);
        },
      };
    },
  };
}
