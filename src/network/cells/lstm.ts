/**
 * Long short-term memory with input, output and forget gates and a cell state:
 *   i, o, f = sigmoid(W x + R h + b)    g = tanh(W_g x + R_g h + b_g)
 *   c' = f c + i g                      h' = o tanh(c')
 * Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000. Gates in the order i, o, f, g (ONNX).
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
  tanh,
} from '../graph/ops.ts';
import {
  type CellOps,
  type CellWindow,
  gateRows,
  joinSteps,
  onesColumn,
  previousStates,
  weightGradient,
} from './cell.ts';

export const lstm: CellOps = {
  pytorchOrder: [0, 3, 1, 2],
  hasCellState: true,
  keepGate: 2,
  bounded: true,

  step(g, maps, x, { h, c }) {
    const gate = (index: number) =>
      add(g, maps.input(x, index, index + 1, 'both'), maps.hidden(h, index, index + 1, 'none'));
    const kept = mul(g, sigmoid(g, gate(2)), c!);
    const next = add(g, kept, mul(g, sigmoid(g, gate(0)), tanh(g, gate(3))));
    return { h: mul(g, sigmoid(g, gate(1)), tanh(g, next)), c: next };
  },

  fused: { op: 'LSTM', attributes: {} },
  backward,
};

/** Computes the gates of all steps at once from the states, cell states by their recurrence, then dL/dh and dL/dc step by step. */
function backward(
  g: Graph,
  { weights, x, h0, c0, states }: CellWindow,
  dStates: Value,
  onStateGradient?: (gradient: Value) => void,
): Value[] {
  const T = x.shape[0] as number;
  const H = weights.hidden.shape[1] as number;
  const columns = H + (x.shape[2] as number) + 1;
  // the inputs of all gates and their weights, joined: one product instead of three
  const read = concat(g, [previousStates(g, states, h0), flatten(g, x), onesColumn(g, flatten(g, x))], 1);
  const bias = reshape(g, add(g, weights.inputBias, weights.hiddenBias), [4 * H, 1]);
  const joined = concat(g, [weights.hidden, weights.input, bias], 1);
  const gate = (index: number) => gemm(g, read, gateRows(g, joined, H, index), null, { transB: true });
  const i = sigmoid(g, gate(0));
  const o = sigmoid(g, gate(1));
  const f = sigmoid(g, gate(2));
  const candidate = tanh(g, gate(3));

  // c of every step: an elementwise recurrence
  const forget = split(g, f, T);
  const entering = mul(g, i, candidate);
  const added = split(g, entering, T);
  const cells: Value[] = [];
  for (let t = 0; t < T; t++) {
    cells.push(add(g, mul(g, forget[t], cells[t - 1] ?? flatten(g, c0!)), added[t]));
  }
  const c = joinSteps(g, cells);
  const shown = tanh(g, c);
  const h = flatten(g, states);

  // dc += toCell dh; then the gates before their nonlinearities: di, df, dg = factor dc, do = factor dh.
  // i g, f c_before and o tanh(c) are already available as `entering`, c - entering and h.
  const toCell = split(g, sub(g, o, mul(g, h, shown)), T);
  const factors = concat(
    g,
    [
      mul(g, entering, oneMinus(g, i)),
      mul(g, h, oneMinus(g, o)),
      mul(g, sub(g, c, entering), oneMinus(g, f)),
      sub(g, i, mul(g, entering, candidate)),
    ],
    1,
  );
  const factor = split(g, factors, T);
  const arriving = split(g, flatten(g, dStates), T);
  const dGates: Value[] = [];
  const dh: Value[] = [];
  let now = arriving[T - 1];
  let dcLater: Value | null = null;
  for (let t = T - 1; t >= 0; t--) {
    dh[t] = now;
    const fromHere = mul(g, toCell[t], now);
    const dc: Value = dcLater ? add(g, fromHere, dcLater) : fromHere;
    dGates[t] = mul(g, factor[t], concat(g, [dc, now, dc, dc], 1));
    if (t === 0) break;
    dcLater = mul(g, dc, forget[t]);
    now = gemm(g, dGates[t], weights.hidden, arriving[t - 1]);
  }
  onStateGradient?.(joinSteps(g, dh));

  const all = joinSteps(g, dGates);
  const dJoined = weightGradient(g, [all], read);
  const dBias = reshape(g, slice(g, dJoined, 1, columns - 1, columns), [4 * H]);
  return [
    reshape(g, gemm(g, all, weights.input, null), x.shape),
    slice(g, dJoined, 1, H, columns - 1),
    slice(g, dJoined, 1, 0, H),
    dBias,
    dBias,
  ];
}
