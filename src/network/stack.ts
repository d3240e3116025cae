/**
 * Runs a whole window through the network: convolution, layers of cells, attention, with state in and state out.
 * Shared by the sequence graph and the training graph.
 */
import { attendWindow } from './attention.ts';
import { type LayerWeights, runWindow } from './cells/cell.ts';
import { CELL_OPS } from './cells/cells.ts';
import { convolveWindow } from './convolution.ts';
import type { Graph, Value } from './graph/graph.ts';
import { concat, mul, slice } from './graph/ops.ts';
import type { ParameterLookup } from './heads.ts';
import { type NetworkSpec, type Rows, stateLayout } from './spec.ts';

interface Window {
  /** States of the top layer, [T, B, H]. */
  readonly states: Value;
  /** Input of the head, [T, B, H]. */
  readonly features: Value;
  /** State after the window, [S, B, H]. */
  readonly last: Value;
}

/**
 * @param x [T, B, I]
 * @param h0 [S, B, H]
 * @param masks between the layers, [1, B, H] each: 0 or 1 / (1 - dropout); the same at every step (Gal and
 *   Ghahramani 2016, arXiv:1512.05287). None: no dropout.
 * @param onStateGradient receives dLoss/dh [T * B, H] of each layer, once gradients have been built
 */
export function buildWindow(
  g: Graph,
  spec: NetworkSpec,
  parameter: ParameterLookup,
  x: Value,
  h0: Value,
  masks: readonly Value[] = [],
  onStateGradient?: (layer: number, gradient: Value) => void,
): Window {
  const ops = CELL_OPS[spec.cell];
  const layout = stateLayout(spec);
  const rows = ({ from, to }: Rows) => slice(g, h0, 0, from, to);
  const row = (index: number) => rows({ from: index, to: index + 1 });
  const convolved = spec.convolution ? convolveWindow(g, spec, parameter, x, rows(layout.past)) : null;
  const lastHidden: Value[] = [];
  const lastCell: Value[] = [];
  let states = convolved?.y ?? x;
  for (let layer = 0; layer < spec.layers; layer++) {
    const of = (name: string) => parameter(`layers.${layer}.${name}`);
    const weights: LayerWeights = {
      input: of('input.weight'),
      hidden: of('hidden.weight'),
      inputBias: of('input.bias'),
      hiddenBias: of('hidden.bias'),
    };
    const c0 = ops.hasCellState ? row(layout.cell.from + layer) : null;
    const mask = layer > 0 ? masks[layer - 1] : undefined;
    const x = mask ? mul(g, states, mask) : states;
    const result = runWindow(
      g,
      ops,
      { weights, x, h0: row(layout.hidden.from + layer), c0 },
      onStateGradient && ((gradient) => onStateGradient(layer, gradient)),
    );
    states = result.states;
    lastHidden.push(result.h);
    if (result.c) lastCell.push(result.c);
  }
  const attended = spec.attention ? attendWindow(g, spec, parameter, states, rows(layout.memory)) : null;
  const tail = [attended?.memory, convolved?.past].filter((value) => value !== undefined);
  return {
    states,
    features: attended?.y ?? states,
    last: concat(g, [...lastHidden, ...lastCell, ...tail], 0),
  };
}
