/**
 * Attention of the newest state over the last M states of the top layer:
 *   s_j = (Q h_t) . h_{t-j} / sqrt(H) + l_j    a = softmax(s)    c = sum_j a_j h_{t-j}    y = tanh(O [c, h_t] + b)
 * Luong et al. 2015, arXiv:1508.04025 ("general" score, attentional vector), with a bias for each lag. y goes to the head;
 * the recurrence itself is unchanged. The states before the newest are stored in the network's state, oldest first.
 */
import { delayed } from './delay.ts';
import type { Graph, Value } from './graph/graph.ts';
import { add, concat, matmul, mul, reshape, slice, softmax, tanh, transpose } from './graph/ops.ts';
import type { ParameterLookup, StateMap } from './heads.ts';
import type { NetworkSpec } from './spec.ts';

interface Attended {
  /** [N, H], or [T, B, H] over a window */
  readonly y: Value;
  /** The M - 1 newest states, [M - 1, N, H]. */
  readonly memory: Value;
}

/** One step, O(M). h [N, H], memory [M - 1, N, H]. Rows are multiplied separately, so that their results are independent. */
export function attendStep(
  g: Graph,
  spec: NetworkSpec,
  parameter: ParameterLookup,
  map: StateMap,
  h: Value,
  memory: Value,
): Attended {
  const { hidden: H } = spec;
  const M = spec.attention!.memory;
  const N = h.shape[0];
  const keys = concat(g, [memory, reshape(g, h, [1, N, H])], 0);
  const byRow = transpose(g, keys, [1, 0, 2]);
  const scaled = mul(g, map(h, 'attention.query.weight', null), g.scalar(1 / Math.sqrt(H)));
  const scores = g.emit('MatMul', [byRow, reshape(g, scaled, [N, H, 1])], [N, M, 1]);
  const share = softmax(g, add(g, reshape(g, scores, [N, M]), parameter('attention.lag.bias')));
  const context = g.emit('MatMul', [reshape(g, share, [N, 1, M]), byRow], [N, 1, H]);
  const both = concat(g, [reshape(g, context, [N, H]), h], 1);
  const y = tanh(g, map(both, 'attention.output.weight', 'attention.output.bias'));
  return { y, memory: slice(g, keys, 0, 1, M) };
}

/** A window. states [T, B, H], memory [M - 1, B, H]. */
export function attendWindow(
  g: Graph,
  spec: NetworkSpec,
  parameter: ParameterLookup,
  states: Value,
  memory: Value,
): Attended {
  const { hidden: H } = spec;
  const M = spec.attention!.memory;
  const seen = delayed(g, memory, states);
  // oldest first, as in the state
  const keys = Array.from({ length: M }, (_, index) => seen.at(M - 1 - index));
  const query = mul(g, matmul(g, states, parameter('attention.query.weight')), g.scalar(1 / Math.sqrt(H)));
  const total = g.constant(new Float32Array(H).fill(1), [H, 1]);
  const scores = keys.map((key) => matmul(g, mul(g, query, key), total));
  const share = softmax(g, add(g, concat(g, scores, 2), parameter('attention.lag.bias')));
  const context = keys
    .map((key, index) => mul(g, key, slice(g, share, 2, index, index + 1)))
    .reduce((a, b) => add(g, a, b));
  const product = matmul(g, concat(g, [context, states], 2), parameter('attention.output.weight'));
  return { y: tanh(g, add(g, product, parameter('attention.output.bias'))), memory: seen.next };
}
