/** Writes weights into the files of a model folder, and converts a stored model into the form that the engine runs. */
import { GatecastError } from '../errors.ts';
import { writeSafetensors } from '../network/safetensors.ts';
import type { NetworkSpec } from '../network/spec.ts';
import { buildStepGraph } from '../network/step-graph.ts';
import { countWeights, joinWeights, type Network, type Weights } from '../network/weights.ts';
import { sha256 } from '../system/files.ts';
import { dimensionsOf, type Manifest } from './manifest.ts';
import type { ModelFiles, StoredModel } from './registry.ts';
import { createStepper } from './sessions.ts';
import type { Stepper } from './stepper.ts';

export interface PackOptions extends Pick<Manifest, 'name' | 'version' | 'features' | 'parent' | 'training'> {
  /** ms since 1970 UTC */
  readonly createdMs: number;
  readonly spec: NetworkSpec;
  readonly weights: Weights;
  /** An own network that runs beside it. */
  readonly own?: Network | null;
  /** K of `step.onnx`; other horizons are built from the weights on demand. */
  readonly leads: number;
  readonly scores: Readonly<Record<string, number>>;
}

/** @throws GatecastError NETWORK_INVALID, WEIGHTS_INVALID */
export function packModel(options: PackOptions): ModelFiles {
  const { spec, weights, leads, own = null } = options;
  const weightBytes = writeSafetensors(own === null ? weights : joinWeights(weights, own.weights));
  const forecasts = spec.head.kind !== 'none';
  const step = forecasts ? buildStepGraph(spec, weights, { leads, quantized: true, own }) : null;
  const parameters = countWeights(spec) + (own === null ? 0 : countWeights(own.spec));
  const manifest: Manifest = {
    format: 1,
    name: options.name,
    version: options.version,
    created: new Date(options.createdMs).toISOString(),
    spec,
    ...(own !== null && { own: own.spec }),
    dimensions: dimensionsOf(spec, leads, parameters, own?.spec),
    features: options.features,
    files: {
      weights: { sha256: sha256(weightBytes), bytes: weightBytes.length },
      step: step && { sha256: sha256(step), bytes: step.length, quantized: true },
    },
    parent: options.parent,
    training: options.training,
    scores: { ...options.scores },
  };
  return { manifest, weights: weightBytes, step, card: modelCard(manifest) };
}

/** Sizes of the features; models for other sizes are refused. */
export interface FeatureSizes {
  readonly format: number;
  /** I */
  readonly inputs: number;
  /** Width of z of one lead. */
  readonly leadWidth: number;
}

/**
 * @param quantized false: float32 graphs, for comparison
 * @returns the engine's `Model` (`forecast/model.ts`)
 * @throws GatecastError MODEL_INVALID if it cannot forecast from these features
 */
export function loadModel(stored: StoredModel, features: FeatureSizes, quantized = true) {
  const { manifest, weights, own, step, hash } = stored;
  const { dimensions, spec, name } = manifest;
  const refuse = (reason: string, hint: string) =>
    new GatecastError('MODEL_INVALID', `Model '${name}' ${reason}`, { hint });
  if (!step)
    throw refuse(
      'is a bare cell stack and cannot forecast.',
      'Export it, or use it as the start of a training.',
    );
  if (manifest.features !== features.format) {
    throw refuse(
      `was trained on features of format ${manifest.features}, this version makes format ${features.format}.`,
      'Train it again with this version, or use the shipped base model.',
    );
  }
  const expected =
    features.inputs + dimensions.leads * (spec?.head.kind === 'direct' ? 0 : features.leadWidth);
  if (dimensions.inputs !== expected) {
    throw refuse(
      `takes ${dimensions.inputs} inputs, but the features have ${expected}.`,
      'Train it with this version.',
    );
  }
  return {
    id: name,
    version: manifest.version,
    hash: quantized ? hash : `${hash}-float32`,
    base: { hash: baseHash(stored, quantized), hidden: spec?.hidden ?? dimensions.hidden },
    stateRows: dimensions.stateRows,
    hidden: dimensions.hidden,
    async stepper(leads: number): Promise<Stepper> {
      if (quantized && leads === dimensions.leads) return createStepper(step);
      if (!spec || !weights || spec.head.kind === 'direct') {
        throw refuse(
          `forecasts ${dimensions.leads} steps, but ${leads} were requested.`,
          `Set the horizon to ${dimensions.leads} intervals, or use a model with a lead head.`,
        );
      }
      return createStepper(buildStepGraph(spec, weights, { leads, quantized, own }));
    },
  };
}

function baseHash({ weights, hash }: StoredModel, quantized: boolean): string {
  const numbers = weights === null ? hash : sha256(writeSafetensors(weights));
  return `${numbers}${quantized ? '' : '-float32'}`;
}

export function modelCard(manifest: Manifest): string {
  const { spec, own, training, scores, dimensions, features } = manifest;
  const rows = (training?.sets ?? []).map(
    (set) => `| ${set.name} | ${set.series} | ${set.steps} | ${set.licence} |`,
  );
  const figures = Object.entries(scores).map(
    ([name, value]) => `| ${name} | ${Number(value.toPrecision(4))} |`,
  );
  return [
    `# ${manifest.name} ${manifest.version}`,
    '',
    spec
      ? `A ${spec.cell} network, ${spec.layers} layer(s) of ${spec.hidden}${own === undefined ? '' : `, and one of ${own.hidden} trained on the gateway`}, ${dimensions.parameters} parameters; head: ${spec.head.kind}.`
      : 'An imported step model.',
    features === null
      ? 'It does not forecast by itself.'
      : `Features: format ${features}. Created ${manifest.created}.`,
    '',
    '## Intended use',
    '',
    'Forecasts of numeric sensor streams at steps from a second to an hour, stepped once per bucket on a gateway, nine',
    'quantiles per lead. Not for decisions about people, nor as the only guard of anything that can do harm.',
    '',
    ...(training
      ? [
          '## Training',
          '',
          `${training.steps} optimiser steps in ${Math.round(training.seconds)} s, seed ${training.seed}. ${training.reason}`.trim(),
          '',
          ...(training.command === undefined ? [] : ['```', training.command, '```', '']),
          '| set | series | buckets | licence |',
          '|---|---|---|---|',
          ...rows,
          '',
        ]
      : []),
    ...(figures.length > 0 ? ['## Scores', '', '| figure | value |', '|---|---|', ...figures, ''] : []),
  ].join('\n');
}
