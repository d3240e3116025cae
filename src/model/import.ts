/**
 * Imports user models: weights as safetensors (with gatecast's names, or PyTorch's for a bare cell stack), or a step graph
 * as ONNX. Checks the file before anything is written.
 */
import { GatecastError } from '../errors.ts';
import { fromPyTorch, toOwnNames } from '../network/pytorch.ts';
import { readSafetensors } from '../network/safetensors.ts';
import type { Cell, NetworkSpec } from '../network/spec.ts';
import { checkWeights, type Tensor, weightShapes } from '../network/weights.ts';
import { readInput, sha256 } from '../system/files.ts';
import { externalTensors } from './external-data.ts';
import type { Manifest } from './manifest.ts';
import { type FeatureSizes, modelCard, packModel } from './pack.ts';
import { MOST_BYTES, type ModelFiles } from './registry.ts';
import { tryInChild } from './trial.ts';

interface ImportOptions {
  readonly name: string;
  /** ms since 1970 UTC */
  readonly createdMs: number;
  /** Cell of weights with PyTorch's names. */
  readonly cell: Cell | null;
  /** Model with the same network, for weights with gatecast's names, including the head. */
  readonly like: Manifest | null;
  readonly features: FeatureSizes;
}

/** @throws GatecastError FILE_UNREADABLE, WEIGHTS_INVALID, MODEL_INVALID, USAGE */
export async function importModel(path: string, options: ImportOptions): Promise<ModelFiles> {
  const bytes = readInput(path, MOST_BYTES);
  return path.endsWith('.onnx') ? importStep(bytes, options) : importWeights(bytes, options);
}

function importWeights(bytes: Uint8Array, options: ImportOptions): ModelFiles {
  const { weights: tensors } = readSafetensors(bytes);
  const { spec, weights, features } = network(tensors, options);
  return packModel({
    name: options.name,
    version: 'imported',
    createdMs: options.createdMs,
    spec,
    weights,
    leads: options.like?.dimensions.leads ?? 1,
    features,
    parent: null,
    training: null,
    scores: {},
  });
}

function network(
  tensors: Map<string, Tensor>,
  { like, cell }: ImportOptions,
): { spec: NetworkSpec; weights: Map<string, Tensor>; features: number | null } {
  if (like) {
    if (!like.spec) throw new GatecastError('USAGE', `Model '${like.name}' has no network to compare with.`);
    const weights = toOwnNames(like.spec.cell, tensors);
    checkWeights(like.spec, weights);
    // in the network's order, so that the same numbers are the same model
    const ordered = new Map([...weightShapes(like.spec).keys()].map((name) => [name, weights.get(name)!]));
    return { spec: like.spec, weights: ordered, features: like.features };
  }
  if (!cell) {
    throw new GatecastError('USAGE', 'The network of the weights is not specified.', {
      hint: 'Use --cell gru, lstm or rnn for a torch.nn stack, or --like MODEL for weights of such a model.',
    });
  }
  return { ...fromPyTorch(cell, tensors), features: null };
}

async function importStep(
  bytes: Uint8Array,
  { name, createdMs, features }: ImportOptions,
): Promise<ModelFiles> {
  const outside = externalTensors(bytes);
  if (outside.length > 0) {
    throw new GatecastError('MODEL_INVALID', `This step model stores ${outside[0]} in another file.`, {
      hint: 'Save it as one file, with the weights inside (onnx.save without external data).',
    });
  }
  const { inputs, layers, hidden, leads, wrong } = await tryInChild(bytes);
  if (wrong) throw new GatecastError('MODEL_INVALID', `This is not a valid step model: ${wrong}.`);
  const expected = features.inputs + leads * features.leadWidth;
  if (inputs !== expected) {
    const given = `${features.inputs} + ${leads} x ${features.leadWidth} = ${expected}`;
    const text = `This step model takes ${inputs} inputs; for ${leads} leads the features give ${given}.`;
    throw new GatecastError('MODEL_INVALID', text, { hint: 'docs/training.md describes the inputs.' });
  }
  const manifest: Manifest = {
    format: 1,
    name,
    version: 'imported',
    created: new Date(createdMs).toISOString(),
    spec: null,
    dimensions: { inputs, stateRows: layers, hidden, leads, parameters: 0 },
    features: features.format,
    files: { weights: null, step: { sha256: sha256(bytes), bytes: bytes.length, quantized: false } },
    parent: null,
    training: null,
    scores: {},
  };
  return { manifest, weights: null, step: bytes, card: modelCard(manifest) };
}
