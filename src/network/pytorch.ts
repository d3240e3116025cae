/**
 * PyTorch's names and gate order for the weights of a cell stack, both ways.
 * torch.nn.RNN, LSTM and GRU store weight_ih_l0 [G * H, I], weight_hh_l0 [G * H, H], bias_ih_l0 and bias_hh_l0 [G * H],
 * and so on for l1 ...; the order of the gates is the cell's `pytorchOrder`.
 */
import { GatecastError, type Issue, issuesText } from '../errors.ts';
import { CELL_OPS, type Cell, gatesOf } from './cells/cells.ts';
import { type NetworkSpec, validateSpec } from './spec.ts';
import { checkWeights, type Tensor, type Weights } from './weights.ts';

const orderOf = (cell: Cell): readonly number[] => CELL_OPS[cell].pytorchOrder;

const PARTS: readonly (readonly [ours: string, theirs: string])[] = [
  ['input.weight', 'weight_ih'],
  ['hidden.weight', 'weight_hh'],
  ['input.bias', 'bias_ih'],
  ['hidden.bias', 'bias_hh'],
];
const THEIR_NAME = /^(.*?)(weight|bias)_(ih|hh|hr)_l(\d+)(_reverse)?$/;

/** Weights, or their gradients, with PyTorch's names; tensors outside of cells keep their names. */
export function toPyTorch(cell: Cell, weights: Weights): Map<string, Tensor> {
  const theirGates = orderOf(cell).map((_, gate) => orderOf(cell).indexOf(gate));
  return new Map(
    [...weights].map(([name, tensor]) => {
      const theirs = theirName(name);
      return theirs === name ? [name, tensor] : [theirs, reordered(tensor, theirGates)];
    }),
  );
}

/** The reverse of `toPyTorch`, for a network with a head: tensors without a PyTorch cell name stay unchanged. */
export function toOwnNames(cell: Cell, weights: Weights): Map<string, Tensor> {
  return new Map(
    [...weights].map(([name, tensor]) => {
      const [, theirs, layer] = /^((?:weight|bias)_(?:ih|hh))_l(\d+)$/.exec(name) ?? [];
      const ours = PARTS.find((part) => part[1] === theirs)?.[0];
      // an invalid number of rows is reported by the later check of shapes
      if (!ours || tensor.shape[0] % gatesOf(cell) !== 0) return [name, tensor];
      return [`layers.${layer}.${ours}`, reordered(tensor, orderOf(cell))];
    }),
  );
}

function theirName(name: string): string {
  const [, layer, part] = /^layers\.(\d+)\.(.+)$/.exec(name) ?? [];
  const theirs = PARTS.find(([ours]) => ours === part)?.[1];
  return theirs ? `${theirs}_l${layer}` : name;
}

/**
 * Converts the state of a torch.nn.RNN, LSTM or GRU, with any name prefix, to a bare stack. Layers trained without
 * biases get zeros.
 * @param cell `rnn-tanh` and `rnn-relu` have the same weights, so the file cannot tell them apart
 * @throws GatecastError WEIGHTS_INVALID for other names, shapes that do not belong together, two directions, projections
 */
export function fromPyTorch(
  cell: Cell,
  tensors: Weights,
): { spec: NetworkSpec; weights: Map<string, Tensor> } {
  const named = checkNames(tensors);
  const first = named.get('weight_ih_l0');
  const recurrent = named.get('weight_hh_l0');
  if (!first || !recurrent || first.shape.length !== 2 || recurrent.shape.length !== 2) {
    throw refusal([{ path: 'weight_ih_l0', message: 'and weight_hh_l0 are needed, each a matrix' }]);
  }
  const layers =
    1 + Math.max(...[...named.keys()].map((name) => Number(name.slice(name.lastIndexOf('l') + 1))));
  const spec: NetworkSpec = {
    cell,
    layers,
    hidden: recurrent.shape[1],
    inputs: first.shape[1],
    dropout: 0,
    convolution: null,
    attention: null,
    head: { kind: 'none' },
  };
  const rows = gatesOf(cell) * spec.hidden;
  if (first.shape[0] !== rows) {
    const found = (first.shape[0] / spec.hidden).toFixed(2).replace(/\.?0+$/, '');
    const message = `has ${found} gates; a ${cell} has ${gatesOf(cell)}`;
    throw refusal([{ path: 'weight_ih_l0', message }]);
  }
  validateSpec(spec);
  const weights = new Map<string, Tensor>();
  for (let layer = 0; layer < layers; layer++) {
    for (const [ours, theirs] of PARTS) {
      const tensor = named.get(`${theirs}_l${layer}`);
      const name = `layers.${layer}.${ours}`;
      if (tensor && tensor.shape[0] === rows) weights.set(name, reordered(tensor, orderOf(cell)));
      else if (tensor) weights.set(name, tensor);
      else if (theirs.startsWith('bias')) weights.set(name, { shape: [rows], data: new Float32Array(rows) });
    }
  }
  checkWeights(spec, weights, theirName);
  return { spec, weights };
}

/** Tensors without their common prefix. */
function checkNames(tensors: Weights): Map<string, Tensor> {
  const named = new Map<string, Tensor>();
  const issues: Issue[] = [];
  let prefix: string | null = null;
  for (const [path, tensor] of tensors) {
    const [, before, kind, part, layer, reverse] = THEIR_NAME.exec(path) ?? [];
    prefix ??= before ?? null;
    if (before === undefined) issues.push({ path, message: 'is not a weight of a recurrent layer' });
    else if (reverse)
      issues.push({ path, message: 'runs backwards in time (bidirectional), which a forecast cannot' });
    else if (part === 'hr')
      issues.push({ path, message: 'is a projection (proj_size), which is not supported' });
    else if (before !== prefix) issues.push({ path, message: `belongs to another module than ${prefix}*` });
    else named.set(`${kind}_${part}_l${layer}`, tensor);
  }
  if (issues.length > 0) throw refusal(issues);
  return named;
}

function refusal(issues: readonly Issue[]): GatecastError {
  return new GatecastError('WEIGHTS_INVALID', `The weights cannot be imported: ${issuesText(issues, 8)}.`, {
    hint: 'Expected are weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, and so on for each layer: the state_dict() of the cell alone, without other modules.',
    issues,
  });
}

/** Reorders blocks of rows, one block per gate. */
function reordered({ shape, data }: Tensor, order: readonly number[]): Tensor {
  const block = data.length / order.length;
  const result = new Float32Array(data.length);
  for (const [to, from] of order.entries()) {
    result.set(data.subarray(from * block, (from + 1) * block), to * block);
  }
  return { shape, data: result };
}
