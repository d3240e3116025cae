/**
 * The definition of a network: its cell, its size, the parts before and after the cell, and the layout of its state.
 * Graphs and weights are derived from the spec alone.
 */
import { GatecastError, type Issue, issuesText } from '../errors.ts';
import { Q } from '../quantiles.ts';
import { CELL_OPS, CELLS, type Cell } from './cells/cells.ts';

export { CELLS, type Cell };

/** Increments between neighbouring levels. */
export const SPREADS = Q - 1;

type HeadSpec =
  /** The bare cell stack. */
  | { readonly kind: 'none' }
  /** One linear map from the state to all leads at once. */
  | { readonly kind: 'direct'; readonly leads: number; readonly shortcut: boolean }
  /**
   * The same small map for every lead, with z of that lead as input, [2 experts + features] numbers: forecasts of experts,
   * which the head mixes and corrects, the logarithms of their weights without the head, and features.
   * The number of leads is chosen when a graph is built.
   */
  | { readonly kind: 'lead'; readonly experts: number; readonly features: number; readonly width: number };

export interface NetworkSpec {
  readonly cell: Cell;
  readonly layers: number;
  /** H, numbers in one state. Multiples of 16 keep the rows of a batch independent to the last bit. */
  readonly hidden: number;
  /** I, inputs of a step about the past. */
  readonly inputs: number;
  /** Share of a layer's outputs hidden from the next layer while training, 0 to below 1. */
  readonly dropout: number;
  /** Causal convolution over the inputs, in front of the cell. */
  readonly convolution: { readonly kernel: number; readonly channels: number } | null;
  /** Attention over the last `memory` states of the top layer, the newest included. */
  readonly attention: { readonly memory: number } | null;
  readonly head: HeadSpec;
}

const LIMITS = {
  layers: [1, 4],
  hidden: [1, 1024],
  inputs: [1, 1024],
  kernel: [2, 64],
  channels: [1, 1024],
  memory: [2, 512],
  leads: [1, 1024],
  experts: [1, 64],
  features: [0, 1024],
  width: [1, 1024],
} as const;

/** @throws GatecastError NETWORK_INVALID with every wrong setting */
export function validateSpec(spec: NetworkSpec): void {
  const issues: Issue[] = [];
  const range = (path: string, value: number, [low, high]: readonly [number, number]) => {
    if (!Number.isInteger(value) || value < low || value > high) {
      issues.push({ path, message: `must be a whole number from ${low} to ${high}, is ${value}` });
    }
  };
  if (!CELLS.includes(spec.cell)) {
    issues.push({ path: 'cell', message: `must be one of ${CELLS.join(', ')}, is ${spec.cell}` });
  }
  range('layers', spec.layers, LIMITS.layers);
  range('hidden', spec.hidden, LIMITS.hidden);
  range('inputs', spec.inputs, LIMITS.inputs);
  if (!(spec.dropout >= 0 && spec.dropout < 1)) {
    issues.push({ path: 'dropout', message: `must be at least 0 and below 1, is ${spec.dropout}` });
  } else if (spec.dropout > 0 && spec.layers === 1) {
    issues.push({ path: 'dropout', message: 'works between layers, and there is only one' });
  }
  if (spec.convolution) {
    range('convolution.kernel', spec.convolution.kernel, LIMITS.kernel);
    range('convolution.channels', spec.convolution.channels, LIMITS.channels);
  }
  if (spec.attention) range('attention.memory', spec.attention.memory, LIMITS.memory);
  const head = spec.head;
  if (head.kind === 'direct') range('head.leads', head.leads, LIMITS.leads);
  else if (head.kind === 'lead') {
    range('head.experts', head.experts, LIMITS.experts);
    range('head.features', head.features, LIMITS.features);
    range('head.width', head.width, LIMITS.width);
  } else if (head.kind !== 'none') {
    const kind = (head as { kind: unknown }).kind;
    issues.push({ path: 'head.kind', message: `must be one of none, direct, lead, is ${kind}` });
  }
  if (issues.length > 0) {
    const text = `The network cannot be built: ${issuesText(issues)}.`;
    throw new GatecastError('NETWORK_INVALID', text, { issues });
  }
}

/** Width of z, the features of one lead; 0 without a lead head. */
export function leadWidth(spec: NetworkSpec): number {
  return spec.head.kind === 'lead' ? 2 * spec.head.experts + spec.head.features : 0;
}

/** Width of x in the step graph: the step's inputs, then z of every lead, row-major. */
export function stepInputs(spec: NetworkSpec, leads: number): number {
  return spec.inputs + leads * leadWidth(spec);
}

/** Inputs of the first layer per step. */
export function cellInputs(spec: NetworkSpec): number {
  return spec.convolution ? spec.convolution.channels : spec.inputs;
}

/** A range of rows of the state. */
export interface Rows {
  readonly from: number;
  readonly to: number;
}

/**
 * Layout of the state [S, N, H]: hidden states by layer, cell states by layer (if the cell has them),
 * the top layer's states before the newest (attention; oldest first), and the inputs before the newest
 * (convolution; oldest first, packed into as few rows as hold them, the rest unused).
 */
export function stateLayout(spec: NetworkSpec): { hidden: Rows; cell: Rows; memory: Rows; past: Rows } {
  const next = (from: number, rows: number): Rows => ({ from, to: from + rows });
  const hidden = next(0, spec.layers);
  const cell = next(hidden.to, CELL_OPS[spec.cell].hasCellState ? spec.layers : 0);
  const memory = next(cell.to, spec.attention ? spec.attention.memory - 1 : 0);
  const pastNumbers = spec.convolution ? (spec.convolution.kernel - 1) * spec.inputs : 0;
  return { hidden, cell, memory, past: next(memory.to, Math.ceil(pastNumbers / spec.hidden)) };
}

/** S, rows of the state. */
export function stateRows(spec: NetworkSpec): number {
  return stateLayout(spec).past.to;
}

/** Sizes of the step graph's state: of one network, or of a base network and an own network side by side. */
export function stateSizes(
  spec: NetworkSpec,
  own: NetworkSpec | null = null,
): { readonly stateRows: number; readonly hidden: number } {
  if (own === null) return { stateRows: stateRows(spec), hidden: spec.hidden };
  return { stateRows: Math.max(stateRows(spec), stateRows(own)), hidden: spec.hidden + own.hidden };
}

/** A base network and an own network run in one step graph only if both read the same inputs. @throws GatecastError NETWORK_INVALID */
export function checkPair(spec: NetworkSpec, own: NetworkSpec): void {
  const same = own.inputs === spec.inputs && leadWidth(own) === leadWidth(spec);
  if (own.head.kind === 'lead' && spec.head.kind === 'lead' && same) return;
  const text = 'The networks of one model must read the same inputs and leads.';
  throw new GatecastError('NETWORK_INVALID', text);
}
