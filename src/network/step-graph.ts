/**
 * The graph that the agent runs once per bucket: x [N, Itot], h [S, N, H] -> quantiles [N, K, 9], h_next [S, N, H].
 * x holds the step's inputs, then, for a lead head, z of every lead row-major. A bare cell stack outputs its top
 * state `state` [N, H] instead of quantiles.
 */
import { attendStep } from './attention.ts';
import type { StepState } from './cells/cell.ts';
import { CELL_OPS } from './cells/cells.ts';
import { convolveStep } from './convolution.ts';
import { Graph, type Value } from './graph/graph.ts';
import { concat, reshape, slice, split } from './graph/ops.ts';
import { applyHead } from './heads.ts';
import {
  leadWidth,
  type NetworkSpec,
  type Rows,
  stateLayout,
  stateRows,
  stepInputs,
  validateSpec,
} from './spec.ts';
import { createStepMaps } from './step-maps.ts';
import { checkWeights, type Weights } from './weights.ts';

/**
 * @param leads K; a direct head has its own and takes no other
 * @param quantized int8 products with states; otherwise all float32
 * @returns the bytes of the ONNX file
 * @throws GatecastError NETWORK_INVALID, WEIGHTS_INVALID
 */
export function buildStepGraph(
  spec: NetworkSpec,
  weights: Weights,
  { leads, quantized }: { leads: number; quantized: boolean },
): Uint8Array {
  validateSpec(spec);
  checkWeights(spec, weights);
  const g = new Graph();
  const ops = CELL_OPS[spec.cell];
  const H = spec.hidden;
  const K = spec.head.kind === 'direct' ? spec.head.leads : leads;
  const layout = stateLayout(spec);
  const x = g.input('x', ['N', stepInputs(spec, K)]);
  const h = g.input('h', [stateRows(spec), 'N', H]);
  const maps = createStepMaps(g, spec, weights, quantized, ops.bounded);
  const parameter = (name: string): Value => {
    const { shape, data } = weights.get(name)!;
    return g.constant(data, shape, name);
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

  if (spec.head.kind === 'none') g.output('state', top);
  else {
    const ahead = spec.head.kind === 'lead' ? slice(g, x, 1, spec.inputs, stepInputs(spec, K)) : null;
    const z = ahead && reshape(g, ahead, ['N', K, leadWidth(spec)]);
    const inputs = { h: attended?.y ?? top, x: past, z };
    g.output('quantiles', applyHead(g, spec, parameter, maps.state, inputs));
  }
  const asRow = (value: Value) => reshape(g, value, [1, 'N', H]);
  const recurrent = [...next.map((state) => state.h), ...next.flatMap((state) => state.c ?? [])];
  const tail = [attended?.memory, convolved?.past].filter((value) => value !== undefined);
  g.output('h_next', concat(g, [...recurrent.map(asRow), ...tail], 0));
  return g.toModel('step', `${spec.cell} step, ${quantized ? 'int8' : 'float32'}`);
}
