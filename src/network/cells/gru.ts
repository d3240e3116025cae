/**
 * Gated recurrent unit, reset gate after the recurrent product (PyTorch's and cuDNN's form; ONNX linear_before_reset = 1):
 *   z = sigmoid(W_z x + R_z h + b_z)    r = sigmoid(W_r x + R_r h + b_r)
 *   n = tanh(W_n x + b_Wn + r (R_n h + b_Rn))
 *   h' = (1 - z) n + z h
 * Cho et al. 2014, arXiv:1406.1078; this form: Appleyard et al. 2016, arXiv:1604.01946. Gates in the order z, r, n.
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

export const gru: CellOps = {
  pytorchOrder: [1, 0, 2],
  hasCellState: false,
  keepGate: 0,
  bounded: true,

  step(g, maps, x, { h }) {
    const z = sigmoid(g, add(g, maps.input(x, 0, 1, 'both'), maps.hidden(h, 0, 1, 'none')));
    const r = sigmoid(g, add(g, maps.input(x, 1, 2, 'both'), maps.hidden(h, 1, 2, 'none')));
    const n = tanh(g, add(g, maps.input(x, 2, 3, 'input'), mul(g, r, maps.hidden(h, 2, 3, 'hidden'))));
    // (1 - z) n + z h, with one multiplication fewer
    return { h: add(g, n, mul(g, z, sub(g, h, n))), c: null };
  },

  fused: { op: 'GRU', attributes: { linear_before_reset: { int: 1 } } },
  backward,
};

/** Computes the gates of all steps at once from the states, dL/dh step by step, then the gradient of each weight in one product. */
function backward(
  g: Graph,
  { weights, x, h0, states }: CellWindow,
  dStates: Value,
  onStateGradient?: (gradient: Value) => void,
): Value[] {
  const T = x.shape[0] as number;
  const H = weights.hidden.shape[1] as number;
  const part = (parameter: Value, gate: number) => gateRows(g, parameter, H, gate);
  const flatX = flatten(g, x);
  const before = previousStates(g, states, h0);

  const fromInput = (gate: number, c: Value) =>
    gemm(g, flatX, part(weights.input, gate), c, { transB: true });
  const fromHidden = (gate: number, bias: Value) =>
    gemm(g, before, part(weights.hidden, gate), bias, { transB: true });
  const bothBiases = add(g, weights.inputBias, weights.hiddenBias);
  const z = sigmoid(g, fromInput(0, fromHidden(0, part(bothBiases, 0))));
  const r = sigmoid(g, fromInput(1, fromHidden(1, part(bothBiases, 1))));
  const recurrent = fromHidden(2, part(weights.hiddenBias, 2));
  const gated = mul(g, r, recurrent);
  const n = tanh(g, add(g, fromInput(2, part(weights.inputBias, 2)), gated));

  // factors of dh: dz = aZ dh, dr = aR dh, dn = aN dh (before the gates' nonlinearities)
  const keep = oneMinus(g, z);
  const aN = mul(g, keep, oneMinus(g, mul(g, n, n)));
  const aZ = mul(g, sub(g, before, n), mul(g, z, keep));
  const aR = mul(g, aN, mul(g, gated, oneMinus(g, r)));
  const aNr = mul(g, aN, r);

  const factors = split(g, concat(g, [aZ, aR, aNr], 1), T);
  const kept = split(g, z, T);
  const arriving = split(g, flatten(g, dStates), T);
  const dh: Value[] = [];
  let now = arriving[T - 1];
  for (let t = T - 1; ; t--) {
    dh[t] = now;
    if (t === 0) break;
    const direct = add(g, mul(g, kept[t], now), arriving[t - 1]);
    now = gemm(g, mul(g, factors[t], concat(g, [now, now, now], 1)), weights.hidden, direct);
  }
  const dAll = joinSteps(g, dh);
  onStateGradient?.(dAll);

  const dZ = mul(g, aZ, dAll);
  const dR = mul(g, aR, dAll);
  const dN = mul(g, aN, dAll);
  const dNr = mul(g, dN, r);
  const totals = (gates: Value[]) =>
    concat(
      g,
      gates.map((gate) => sum(g, gate, [0])),
      0,
    );
  let dX: Value | null = null;
  for (const [gate, dGate] of [dZ, dR, dN].entries()) dX = gemm(g, dGate, part(weights.input, gate), dX);
  return [
    reshape(g, dX!, x.shape),
    weightGradient(g, [dZ, dR, dN], flatX),
    weightGradient(g, [dZ, dR, dNr], before),
    totals([dZ, dR, dN]),
    totals([dZ, dR, dNr]),
  ];
}
