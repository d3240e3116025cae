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
  split,
  sum,
  tanh,
} from '../graph/ops.ts';
import {
  type CellOps,
  fusedSequence,
  gateRows,
  joinSteps,
  type LayerWeights,
  previousStates,
} from './cell.ts';

export const lstm: CellOps = {
  bounded: true,

  step(g, maps, x, { h, c }) {
    const gate = (index: number) =>
      add(g, maps.input(x, index, index + 1, 'both'), maps.hidden(h, index, index + 1, 'none'));
    const kept = mul(g, sigmoid(g, gate(2)), c!);
    const next = add(g, kept, mul(g, sigmoid(g, gate(0)), tanh(g, gate(3))));
    return { h: mul(g, sigmoid(g, gate(1)), tanh(g, next)), c: next };
  },

  sequence(g, weights, x, h0, c0, onStateGradient) {
    const result = fusedSequence(g, 'LSTM', weights, x, h0, c0!, {});
    const { input, hidden, inputBias, hiddenBias } = weights;
    g.record([x, input, hidden, inputBias, hiddenBias], [result.states], ([dStates]) =>
      backward(g, weights, x, h0, c0!, result.states, dStates!, onStateGradient),
    );
    return result;
  },
};

/** Gates of all steps at once from the states, cell states by their recurrence, then dL/dh and dL/dc step by step. */
function backward(
  g: Graph,
  weights: LayerWeights,
  x: Value,
  h0: Value,
  c0: Value,
  states: Value,
  dStates: Value,
  onStateGradient?: (gradient: Value) => void,
): Value[] {
  const T = x.shape[0] as number;
  const H = weights.hidden.shape[1] as number;
  const flatX = flatten(g, x);
  const before = previousStates(g, states, h0);
  const bias = add(g, weights.inputBias, weights.hiddenBias);
  const gate = (index: number) => {
    const part = (parameter: Value) => gateRows(g, parameter, H, index);
    const recurrent = gemm(g, before, part(weights.hidden), part(bias), { transB: true });
    return gemm(g, flatX, part(weights.input), recurrent, { transB: true });
  };
  const i = sigmoid(g, gate(0));
  const o = sigmoid(g, gate(1));
  const f = sigmoid(g, gate(2));
  const candidate = tanh(g, gate(3));

  // c of every step: an elementwise recurrence
  const forget = split(g, f, T);
  const added = split(g, mul(g, i, candidate), T);
  const first = flatten(g, c0);
  const cells: Value[] = [];
  for (let t = 0; t < T; t++) {
    cells.push(add(g, mul(g, forget[t]!, cells[t - 1] ?? first), added[t]!));
  }
  const shown = tanh(g, joinSteps(g, cells));
  const cellsBefore = joinSteps(g, [first, ...cells.slice(0, -1)]);

  // dc += toCell dh; then the gates before their nonlinearities: di, df, dg = factor dc, do = factor dh
  const slopeOf = (gateValue: Value) => mul(g, gateValue, oneMinus(g, gateValue));
  const toCell = split(g, mul(g, o, oneMinus(g, mul(g, shown, shown))), T);
  const factors = concat(
    g,
    [
      mul(g, candidate, slopeOf(i)),
      mul(g, shown, slopeOf(o)),
      mul(g, cellsBefore, slopeOf(f)),
      mul(g, i, oneMinus(g, mul(g, candidate, candidate))),
    ],
    1,
  );
  const factor = split(g, factors, T);
  const arriving = split(g, flatten(g, dStates), T);
  const dGates: Value[] = [];
  const dh: Value[] = [];
  let now = arriving[T - 1]!;
  let dcLater: Value | null = null;
  for (let t = T - 1; t >= 0; t--) {
    dh[t] = now;
    const fromHere = mul(g, toCell[t]!, now);
    const dc: Value = dcLater ? add(g, fromHere, dcLater) : fromHere;
    dGates[t] = mul(g, factor[t]!, concat(g, [dc, now, dc, dc], 1));
    if (t === 0) break;
    dcLater = mul(g, dc, forget[t]!);
    now = gemm(g, dGates[t]!, weights.hidden, arriving[t - 1]!);
  }
  onStateGradient?.(joinSteps(g, dh));

  const all = joinSteps(g, dGates);
  const dBias = sum(g, all, [0]);
  return [
    reshape(g, gemm(g, all, weights.input, null), x.shape),
    gemm(g, all, flatX, null, { transA: true }),
    gemm(g, all, before, null, { transA: true }),
    dBias,
    dBias,
  ];
}
