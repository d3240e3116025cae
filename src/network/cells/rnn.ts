/**
 * Vanilla recurrent network: h' = f(W x + b_W + R h + b_R), f = tanh or relu. Elman 1990.
 */
import type { Graph, Value } from '../graph/graph.ts';
import { add, flatten, gemm, mul, oneMinus, relu, reshape, sign, split, sum, tanh } from '../graph/ops.ts';
import { type CellOps, joinSteps, previousStates, weightGradient } from './cell.ts';

interface Activation {
  readonly name: 'Tanh' | 'Relu';
  readonly apply: (g: Graph, x: Value) => Value;
  /** df/dx from y = f(x). */
  readonly slope: (g: Graph, y: Value) => Value;
}

function vanilla(activation: Activation, bounded: boolean): CellOps {
  return {
    pytorchOrder: [0],
    hasCellState: false,
    keepGate: null,
    bounded,

    step(g, maps, x, { h }) {
      const sumOfBoth = add(g, maps.input(x, 0, 1, 'both'), maps.hidden(h, 0, 1, 'none'));
      return { h: activation.apply(g, sumOfBoth), c: null };
    },

    fused: { op: 'RNN', attributes: { activations: { strings: [activation.name] } } },

    backward(g, { weights, x, h0, states }, dStates, onStateGradient) {
      const { input, hidden } = weights;
      const T = x.shape[0] as number;
      const slopes = split(g, activation.slope(g, flatten(g, states)), T);
      const arriving = split(g, flatten(g, dStates), T);
      // dA = f' dh before the nonlinearity; dh of the previous step = dA R + its own gradient
      const dA: Value[] = [];
      const dh: Value[] = [arriving[T - 1]];
      for (let t = T - 1; t >= 0; t--) {
        dA[t] = mul(g, slopes[t], dh[0]);
        if (t > 0) dh.unshift(gemm(g, dA[t], hidden, arriving[t - 1]));
      }
      onStateGradient?.(joinSteps(g, dh));
      const all = joinSteps(g, dA);
      const bias = sum(g, all, [0]);
      return [
        reshape(g, gemm(g, all, input, null), x.shape),
        weightGradient(g, [all], flatten(g, x)),
        weightGradient(g, [all], previousStates(g, states, h0)),
        bias,
        bias,
      ];
    },
  };
}

export const rnnTanh = vanilla(
  { name: 'Tanh', apply: tanh, slope: (g, y) => oneMinus(g, mul(g, y, y)) },
  true,
);
export const rnnRelu = vanilla({ name: 'Relu', apply: relu, slope: (g, y) => sign(g, y) }, false);
