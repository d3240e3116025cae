/**
 * What every recurrent cell provides: one step written out in elementary operations (for the step graph), and a whole
 * window through the runtime's fused operator, with its gradients (for the sequence and training graphs).
 * Symbols: B rows, T steps, I inputs, H hidden, G gates; x input, h hidden state, c cell state.
 */
import { multiply, type Shape } from '../graph/dims.ts';
import type { Graph, Value } from '../graph/graph.ts';
import { concat, flatten, gemm, reshape, slice, transpose } from '../graph/ops.ts';

export interface LayerWeights {
  /** W [G * H, I] */
  readonly input: Value;
  /** R [G * H, H] */
  readonly hidden: Value;
  /** [G * H] */
  readonly inputBias: Value;
  /** [G * H] */
  readonly hiddenBias: Value;
}

/**
 * Affine maps of one layer, gates `from` to `to`, float or quantised: x W'^T + b, h R'^T + b -> [N, (to - from) * H].
 * @param bias input: the sum of both biases where a gate needs no distinction, else the input's or the hidden one
 */
export interface LayerMaps {
  input(x: Value, from: number, to: number, bias: 'input' | 'both'): Value;
  /** Without a bias if `bias` is 'none'. */
  hidden(h: Value, from: number, to: number, bias: 'hidden' | 'none'): Value;
}

export interface StepState {
  /** [N, H] */
  readonly h: Value;
  /** [N, H]; LSTM only */
  readonly c: Value | null;
}

interface SequenceResult {
  /** [T, B, H] */
  readonly states: Value;
  /** [1, B, H] */
  readonly h: Value;
  /** [1, B, H]; LSTM only */
  readonly c: Value | null;
}

export interface CellOps {
  /**
   * For each gate, including the candidate, in ONNX order: its position in PyTorch (docs.pytorch.org,
   * torch.nn.GRU and torch.nn.LSTM, "Variables"). Its length is the number of gates, G.
   */
  readonly pytorchOrder: readonly number[];
  /** Whether the cell has a cell state in addition to the hidden state. */
  readonly hasCellState: boolean;
  /** The gate whose bias is initialised to 1, so that the state is kept at first (Jozefowicz 2015); null: none. */
  readonly keepGate: number | null;
  /** Whether |h| <= 1 always, so that h can be quantised with a fixed scale. */
  readonly bounded: boolean;
  step(g: Graph, maps: LayerMaps, x: Value, state: StepState): StepState;
  /** The runtime's operator that runs a whole window of this cell. */
  readonly fused: { readonly op: 'RNN' | 'GRU' | 'LSTM'; readonly attributes: Parameters<Graph['emit']>[3] };
  /**
   * Gradients of x, W, R, b_W and b_R from dLoss/dstates [T, B, H]. None flows into h0 and c0, nor from the last state:
   * back-propagation is truncated at the ends of the window.
   * @param onStateGradient receives dLoss/dh [T * B, H]
   */
  backward(
    g: Graph,
    window: CellWindow,
    dStates: Value,
    onStateGradient: ((gradient: Value) => void) | undefined,
  ): Value[];
}

/** One layer over a whole window. */
export interface CellWindow {
  readonly weights: LayerWeights;
  /** [T, B, I] */
  readonly x: Value;
  /** [1, B, H] */
  readonly h0: Value;
  /** [1, B, H]; LSTM only */
  readonly c0: Value | null;
  /** [T, B, H] */
  readonly states: Value;
}

/** Rows of gates `from` to `to` of a layer parameter, [(to - from) * H, ...]. */
export function gateRows(g: Graph, parameter: Value, hidden: number, from: number, to = from + 1): Value {
  return slice(g, parameter, 0, from * hidden, to * hidden);
}

/** Runs a cell over a window with the runtime's fused operator, and records its gradients. */
export function runWindow(
  g: Graph,
  cell: CellOps,
  { weights, x, h0, c0 }: Omit<CellWindow, 'states'>,
  onStateGradient?: (gradient: Value) => void,
): SequenceResult {
  const { input, hidden, inputBias, hiddenBias } = weights;
  const [T, B] = x.shape as [Shape[0], Shape[0]];
  const H = hidden.shape[1];
  const oneDirection = (value: Value) => reshape(g, value, [1, ...value.shape]);
  const bias = oneDirection(concat(g, [inputBias, hiddenBias], 0));
  const inputs = [x, oneDirection(input), oneDirection(hidden), bias, null, h0];
  const outputs: { shape: Shape }[] = [{ shape: [T, 1, B, H] }, { shape: [1, B, H] }];
  if (c0) {
    inputs.push(c0);
    outputs.push({ shape: [1, B, H] });
  }
  const { op, attributes } = cell.fused;
  const [y, h, c] = g.emitAll(op, inputs, outputs, { hidden_size: { int: H as number }, ...attributes });
  // squeezing the axis of directions; Squeeze also works where T and B are open
  const states = g.emit('Squeeze', [y, g.int64([1])], [T, B, H]);
  g.record([x, input, hidden, inputBias, hiddenBias], [states], ([dStates]) =>
    cell.backward(g, { weights, x, h0, c0, states }, dStates!, onStateGradient),
  );
  return { states, h, c: c ?? null };
}

/** Initial state of each step: h0, then all states but the last; [T * B, H]. */
export function previousStates(g: Graph, states: Value, h0: Value): Value {
  const T = states.shape[0] as number;
  return flatten(g, T === 1 ? h0 : concat(g, [h0, slice(g, states, 0, 0, T - 1)], 0));
}

/** The steps of a window, each [B, n], as one value [T * B, n]. */
export function joinSteps(g: Graph, parts: readonly Value[]): Value {
  const [B, n] = parts[0].shape;
  return g.emit('Concat', parts, [multiply(parts.length, B), n], { axis: { int: 0 } });
}

/** A column of ones, [rows of x, 1], so that the bias can be a column of the weights. */
export function onesColumn(g: Graph, x: Value): Value {
  const rows = g.emit('Shape', [x], [1], { end: { int: 1 } }, 'int64');
  const size = g.emit('Concat', [rows, g.int64([1])], [2], { axis: { int: 0 } }, 'int64');
  return g.emit('Expand', [g.scalar(1), size], [x.shape[0], 1]);
}

/**
 * Gradient of the weights of several gates with the same input: gates k x [rows, H], read [rows, n] -> [k * H, n].
 * Transposing the left factor of a product is expensive, so the narrower matrix is the left factor.
 */
export function weightGradient(g: Graph, gates: readonly Value[], read: Value): Value {
  const width = (value: Value) => value.shape[1] as number;
  const parts = gates.map((gate) =>
    width(gate) > width(read)
      ? transpose(g, gemm(g, read, gate, null, { transA: true }))
      : gemm(g, gate, read, null, { transA: true }),
  );
  return concat(g, parts, 0);
}
