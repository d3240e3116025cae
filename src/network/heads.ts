/**
 * Computes nine quantiles for every lead from the cell's state. Quantiles never cross: the head outputs a median and
 * positive distances between neighbouring levels, summed up on both sides of the median (cf. Gasthaus et al. 2019,
 * quantile functions as sums of non-negative increments). The same code serves one step and a window: R rows are the
 * streams of a step, or all origins of all windows.
 */
import { Q } from '../quantiles.ts';
import { multiply } from './graph/dims.ts';
import type { Graph, Value } from './graph/graph.ts';
import { add, affine, matmul, mul, positive, reshape, slice, softmax, tanh } from './graph/ops.ts';
import { leadWidth, type NetworkSpec, SPREADS } from './spec.ts';

export type ParameterLookup = (name: string) => Value;
/** h [R, H] times the parameter `weight` [H, n], plus the parameter `bias` [n] if any -> [R, n]; quantised or not. */
export type StateMap = (h: Value, weight: string, bias: string | null) => Value;

/** The map in float32 and differentiable, for windows. */
export function floatMap(g: Graph, parameter: ParameterLookup): StateMap {
  return (h, weight, bias) =>
    bias === null ? matmul(g, h, parameter(weight)) : affine(g, h, parameter(weight), parameter(bias));
}

interface HeadInputs {
  /** [R, H] */
  readonly h: Value;
  /** [R, I] */
  readonly x: Value;
  /** [R, K, 2 E + F], lead head only */
  readonly z: Value | null;
}

/** Applies the head of `spec`; -> [R, K, 9] */
export function applyHead(
  g: Graph,
  spec: NetworkSpec,
  parameter: ParameterLookup,
  map: StateMap,
  inputs: HeadInputs,
): Value {
  if (spec.head.kind === 'direct') return directHead(g, spec.head, parameter, map, inputs);
  if (spec.head.kind === 'lead') return leadHead(g, spec, spec.head, parameter, map, inputs);
  throw new Error('a bare stack has no quantiles');
}

/** All leads at once: medians and distances are linear in h and, with the shortcut, in x. */
function directHead(
  g: Graph,
  { leads, shortcut }: { leads: number; shortcut: boolean },
  parameter: ParameterLookup,
  map: StateMap,
  { h, x }: HeadInputs,
): Value {
  const R = h.shape[0];
  let y = map(h, 'head.weight', 'head.bias');
  if (shortcut) y = affine(g, x, parameter('head.shortcut'), y);
  // medians of all leads come first, then each lead's distances
  const median = reshape(g, slice(g, y, 1, 0, leads), [multiply(R, leads), 1]);
  const spreads = reshape(g, slice(g, y, 1, leads, leads * Q), [multiply(R, leads), SPREADS]);
  return reshape(g, quantiles(g, median, positive(g, spreads)), [R, leads, Q]);
}

/**
 * The same small network for every lead. Its inputs are the state, the step's inputs, and z = [e, p, f] of that lead: forecasts of E
 * experts, the logarithms p of their weights without this network, and F features. It changes the mixture of the
 * experts and corrects the result.
 *   u = tanh(W_c h + W_s x + Z [p, f] + b)    median = softmax(p + V u + b_v) . e + m u + b_m
 */
function leadHead(
  g: Graph,
  spec: NetworkSpec,
  { experts, width }: { experts: number; width: number },
  parameter: ParameterLookup,
  map: StateMap,
  { h, x, z }: HeadInputs,
): Value {
  const [R, K] = z!.shape as [Value['shape'][0], number];
  const rows = multiply(R, K);
  const columns = leadWidth(spec);
  const flat = reshape(g, z!, [rows, columns]);
  const forecasts = slice(g, flat, 1, 0, experts);
  const prior = slice(g, flat, 1, experts, 2 * experts);
  const seen = slice(g, flat, 1, experts, columns);

  const context = affine(g, x, parameter('head.shortcut'), map(h, 'head.context.weight', 'head.bias'));
  const ahead = reshape(g, matmul(g, seen, parameter('head.lead.weight')), [R, K, width]);
  const sum = add(g, ahead, reshape(g, context, [R, 1, width]));
  const u = tanh(g, reshape(g, sum, [rows, width]));

  const from = (name: string, bias: Value) => affine(g, u, parameter(`head.${name}.weight`), bias);
  const share = softmax(g, from('gate', add(g, prior, parameter('head.gate.bias'))));
  // summed by a matrix product: unlike ReduceSum, its order does not depend on the memory position of a row
  const ones = g.constant(new Float32Array(experts).fill(1), [experts, 1]);
  const correction = from('median', parameter('head.median.bias'));
  const median = affine(g, mul(g, share, forecasts), ones, correction);
  const spreads = positive(g, from('spread', parameter('head.spread.bias')));
  return reshape(g, quantiles(g, median, spreads), [R, K, Q]);
}

/** median [rows, 1] and distances [rows, 8] -> levels [rows, 9] */
function quantiles(g: Graph, median: Value, spreads: Value): Value {
  const middle = (Q - 1) / 2;
  const triangle = new Float32Array(SPREADS * Q);
  for (let spread = 0; spread < SPREADS; spread++) {
    for (let level = 0; level < Q; level++) {
      if (spread < middle && level <= spread) triangle[spread * Q + level] = -1;
      if (spread >= middle && level > spread) triangle[spread * Q + level] = 1;
    }
  }
  return affine(g, spreads, g.constant(triangle, [SPREADS, Q]), median);
}
