/**
 * Gated recurrent units, in two forms:
 *   z = sigmoid(W_z x + R_z h + b_z)    r = sigmoid(W_r x + R_r h + b_r)    h' = (1 - z) n + z h
 *   gru               n = tanh(W_n x + b_Wn + r (R_n h + b_Rn))    reset gate after the recurrent product
 *   gruResetBefore    n = tanh(W_n x + R_n (r h) + b_n)            reset gate before it
 * The first is PyTorch's and cuDNN's form (Appleyard et al. 2016, arXiv:1604.01946; ONNX linear_before_reset = 1), the second that of
 * Cho et al. 2014, arXiv:1406.1078 (linear_before_reset = 0). Gates in the order z, r, n.
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
  type LayerMaps,
  previousStates,
  weightGradient,
} from './cell.ts';

const BOTH = { pytorchOrder: [1, 0, 2], hasCellState: false, keepGate: 0, bounded: true } as const;

/** The update gate (0) or the reset gate (1) of one step. */
const gateOf = (g: Graph, maps: LayerMaps, gate: 0 | 1, x: Value, h: Value): Value =>
  sigmoid(g, add(g, maps.input(x, gate, gate + 1, 'both'), maps.hidden(h, gate, gate + 1, 'none')));

/** (1 - z) n + z h, with one multiplication fewer. */
const mixed = (g: Graph, z: Value, n: Value, h: Value): Value => add(g, n, mul(g, z, sub(g, h, n)));

export const gru: CellOps = {
  ...BOTH,

  step(g, maps, x, { h }) {
    const z = gateOf(g, maps, 0, x, h);
    const r = gateOf(g, maps, 1, x, h);
    const n = tanh(g, add(g, maps.input(x, 2, 3, 'input'), mul(g, r, maps.hidden(h, 2, 3, 'hidden'))));
    return { h: mixed(g, z, n, h), c: null };
  },

  fused: { op: 'GRU', attributes: { linear_before_reset: { int: 1 } } },
  backward: backwardAfter,
};

export const gruResetBefore: CellOps = {
  ...BOTH,

  step(g, maps, x, { h }) {
    const z = gateOf(g, maps, 0, x, h);
    const r = gateOf(g, maps, 1, x, h);
    const n = tanh(g, add(g, maps.input(x, 2, 3, 'both'), maps.hidden(mul(g, r, h), 2, 3, 'none')));
    return { h: mixed(g, z, n, h), c: null };
  },

  fused: { op: 'GRU', attributes: { linear_before_reset: { int: 0 } } },
  backward: backwardBefore,
};

/** The gates of all steps at once, from the states. */
function gatesOf(g: Graph, { weights, x, h0, states }: CellWindow) {
  const H = weights.hidden.shape[1] as number;
  const flatX = flatten(g, x);
  const before = previousStates(g, states, h0);
  const bias = add(g, weights.inputBias, weights.hiddenBias);
  const part = (parameter: Value, gate: number) => gateRows(g, parameter, H, gate);
  const affine = (from: Value, weight: Value, gate: number, c: Value) =>
    gemm(g, from, part(weight, gate), c, { transB: true });
  /** A gate before its nonlinearity. */
  const gate = (index: number, from: Value) =>
    affine(flatX, weights.input, index, affine(from, weights.hidden, index, part(bias, index)));
  return {
    T: x.shape[0] as number,
    H,
    flatX,
    before,
    part,
    affine,
    gate,
    z: sigmoid(g, gate(0, before)),
    r: sigmoid(g, gate(1, before)),
  };
}

/** Factors of dh before the nonlinearities: dn = aN dh, dz = aZ dh. */
function factorsOf(g: Graph, z: Value, n: Value, before: Value): { aN: Value; aZ: Value } {
  const keep = oneMinus(g, z);
  const aN = mul(g, keep, oneMinus(g, mul(g, n, n)));
  return { aN, aZ: mul(g, sub(g, before, n), mul(g, z, keep)) };
}

/** Computes dL/dh step by step, then the gradient of each weight in one product. */
function backwardAfter(
  g: Graph,
  window: CellWindow,
  dStates: Value,
  onStateGradient?: (gradient: Value) => void,
): Value[] {
  const { weights, x } = window;
  const { T, flatX, before, part, affine, z, r } = gatesOf(g, window);
  const gated = mul(g, r, affine(before, weights.hidden, 2, part(weights.hiddenBias, 2)));
  const n = tanh(g, add(g, affine(flatX, weights.input, 2, part(weights.inputBias, 2)), gated));

  const { aN, aZ } = factorsOf(g, z, n, before);
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

/** As above, but the candidate's gradient passes through the reset gate to the state: two products per step. */
function backwardBefore(
  g: Graph,
  window: CellWindow,
  dStates: Value,
  onStateGradient?: (gradient: Value) => void,
): Value[] {
  const { weights, x } = window;
  const { T, H, flatX, before, gate, z, r } = gatesOf(g, window);
  const reset = mul(g, r, before);
  const n = tanh(g, gate(2, reset));

  // with v = dn R_n (the gradient of r h): dr = aR v
  const { aN, aZ } = factorsOf(g, z, n, before);
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
