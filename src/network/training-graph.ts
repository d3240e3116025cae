/**
 * The graph of one training step: forward, masked pinball loss, and the gradient of every weight. Weights are inputs
 * under their own names; the optimiser updates them outside the graph.
 */
import { GatecastError } from '../errors.ts';
import { Q, QUANTILES } from '../quantiles.ts';
import { gradients } from './graph/autodiff.ts';
import { multiply } from './graph/dims.ts';
import { Graph, type Value } from './graph/graph.ts';
import { affine, div, flatten, matmul, mul, negate, relu, reshape, slice, sum } from './graph/ops.ts';
import { applyHead, floatMap } from './heads.ts';
import { leadWidth, type NetworkSpec, stateRows, validateSpec } from './spec.ts';
import { buildWindow } from './stack.ts';
import { weightShapes } from './weights.ts';

export interface TrainingGraphOptions {
  /** T, steps of a window. */
  readonly steps: number;
  /** Forecasts are made at steps stride - 1, 2 stride - 1, ...; P = T / stride of them. */
  readonly originStride: number;
  /** M, leads scored at each origin; a direct head scores all of its own. */
  readonly leads: number;
  /** Adds the output `state_gradient_norms` [layers, T]: Euclidean norm of dLoss/dh by step, over the batch. */
  readonly diagnose?: boolean;
  /** Adds the output `losses` [P, B, M]: the contribution of each target to the numerator of the loss. */
  readonly losses?: boolean;
}

/**
 * Inputs: every weight by name; `x` [T, B, I]; `h0` [S, B, H]; `z` [P, B, M, 2 E + F] (lead head); `target` [P, B, M];
 * `weight` [P, B, M], 0 where nothing was observed; `mask.1` ... [1, B, H] under each upper layer when dropout > 0.
 * Outputs: `loss` []; `gradient.<weight>`; `hT` [S, B, H] to carry on from.
 * loss = sum(weight * mean over levels of 2 pinball) / sum(weight): the mean weighted quantile loss, 0 without targets.
 * @throws GatecastError NETWORK_INVALID
 */
export function buildTrainingGraph(spec: NetworkSpec, options: TrainingGraphOptions): Uint8Array {
  validateSpec(spec);
  const { steps: T, originStride } = options;
  checkOptions(spec, options);
  const g = new Graph();
  const H = spec.hidden;
  const M = spec.head.kind === 'direct' ? spec.head.leads : options.leads;
  const P = T / originStride;

  const parameters = new Map<string, Value>();
  for (const [name, shape] of weightShapes(spec)) parameters.set(name, g.input(name, shape));
  const parameter = (name: string) => parameters.get(name)!;
  const x = g.input('x', [T, 'B', spec.inputs]);
  const h0 = g.input('h0', [stateRows(spec), 'B', H]);
  const z = spec.head.kind === 'lead' ? g.input('z', [P, 'B', M, leadWidth(spec)]) : null;
  const target = g.input('target', [P, 'B', M]);
  const weight = g.input('weight', [P, 'B', M]);
  const masks: Value[] = [];
  if (spec.dropout > 0) {
    for (let layer = 1; layer < spec.layers; layer++) masks.push(g.input(`mask.${layer}`, [1, 'B', H]));
  }

  const stateGradients: Value[] = [];
  const window = buildWindow(g, spec, parameter, x, h0, masks, (layer, gradient) => {
    stateGradients[layer] = gradient;
  });
  // rows of the head: origins of all windows, [P * B, ...]
  const atOrigins = (value: Value) => {
    const grouped = reshape(g, value, [P, originStride, ...value.shape.slice(1)]);
    const last = slice(g, grouped, 1, originStride - 1, originStride);
    return reshape(g, last, [rows, value.shape.at(-1)!]);
  };
  const rows = multiply(P, 'B');
  const forecast = applyHead(g, spec, parameter, floatMap(g, parameter), {
    h: atOrigins(window.features),
    x: atOrigins(x),
    z: z && reshape(g, z, [rows, M, leadWidth(spec)]),
  });
  const byRow = (value: Value) => reshape(g, value, [rows, M]);
  const { loss, losses } = pinballLoss(g, forecast, byRow(target), byRow(weight));
  const names = [...parameters.keys()];
  const slopes = gradients(g, loss, [...parameters.values()]);

  g.output('loss', loss);
  for (const [index, slope] of slopes.entries()) g.output(`gradient.${names[index]}`, slope);
  g.output('hT', window.last);
  if (options.losses) g.output('losses', reshape(g, losses, [P, 'B', M]));
  if (options.diagnose) {
    const norms = stateGradients.map((gradient) => {
      const byStep = reshape(g, gradient, [T, multiply('B', H)]);
      const norm = g.emit('ReduceL2', [byStep, g.int64([1])], [T], { keepdims: { int: 0 } });
      return reshape(g, norm, [1, T]);
    });
    const joined = g.emit('Concat', norms, [spec.layers, T], { axis: { int: 0 } });
    g.output('state_gradient_norms', joined);
  }
  return g.toModel('training', `${spec.cell} training step over ${T} steps`);
}

/**
 * forecast [R, M, 9], target and weight [R, M] -> loss [] and its summands [R * M, 1]. Written in matrix products: repeating a number over nine levels by
 * broadcasting costs several times as much.
 */
function pinballLoss(
  g: Graph,
  forecast: Value,
  target: Value,
  weight: Value,
): { loss: Value; losses: Value } {
  const levels = Float32Array.from(QUANTILES);
  const minusOnes = Float32Array.from({ length: Q ** 2 }, (_, at) => (at % (Q + 1) === 0 ? -1 : 0));
  const ones = new Float32Array(Q).fill(1);
  const column = (value: Value) => reshape(g, value, [multiply(...value.shape), 1]);
  const error = affine(g, flatten(g, forecast), g.constant(minusOnes, [Q, Q]), column(target));
  // max(q e, (q - 1) e) = q e + max(-e, 0), summed over the levels q
  const below = matmul(g, relu(g, negate(g, error)), g.constant(ones, [Q, 1]));
  const pinball = affine(g, error, g.constant(levels, [Q, 1]), below);
  const observed = g.emit('Max', [sum(g, weight), g.scalar(1e-6)], []);
  const weighted = mul(g, pinball, column(weight));
  const double = g.scalar(2 / Q);
  return { loss: div(g, mul(g, sum(g, weighted), double), observed), losses: mul(g, weighted, double) };
}

function checkOptions(spec: NetworkSpec, { steps, originStride, leads }: TrainingGraphOptions): void {
  const wrong = (path: string, message: string) => {
    throw new GatecastError('NETWORK_INVALID', `The training graph cannot be built: ${path} ${message}.`, {
      issues: [{ path, message }],
    });
  };
  if (spec.head.kind === 'none') wrong('head', 'must forecast something to be trained');
  if (!Number.isInteger(steps) || steps < 1) wrong('steps', `must be a positive whole number, is ${steps}`);
  if (!Number.isInteger(originStride) || originStride < 1 || steps % originStride !== 0) {
    wrong('originStride', `must divide the ${steps} steps, is ${originStride}`);
  }
  if (!Number.isInteger(leads) || leads < 1) wrong('leads', `must be a positive whole number, is ${leads}`);
}
