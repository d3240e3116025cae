/** Exports a model: as an ONNX graph, or as weights under PyTorch's names. */
import { GatecastError } from '../errors.ts';
import { toPyTorch } from '../network/pytorch.ts';
import { writeSafetensors } from '../network/safetensors.ts';
import { buildSequenceGraph } from '../network/sequence-graph.ts';
import { buildStepGraph } from '../network/step-graph.ts';
import type { StoredModel } from './registry.ts';

interface ExportOptions {
  readonly format: 'onnx' | 'safetensors';
  readonly graph: 'step' | 'sequence';
  /** K; null: the model's. A sequence graph has forecasts only if leads are given. */
  readonly leads: number | null;
  /** Whether the step graph is int8 or float32; null: int8 as in the agent, but float32 for a bare cell stack. */
  readonly quantized: boolean | null;
}

/** @throws GatecastError USAGE if the model cannot be exported in this form */
export function exportModel(stored: StoredModel, options: ExportOptions): Uint8Array {
  const { manifest, weights, own, step } = stored;
  const { spec, name, dimensions } = manifest;
  const leads = options.leads ?? dimensions.leads;
  if (!spec || !weights) {
    if (options.format === 'onnx' && options.graph === 'step' && step && leads === dimensions.leads)
      return step;
    throw new GatecastError('USAGE', `Model '${name}' has only a step graph of ${dimensions.leads} leads.`, {
      hint: 'Use --format onnx --graph step.',
    });
  }
  if (options.format === 'safetensors') {
    // Sorted by name, as the safetensors library does, so that an import and export gives the same file.
    return writeSafetensors(new Map([...toPyTorch(spec.cell, weights)].sort(([a], [b]) => (a < b ? -1 : 1))));
  }
  if (options.graph === 'step') {
    const quantized = options.quantized ?? spec.head.kind !== 'none';
    return buildStepGraph(spec, weights, { leads, quantized, own });
  }
  const wanted = spec.head.kind === 'none' ? null : options.leads;
  return buildSequenceGraph(spec, weights, { leads: wanted, splitState: true });
}
