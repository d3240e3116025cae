/**
 * The graph the agent runs once per sample: x [N, Itot], h [S, N, H] -> quantiles [N, K, 9], h_next [S, N, H].
 * x holds the step's inputs, then, for a lead head, z of every lead row-major. A bare cell stack gives its top state
 * `state` [N, H] instead of quantiles.
 */
import { CELL_OPS } from './cells/cells.ts';
import { Graph, type Value } from './graph/graph.ts';
import { concat, reshape, slice, split } from './graph/ops.ts';
import { applyHead } from './heads.ts';
import { leadWidth, type NetworkSpec, stateLayout, stateRows, stepInputs, validateSpec } from './spec.ts';
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
  const ops = CELL_OPS[spec.cell]!;
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

  const rows = split(g, h, stateRows(spec)).map((row) => reshape(g, row, ['N', H]));
  const past = slice(g, x, 1, 0, spec.inputs);
  const nextHidden: Value[] = [];
  const nextCell: Value[] = [];
  let below = past;
  for (let layer = 0; layer < spec.layers; layer++) {
    const state = { h: rows[layout.hidden.from + layer]!, c: rows[layout.cell.from + layer] ?? null };
    const next = ops.step(g, maps.layer(layer), below, state);
    nextHidden.push(next.h);
    if (next.c) nextCell.push(next.c);
    below = next.h;
  }
  if (spec.head.kind === 'none') g.output('state', below);
  else {
    const z =
      spec.head.kind === 'lead'
        ? reshape(g, slice(g, x, 1, spec.inputs, stepInputs(spec, K)), ['N', K, leadWidth(spec)])
        : null;
    g.output('quantiles', applyHead(g, spec, parameter, maps.state, { h: below, x: past, z }));
  }
  const next = [...nextHidden, ...nextCell].map((row) => reshape(g, row, [1, 'N', H]));
  g.output('h_next', concat(g, next, 0));
  return g.toModel('step', `${spec.cell} step, ${quantized ? 'int8' : 'float32'}`);
}
