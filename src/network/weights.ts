/**
 * The parameters of a network: names, shapes, initial values. Matrices of the cell are [G * H, in] as in ONNX and
 * PyTorch, gates in ONNX' order (GRU: z r n, LSTM: i o f c); all others are [in, out].
 */
import { GatecastError, type Issue, issuesText } from '../errors.ts';
import { Q } from '../quantiles.ts';
import { CELL_OPS, gatesOf } from './cells/cells.ts';
import type { Random } from './random.ts';
import { cellInputs, leadWidth, type NetworkSpec, SPREADS } from './spec.ts';

export interface Tensor {
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: Float32Array;
}
export type Weights = ReadonlyMap<string, Tensor>;

export interface Network {
  readonly spec: NetworkSpec;
  readonly weights: Weights;
}

/** Prefix of the own network's tensors in a file with two networks. */
export const OWN_PREFIX = 'own.';

/** Tensors of a base network and an own network for one file. */
export function joinWeights(weights: Weights, own: Weights): Weights {
  return new Map([...weights, ...[...own].map(([name, one]) => [`${OWN_PREFIX}${name}`, one] as const)]);
}

/** The reverse of `together`. */
export function splitWeights(all: Weights): { readonly weights: Weights; readonly own: Weights } {
  const weights = new Map<string, Tensor>();
  const own = new Map<string, Tensor>();
  for (const [name, tensor] of all) {
    if (name.startsWith(OWN_PREFIX)) own.set(name.slice(OWN_PREFIX.length), tensor);
    else weights.set(name, tensor);
  }
  return { weights, own };
}

/** Names and shapes of all parameters, in the order in which they are stored. */
export function weightShapes(spec: NetworkSpec): Map<string, readonly number[]> {
  const { hidden: H, inputs: I, head } = spec;
  const rows = gatesOf(spec.cell) * H;
  const shapes = new Map<string, readonly number[]>();
  if (spec.convolution) {
    shapes.set('convolution.weight', [spec.convolution.kernel * I, spec.convolution.channels]);
    shapes.set('convolution.bias', [spec.convolution.channels]);
  }
  for (let layer = 0; layer < spec.layers; layer++) {
    shapes.set(`layers.${layer}.input.weight`, [rows, layer === 0 ? cellInputs(spec) : H]);
    shapes.set(`layers.${layer}.hidden.weight`, [rows, H]);
    shapes.set(`layers.${layer}.input.bias`, [rows]);
    shapes.set(`layers.${layer}.hidden.bias`, [rows]);
  }
  if (spec.attention) {
    shapes.set('attention.query.weight', [H, H]);
    shapes.set('attention.lag.bias', [spec.attention.memory]);
    shapes.set('attention.output.weight', [2 * H, H]);
    shapes.set('attention.output.bias', [H]);
  }
  if (head.kind === 'direct') {
    shapes.set('head.weight', [H, head.leads * Q]);
    if (head.shortcut) shapes.set('head.shortcut', [I, head.leads * Q]);
    shapes.set('head.bias', [head.leads * Q]);
  } else if (head.kind === 'lead') {
    shapes.set('head.context.weight', [H, head.width]);
    shapes.set('head.shortcut', [I, head.width]);
    shapes.set('head.lead.weight', [leadWidth(spec) - head.experts, head.width]);
    shapes.set('head.bias', [head.width]);
    shapes.set('head.gate.weight', [head.width, head.experts]);
    shapes.set('head.gate.bias', [head.experts]);
    shapes.set('head.median.weight', [head.width, 1]);
    shapes.set('head.median.bias', [1]);
    shapes.set('head.spread.weight', [head.width, SPREADS]);
    shapes.set('head.spread.bias', [SPREADS]);
  }
  return shapes;
}

export function countWeights(spec: NetworkSpec): number {
  let total = 0;
  for (const shape of weightShapes(spec).values()) total += size(shape);
  return total;
}

/**
 * @param shown returns the tensor's name for error messages
 * @throws GatecastError WEIGHTS_INVALID with every missing, unknown, misshapen or non-finite tensor
 */
export function checkWeights(
  spec: NetworkSpec,
  weights: Weights,
  shown: (name: string) => string = (name) => name,
): void {
  const expected = weightShapes(spec);
  const issues: Issue[] = [];
  for (const [name, shape] of expected) {
    const tensor = weights.get(name);
    const path = shown(name);
    if (!tensor) issues.push({ path, message: `is missing; expected shape [${shape}]` });
    else if (tensor.shape.join() !== shape.join() || tensor.data.length !== size(shape)) {
      issues.push({ path, message: `has shape [${tensor.shape}]; expected [${shape}]` });
    } else if (!tensor.data.every(Number.isFinite)) {
      issues.push({ path, message: 'contains NaN or infinite values' });
    }
  }
  for (const name of weights.keys()) {
    if (!expected.has(name)) issues.push({ path: shown(name), message: 'is not part of this network' });
  }
  if (issues.length > 0) {
    const more = issues.length > 8 ? `; and ${issues.length - 8} more` : '';
    const text = `The weights do not fit: ${issuesText(issues, 8)}${more}.`;
    throw new GatecastError('WEIGHTS_INVALID', text, { issues });
  }
}

/** A first distance between neighbouring quantiles of 0.3. */
const FIRST_SPREAD = Math.log(0.3);

/**
 * Initial values: orthogonal recurrent matrices (Saxe 2014), Glorot-uniform others (Glorot and Bengio 2010), gates
 * that keep the state at first (`CellOps.keepGate`), medians starting at 0 (direct head) or at
 * the experts' prior mixture (lead head).
 */
export function initialWeights(spec: NetworkSpec, random: Random): Map<string, Tensor> {
  const weights = new Map<string, Tensor>();
  const H = spec.hidden;
  for (const [name, shape] of weightShapes(spec)) {
    const data = new Float32Array(size(shape));
    if (name.endsWith('hidden.weight')) {
      for (let gate = 0; gate < gatesOf(spec.cell); gate++) data.set(orthogonal(H, random), gate * H * H);
    } else if (name.endsWith('input.weight')) {
      // each gate is a separate matrix
      glorot(data, shape[1], H, random);
    } else if (name === 'head.weight' || name === 'head.median.weight' || name === 'head.gate.weight') {
      glorot(data, shape[0], shape[1], random, 0.1);
    } else if (name === 'head.shortcut' && spec.head.kind === 'direct') {
      // the linear shortcut starts at 0
    } else if (name === 'head.spread.bias') {
      data.fill(FIRST_SPREAD);
    } else if (name === 'head.bias' && spec.head.kind === 'direct') {
      data.fill(FIRST_SPREAD, spec.head.leads);
    } else if (/^layers\.\d\.input\.bias$/.test(name)) {
      const { keepGate } = CELL_OPS[spec.cell];
      if (keepGate !== null) data.fill(1, keepGate * H, (keepGate + 1) * H);
    } else if (shape.length === 2) {
      glorot(data, shape[0], shape[1], random);
    }
    weights.set(name, { shape, data });
  }
  return weights;
}

function glorot(data: Float32Array, fanIn: number, fanOut: number, random: Random, gain = 1): void {
  const limit = gain * Math.sqrt(6 / (fanIn + fanOut));
  for (let i = 0; i < data.length; i++) data[i] = (2 * random.next() - 1) * limit;
}

/** [n, n] with orthonormal rows: Gram-Schmidt, twice for accuracy, on normal numbers. */
function orthogonal(n: number, random: Random): Float64Array {
  const q = Float64Array.from({ length: n * n }, () => random.normal());
  for (let row = 0; row < n; row++) {
    const own = q.subarray(row * n, (row + 1) * n);
    for (let pass = 0; pass < 2; pass++) {
      for (let other = 0; other < row; other++) {
        const done = q.subarray(other * n, (other + 1) * n);
        const overlap = dot(own, done);
        for (let i = 0; i < n; i++) own[i] -= overlap * done[i];
      }
    }
    const norm = Math.sqrt(dot(own, own));
    for (let i = 0; i < n; i++) own[i] /= norm;
  }
  return q;
}

function dot(a: Float64Array, b: Float64Array): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i] * b[i];
  return total;
}

function size(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}
