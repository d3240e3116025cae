/**
 * Adds hidden units to a trained network without changing its output, so that training can continue with a larger
 * size. New units start with random input weights. All weights from new units to old parts start at 0 and grow in
 * training. (The idea of Chen et al. 2016, Net2Net, arXiv:1511.05641; instead of copies of old units, which the
 * recurrence would keep identical, new ones.)
 */
import { GatecastError } from '../errors.ts';
import { gatesOf } from './cells/cells.ts';
import type { Random } from './random.ts';
import { type NetworkSpec, validateSpec } from './spec.ts';
import { checkWeights, initialWeights, type Tensor, type Weights } from './weights.ts';

/** Number of blocks of H hidden units along each axis; 0: none. */
interface Axes {
  readonly blocks: readonly [number, number];
  /** The input axis of the parameter; null for biases. */
  readonly reads: 0 | 1 | null;
}

/**
 * @param hidden the new H, larger than the old
 * @param random source of the new units' weights
 * @throws GatecastError NETWORK_INVALID, WEIGHTS_INVALID
 */
export function widen(
  spec: NetworkSpec,
  weights: Weights,
  hidden: number,
  random: Random,
): { spec: NetworkSpec; weights: Map<string, Tensor> } {
  checkWeights(spec, weights);
  if (hidden <= spec.hidden) {
    const message = `must be larger than the current ${spec.hidden}, is ${hidden}`;
    throw new GatecastError('NETWORK_INVALID', `The network cannot be widened: hidden ${message}.`, {
      issues: [{ path: 'hidden', message }],
    });
  }
  const wider = { ...spec, hidden };
  validateSpec(wider);
  const grown = new Map<string, Tensor>();
  for (const [name, fresh] of initialWeights(wider, random)) {
    const old = weights.get(name)!;
    const axes = axesOf(name, spec);
    grown.set(name, axes ? grow(old, fresh, axes, spec.hidden, hidden) : old);
  }
  const query = grown.get('attention.query.weight');
  if (query) keepScores(query, spec.hidden, hidden);
  return { spec: wider, weights: grown };
}

/** null if no axis of the parameter depends on H. */
function axesOf(name: string, spec: NetworkSpec): Axes | null {
  const gates = gatesOf(spec.cell);
  const [, layer, part] = /^layers\.(\d+)\.(.+)$/.exec(name) ?? [];
  if (part === 'input.weight') return { blocks: [gates, layer === '0' ? 0 : 1], reads: 1 };
  if (part === 'hidden.weight') return { blocks: [gates, 1], reads: 1 };
  if (part) return { blocks: [gates, 0], reads: null };
  if (name === 'attention.query.weight') return { blocks: [1, 1], reads: 0 };
  if (name === 'attention.output.weight') return { blocks: [2, 1], reads: 0 };
  if (name === 'attention.output.bias') return { blocks: [1, 0], reads: null };
  if (name === 'head.weight' || name === 'head.context.weight') return { blocks: [1, 0], reads: 0 };
  return null;
}

/** Old values between old units, 0 from new units to old ones, `fresh` values elsewhere. */
function grow(old: Tensor, fresh: Tensor, axes: Axes, from: number, to: number): Tensor {
  const rows = fresh.shape[0];
  const columns = fresh.shape[1] ?? 1;
  const oldColumns = old.shape[1] ?? 1;
  const data = fresh.data.slice();
  for (let row = 0; row < rows; row++) {
    const oldRow = oldIndex(row, axes.blocks[0], from, to);
    for (let column = 0; column < columns; column++) {
      const oldColumn = oldIndex(column, axes.blocks[1], from, to);
      const at = row * columns + column;
      if (oldRow !== null && oldColumn !== null) data[at] = old.data[oldRow * oldColumns + oldColumn];
      else if (axes.reads === 1 && oldRow !== null) data[at] = 0;
      else if (axes.reads === 0 && oldColumn !== null) data[at] = 0;
    }
  }
  return { shape: fresh.shape, data };
}

/** Old index for an index of the wider axis; null if it belongs to a new unit. */
function oldIndex(index: number, blocks: number, from: number, to: number): number | null {
  if (blocks === 0) return index;
  const unit = index % to;
  return unit < from ? Math.floor(index / to) * from + unit : null;
}

/** Keeps the attention scores: compensates for the division by sqrt(H) and sets the weights of new units to 0. */
function keepScores({ data }: Tensor, from: number, to: number): void {
  const correction = Math.sqrt(to / from);
  for (let at = 0; at < data.length; at++) data[at] = at % to < from ? data[at] * correction : 0;
}
