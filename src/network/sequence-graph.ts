/**
 * The graph that runs a whole window forward in float32: for evaluation, for replaying history into a state, and for
 * export. T and B are dynamic.
 */
import { Q } from '../quantiles.ts';
import { multiply } from './graph/dims.ts';
import { Graph, type Value } from './graph/graph.ts';
import { flatten, reshape, slice } from './graph/ops.ts';
import { applyHead, floatMap, type ParameterLookup } from './heads.ts';
import { leadWidth, type NetworkSpec, type Rows, stateLayout, stateRows, validateSpec } from './spec.ts';
import { buildWindow } from './stack.ts';
import { checkWeights, type Weights, weightShapes } from './weights.ts';

interface SequenceGraphOptions {
  /** K, leads to forecast at every step; null: states only. A direct head has its own number. */
  readonly leads: number | null;
  /**
   * false: the state is one input `h0` and one output `hT`, [S, B, H]. true: as in PyTorch, `h0` and `hT`
   * [layers, B, H], for an LSTM also `c0` and `cT`; attention has `memory0` and `memoryT`, convolution `past0` and `pastT`.
   */
  readonly splitState: boolean;
}

/**
 * Inputs: `x` [T, B, I], the initial state, `z` [T, B, K, 2 E + F] (lead head with leads), and the weights by name
 * unless given. Outputs: `states` [T, B, H] of the top layer, the last state, and `quantiles` [T, B, K, 9] with leads.
 * @param weights constants of the graph; null makes them inputs
 * @throws GatecastError NETWORK_INVALID, WEIGHTS_INVALID
 */
export function buildSequenceGraph(
  spec: NetworkSpec,
  weights: Weights | null,
  { leads, splitState }: SequenceGraphOptions,
): Uint8Array {
  validateSpec(spec);
  if (weights) checkWeights(spec, weights);
  const g = new Graph();
  const x = g.input('x', ['T', 'B', spec.inputs]);
  const pieces = statePieces(spec, splitState);
  const initial = pieces.map(({ name, from, to }) => g.input(`${name}0`, [to - from, 'B', spec.hidden]));
  const h0 =
    initial.length === 1
      ? initial[0]
      : g.emit('Concat', initial, [stateRows(spec), 'B', spec.hidden], { axis: { int: 0 } });
  const K = spec.head.kind === 'direct' ? spec.head.leads : leads;
  const wanted = leads !== null && spec.head.kind !== 'none' ? K : null;
  const z =
    wanted !== null && spec.head.kind === 'lead' ? g.input('z', ['T', 'B', wanted, leadWidth(spec)]) : null;
  const parameter = parameters(g, spec, weights);

  const window = buildWindow(g, spec, parameter, x, h0);
  g.output('states', window.states);
  for (const { name, from, to } of pieces) g.output(`${name}T`, slice(g, window.last, 0, from, to));
  if (wanted !== null) {
    const rows = multiply('T', 'B');
    const forecast = applyHead(g, spec, parameter, floatMap(g, parameter), {
      h: flatten(g, window.features),
      x: flatten(g, x),
      z: z && reshape(g, z, [rows, wanted, leadWidth(spec)]),
    });
    // two open axes: their sizes are read off x
    const open = g.emit('Shape', [x], [2], { end: { int: 2 } }, 'int64');
    const sizes = g.emit('Concat', [open, g.int64([wanted, Q])], [4], { axis: { int: 0 } }, 'int64');
    g.output('quantiles', g.emit('Reshape', [forecast, sizes], ['T', 'B', wanted, Q]));
  }
  return g.toModel('sequence', `${spec.cell} over a window, float32`);
}

function parameters(g: Graph, spec: NetworkSpec, weights: Weights | null): ParameterLookup {
  const values = new Map<string, Value>();
  for (const [name, shape] of weightShapes(spec))
    values.set(name, weights ? g.constant(weights.get(name)!.data, shape, name) : g.input(name, shape));
  return (name) => values.get(name)!;
}

function statePieces(spec: NetworkSpec, splitState: boolean): ({ name: string } & Rows)[] {
  if (!splitState) return [{ name: 'h', from: 0, to: stateRows(spec) }];
  const { hidden, cell, memory, past } = stateLayout(spec);
  return [
    { name: 'h', ...hidden },
    { name: 'c', ...cell },
    { name: 'memory', ...memory },
    { name: 'past', ...past },
  ].filter(({ from, to }) => to > from);
}
