/**
 * Adds hidden units to a trained network without changing its output, so that training can continue at a larger
 * size. New units start with random input weights. All weights from new units to old parts start at 0 and grow in
 * training. (The idea of Chen et al. 2016, Net2Net, arXiv:1511.05641; instead of copies of old units, which the
 * recurrence would keep identical, new ones.)
 */
import { GatecastError } from '../errors.ts';
import { gatesOf } from './cells/cells.ts';
import type { Random } from './random.ts';
import { type NetworkSpec, validateSpec } from './spec.ts';
import { checkWeights, initialWeights, type Tensor, type Weights } from './weights.ts';

/** How an axis is made of hidden units: so many blocks of H; 0: not at all. */
interface Axes {
  readonly blocks: readonly [number, number];
  /** The axis along which the parameter reads; biases have none. */
  readonly reads: 0 | 1 | null;
}

/**
 * @param hidden the new H, larger than the old
 * @param random draws the new units' own weights
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
    const message = `must be more than the ${spec.hidden} there are, is ${hidden}`;
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

/** null: no axis of the parameter runs over hidden units. */
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

/** Old values where both ends are old, 0 where something old would read something new, `fresh` values elsewhere. */
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

/** Where an index of the wider axis was before; null: nowhere, it belongs to a new unit. */
function oldIndex(index: number, blocks: number, from: number, to: number): number | null {
  if (blocks === 0) return index;
  const unit = index % to;
  return unit < from ? Math.floor(index / to) * from + unit : null;
}

/** Scores are divided by sqrt(H) and summed over all units: undo the one, leave new units out of the other. */
function keepScores({ data }: Tensor, from: number, to: number): void {
  const correction = Math.sqrt(to / from);
  for (let at = 0; at < data.length; at++) data[at] = at % to < from ? data[at] * correction : 0;
}
