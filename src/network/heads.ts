/**
 * From the cell's state to nine quantiles of every lead. Quantiles never cross: a median, and positive distances
 * between neighbouring levels summed up on both sides of it (as in Gasthaus et al. 2019, "spline quantile functions").
 * The same code serves one step and a window: `...` stands for [N] or [T, B] or any other leading axes.
 */
import type { Graph, Value } from './graph/graph.ts';
import { add, matmul, mul, reshape, slice, softmax, softplus, tanh } from './graph/ops.ts';
import { LEVELS, leadWidth, type NetworkSpec, SPREADS } from './spec.ts';

/** Gives the parameter of that name. */
export type Parameters = (name: string) => Value;
/** h [..., H] times the parameter of that name [H, n] -> [..., n]; quantised or not. */
export type StateMap = (h: Value, name: string) => Value;

/**
 * All leads at once: median and distances are linear in h and, with the shortcut, in x.
 * @param h [..., H]
 * @param x [..., I]
 * @returns [..., K, 9]
 */
export function directHead(
  g: Graph,
  spec: NetworkSpec,
  parameter: Parameters,
  map: StateMap,
  h: Value,
  x: Value,
): Value {
  if (spec.head.kind !== 'direct') throw new Error('not a direct head');
  const { leads, shortcut } = spec.head;
  let y = add(g, map(h, 'head.weight'), parameter('head.bias'));
  if (shortcut) y = add(g, y, matmul(g, x, parameter('head.shortcut')));
  // medians of all leads come first, then each lead's distances
  const lead = h.shape.slice(0, -1);
  const last = lead.length;
  const median = reshape(g, slice(g, y, last, 0, leads), [...lead, leads, 1]);
  const spreads = reshape(g, slice(g, y, last, leads, leads * LEVELS), [...lead, leads, SPREADS]);
  return quantiles(g, median, softplus(g, spreads));
}

/**
 * One small network for every lead: it sees the state, the inputs, and features of that lead, mixes the experts'
 * forecasts and adds a correction. z is [forecasts e, prior log-weights p, features f]; the network bends the prior
 * mixture, so that an untrained one already is that mixture, and does not see the forecasts' raw size.
 *   u = tanh(W_c h + W_s x + Z [p, f] + b)    median = softmax(p + V u + b_v) . e + m u + b_m
 * @param h [..., H]
 * @param x [..., I]
 * @param z [..., K, 2 E + F]
 * @returns [..., K, 9]
 */
export function leadHead(
  g: Graph,
  spec: NetworkSpec,
  parameter: Parameters,
  map: StateMap,
  h: Value,
  x: Value,
  z: Value,
): Value {
  if (spec.head.kind !== 'lead') throw new Error('not a lead head');
  const { experts, width } = spec.head;
  const last = z.shape.length - 1;
  const fromPast = add(g, matmul(g, x, parameter('head.shortcut')), parameter('head.bias'));
  const context = add(g, map(h, 'head.context.weight'), fromPast);
  const perLead = reshape(g, context, [...context.shape.slice(0, -1), 1, width]);
  const seen = slice(g, z, last, experts, leadWidth(spec));
  const u = tanh(g, add(g, matmul(g, seen, parameter('head.lead.weight')), perLead));
  const affine = (name: string) =>
    add(g, matmul(g, u, parameter(`head.${name}.weight`)), parameter(`head.${name}.bias`));
  const share = softmax(g, add(g, affine('gate'), slice(g, z, last, experts, 2 * experts)));
  // summed by a matrix product: unlike ReduceSum its order does not depend on where a row lies in memory
  const ones = g.constant(new Float32Array(experts).fill(1), [experts, 1]);
  const mixture = matmul(g, mul(g, share, slice(g, z, last, 0, experts)), ones);
  return quantiles(g, add(g, mixture, affine('median')), softplus(g, affine('spread')));
}

/** median [..., 1] and distances [..., 8] -> levels [..., 9] */
function quantiles(g: Graph, median: Value, spreads: Value): Value {
  const middle = (LEVELS - 1) / 2;
  const triangle = new Float32Array(SPREADS * LEVELS);
  for (let spread = 0; spread < SPREADS; spread++) {
    for (let level = 0; level < LEVELS; level++) {
      if (spread < middle && level <= spread) triangle[spread * LEVELS + level] = -1;
      if (spread >= middle && level > spread) triangle[spread * LEVELS + level] = 1;
    }
  }
  return add(g, matmul(g, spreads, g.constant(triangle, [SPREADS, LEVELS])), median);
}

/** The head of `spec`, whichever it is; z is only read by a lead head. */
export function applyHead(
  g: Graph,
  spec: NetworkSpec,
  parameter: Parameters,
  map: StateMap,
  h: Value,
  x: Value,
  z: Value | null,
): Value {
  if (spec.head.kind === 'direct') return directHead(g, spec, parameter, map, h, x);
  if (spec.head.kind === 'lead' && z) return leadHead(g, spec, parameter, map, h, x, z);
  throw new Error(`a ${spec.head.kind} head has no quantiles`);
}
