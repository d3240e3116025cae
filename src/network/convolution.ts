/**
 * Causal convolution in front of the cell: y_t = relu(C [x_{t-k+1}, ..., x_t] + b). Lea et al. 2017 (temporal
 * convolutions), Lai et al. 2018 (in front of a recurrent layer, arXiv:1703.07015). Its history is stored in the
 * network's state, flattened, oldest first, in as few rows of H numbers as possible.
 */
import { delayed } from './delay.ts';
import type { Graph, Value } from './graph/graph.ts';
import { add, affine, concat, matmul, pad, relu, reshape, slice, transpose } from './graph/ops.ts';
import type { ParameterLookup } from './heads.ts';
import type { NetworkSpec } from './spec.ts';

interface Convolved {
  /** [N, C], or [T, B, C] over a window */
  readonly y: Value;
  /** History for the next step, [R, N, H]. */
  readonly past: Value;
}

/** One step. x [N, I], past [R, N, H]. */
export function convolveStep(
  g: Graph,
  spec: NetworkSpec,
  parameter: ParameterLookup,
  x: Value,
  past: Value,
): Convolved {
  const kept = (spec.convolution!.kernel - 1) * spec.inputs;
  const window = concat(g, [unpack(g, past, kept), x], 1);
  const y = affine(g, window, parameter('convolution.weight'), parameter('convolution.bias'));
  const next = slice(g, window, 1, spec.inputs, kept + spec.inputs);
  return { y: relu(g, y), past: pack(g, next, spec.hidden) };
}

/** A window. x [T, B, I], past [R, B, H]. */
export function convolveWindow(
  g: Graph,
  spec: NetworkSpec,
  parameter: ParameterLookup,
  x: Value,
  past: Value,
): Convolved {
  const { inputs: I, hidden: H } = spec;
  const before = spec.convolution!.kernel - 1;
  const [B] = [x.shape[1]];
  const history = transpose(g, reshape(g, unpack(g, past, before * I), [B, before, I]), [1, 0, 2]);
  const input = delayed(g, history, x);
  const delays = Array.from({ length: before + 1 }, (_, index) => input.at(before - index));
  const product = matmul(g, concat(g, delays, 2), parameter('convolution.weight'));
  const flatNext = reshape(g, transpose(g, input.next, [1, 0, 2]), [B, before * I]);
  return { y: relu(g, add(g, product, parameter('convolution.bias'))), past: pack(g, flatNext, H) };
}

/** [R, N, H] -> the first `count` numbers of each stream's rows, [N, count] */
function unpack(g: Graph, rows: Value, count: number): Value {
  const [R, N, H] = rows.shape as [number, string, number];
  return slice(g, reshape(g, transpose(g, rows, [1, 0, 2]), [N, R * H]), 1, 0, count);
}

/** [N, count] -> [R, N, H], padded with zeros */
function pack(g: Graph, flat: Value, H: number): Value {
  const [N, count] = flat.shape as [string, number];
  const R = Math.ceil(count / H);
  return transpose(g, reshape(g, pad(g, flat, 1, 0, R * H - count), [N, R, H]), [1, 0, 2]);
}
