/**
 * Gated recurrent unit, reset gate before the recurrent product (ONNX linear_before_reset = 0):
 *   z = sigmoid(W_z x + R_z h + b_z)    r = sigmoid(W_r x + R_r h + b_r)
 *   n = tanh(W_n x + R_n (r h) + b_n)
 *   h' = (1 - z) n + z h
 * Cho et al. 2014, arXiv:1406.1078. Gates in the order z, r, n.
 */
import type { Graph, Value } from '../graph/graph.ts';
import {
  add,
  concat,
  flatten,
  gemm,
  mul,
  oneMinus,
  reshape,
  sigmoid,
  slice,
  split,
  sub,
  sum,
  tanh,
} from '../graph/ops.ts';
import {
  type CellOps,
  type CellWindow,
  gateRows,
  joinSteps,
  previousStates,
  weightGradient,
} from './cell.ts';

export const gruResetBefore: CellOps = {
  pytorchOrder: [1, 0, 2],
  hasCellState: false,
  keepGate: 0,
  bounded: true,

  step(g, maps, x, { h }) {
    const z = sigmoid(g, add(g, maps.input(x, 0, 1, 'both'), maps.hidden(h, 0, 1, 'none')));
    const r = sigmoid(g, add(g, maps.input(x, 1, 2, 'both'), maps.hidden(h, 1, 2, 'none')));
    const candidate = add(g, maps.input(x, 2, 3, 'both'), maps.hidden(mul(g, r, h), 2, 3, 'none'));
    const n = tanh(g, candidate);
    return { h: add(g, n, mul(g, z, sub(g, h, n))), c: null };
  },

  fused: { op: 'GRU', attributes: { linear_before_reset: { int: 0 } } },
  backward,
};

/** As in gru.ts, but the candidate's gradient passes through the reset gate to the state: two products per step. */
function backward(
  g: Graph,
  { weights, x, h0, states }: CellWindow,
  dStates: Value,
  onStateGradient?: (gradient: Value) => void,
): Value[] {
  const T = x.shape[0] as number;
  const H = weights.hidden.shape[1] as number;
  const flatX = flatten(g, x);
  const before = previousStates(g, states, h0);
  const bias = add(g, weights.inputBias, weights.hiddenBias);
  const gate = (index: number, from: Value) => {
    const part = (parameter: Value) => gateRows(g, parameter, H, index);
    const recurrent = gemm(g, from, part(weights.hidden), part(bias), { transB: true });
    return gemm(g, flatX, part(weights.input), recurrent, { transB: true });
  };
  const z = sigmoid(g, gate(0, before));
  const r = sigmoid(g, gate(1, before));
  const reset = mul(g, r, before);
  const n = tanh(g, gate(2, reset));

  // dn = aN dh, dz = aZ dh, and with v = dn R_n (the gradient of r h): dr = aR v
  const keep = oneMinus(g, z);
  const aN = mul(g, keep, oneMinus(g, mul(g, n, n)));
  const aZ = mul(g, sub(g, before, n), mul(g, z, keep));
  const aR = mul(g, reset, oneMinus(g, r));
  const [factorN, factorZ, factorR, resets, kept] = [aN, aZ, aR, r, z].map((all) => split(g, all, T));
  const arriving = split(g, flatten(g, dStates), T);
  const updateAndReset = gateRows(g, weights.hidden, H, 0, 2);
  const candidate = gateRows(g, weights.hidden, H, 2);

  const dh: Value[] = [];
  const dGates: Value[] = [];
  let now = arriving[T - 1];
  for (let t = T - 1; t >= 0; t--) {
    dh[t] = now;
    const dN = mul(g, factorN[t], now);
    const v = gemm(g, dN, candidate, null);
    const dZR = concat(g, [mul(g, factorZ[t], now), mul(g, factorR[t], v)], 1);
    dGates[t] = concat(g, [dZR, dN], 1);
    if (t === 0) break;
    const direct = add(g, add(g, mul(g, kept[t], now), mul(g, resets[t], v)), arriving[t - 1]);
    now = gemm(g, dZR, updateAndReset, direct);
  }
  onStateGradient?.(joinSteps(g, dh));

  const all = joinSteps(g, dGates);
  const gates = (from: number, to: number) => slice(g, all, 1, from * H, to * H);
  const onState = weightGradient(g, [gates(0, 2)], before);
  const onReset = weightGradient(g, [gates(2, 3)], reset);
  const dBias = sum(g, all, [0]);
  return [
    reshape(g, gemm(g, all, weights.input, null), x.shape),
    weightGradient(g, [all], flatX),
    concat(g, [onState, onReset], 0),
    dBias,
    dBias,
  ];
}
