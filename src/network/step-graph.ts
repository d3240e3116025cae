/**
 * The graph that the agent runs once per bucket: x [N, Itot], h [S, N, H] -> quantiles [N, K, 9], h_next [S, N, H].
 * x holds the step's inputs, then, for a lead head, z of every lead row-major. A bare cell stack outputs its top
 * state `state` [N, H] instead of quantiles.
 *
 * An own network, trained on the gateway, may run in the same graph on the same x. Its quantiles are the output
 * `own_quantiles` [N, K, 9], and its state is in the last columns of h, which then has width H + H'.
 */
import { attendStep } from './attention.ts';
import type { StepState } from './cells/cell.ts';
import { CELL_OPS } from './cells/cells.ts';
import { convolveStep } from './convolution.ts';
import { Graph, type Value } from './graph/graph.ts';
import { concat, pad, reshape, slice, split } from './graph/ops.ts';
import { applyHead } from './heads.ts';
import {
  checkPair,
  leadWidth,
  type NetworkSpec,
  type Rows,
  stateLayout,
  stateRows,
  stateSizes,
  stepInputs,
  validateSpec,
} from './spec.ts';
import { createStepMaps } from './step-maps.ts';
import { checkWeights, type Network, OWN_PREFIX, type Weights } from './weights.ts';

export const OWN_OUTPUT = 'own_quantiles';

interface StepGraphOptions {
  /** K; a direct head has its own and takes no other */
  readonly leads: number;
  /** int8 products with states; otherwise all float32 */
  readonly quantized: boolean;
  /** An own network for the same x; both heads must be of kind `lead`. */
  readonly own?: Network | null;
}

/**
 * @returns the bytes of the ONNX file
 * @throws GatecastError NETWORK_INVALID, WEIGHTS_INVALID
 */
export function buildStepGraph(
  spec: NetworkSpec,
  weights: Weights,
  { leads, quantized, own = null }: StepGraphOptions,
): Uint8Array {
  const networks = [{ spec, weights }, ...(own === null ? [] : [own])];
  for (const network of networks) {
    validateSpec(network.spec);
    checkWeights(network.spec, network.weights);
  }
  if (own !== null) checkPair(spec, own.spec);
  const g = new Graph();
  const K = spec.head.kind === 'direct' ? spec.head.leads : leads;
  const { stateRows: S, hidden: H } = stateSizes(spec, own?.spec);
  const x = g.input('x', ['N', stepInputs(spec, K)]);
  const h = g.input('h', [S, 'N', H]);
  let from = 0;
  const next = networks.map((network, i) => {
    const to = from + network.spec.hidden;
    const rows = stateRows(network.spec);
    const state = slice(g, slice(g, h, 2, from, to), 0, 0, rows);
    from = to;
    const { output, next } = step(g, network, i === 0 ? '' : OWN_PREFIX, x, state, K, quantized);
    if (i > 0) g.output(OWN_OUTPUT, output);
    else g.output(spec.head.kind === 'none' ? 'state' : 'quantiles', output);
    return pad(g, next, 0, 0, S - rows);
  });
  g.output('h_next', concat(g, next, 2));
  return g.toModel('step', `${spec.cell} step, ${quantized ? 'int8' : 'float32'}`);
}

/** One network: forecasts [N, K, 9], or the top state [N, H] of a bare stack, and the state after the step [S, N, H]. */
function step(
  g: Graph,
  { spec, weights }: Network,
  prefix: string,
  x: Value,
  h: Value,
  K: number,
  quantized: boolean,
): { output: Value; next: Value } {
  const ops = CELL_OPS[spec.cell];
  const H = spec.hidden;
  const layout = stateLayout(spec);
  const maps = createStepMaps(g, spec, weights, quantized, ops.bounded);
  const parameter = (name: string): Value => {
    const { shape, data } = weights.get(name)!;
    return g.constant(data, shape, `${prefix}${name}`);
  };

  const past = slice(g, x, 1, 0, spec.inputs);
  const rows = ({ from, to }: Rows) => slice(g, h, 0, from, to);
  const states = (range: Rows) =>
    range.from === range.to
      ? []
      : split(g, rows(range), range.to - range.from).map((row) => reshape(g, row, ['N', H]));

  const convolved = spec.convolution ? convolveStep(g, spec, parameter, past, rows(layout.past)) : null;
  const hidden = states(layout.hidden);
  const cell = states(layout.cell);
  const next: StepState[] = [];
  let top = convolved?.y ?? past;
  for (let layer = 0; layer < spec.layers; layer++) {
    const state = { h: hidden[layer], c: cell[layer] ?? null };
    next.push(ops.step(g, maps.layer(layer), top, state));
    top = next[layer].h;
  }
  const attended = spec.attention
    ? attendStep(g, spec, parameter, maps.state, top, rows(layout.memory))
    : null;

  let output = top;
  if (spec.head.kind !== 'none') {
    const ahead = spec.head.kind === 'lead' ? slice(g, x, 1, spec.inputs, stepInputs(spec, K)) : null;
    const z = ahead && reshape(g, ahead, ['N', K, leadWidth(spec)]);
    const inputs = { h: attended?.y ?? top, x: past, z };
    output = applyHead(g, spec, parameter, maps.state, inputs);
  }
  const asRow = (value: Value) => reshape(g, value, [1, 'N', H]);
  const recurrent = [...next.map((state) => state.h), ...next.flatMap((state) => state.c ?? [])];
  const tail = [attended?.memory, convolved?.past].filter((value) => value !== undefined);
  return { output, next: concat(g, [...recurrent.map(asRow), ...tail], 0) };
}
