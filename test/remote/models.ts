/** Models for pushes: real folders of a small network, with a card of any size so that they travel in several chunks. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dimensionsOf } from '../../src/model/manifest.ts';
import { packModel } from '../../src/model/pack.ts';
import { readModel } from '../../src/model/registry.ts';
import { createRandom } from '../../src/network/random.ts';
import { initialWeights } from '../../src/network/weights.ts';
import type { MODEL_FILES, ModelClaim } from '../../src/remote/contract.ts';
import type { RunTrial } from '../../src/remote/model-check.ts';
import { modelClaim } from '../../src/remote/model-claim.ts';
import { FEATURE_FORMAT } from '../../src/series/features.ts';
import { forecastSpec } from '../../src/training/job.ts';

export type Files = Map<(typeof MODEL_FILES)[number], Uint8Array>;

export interface ModelOptions {
  readonly seed?: number;
  /** Factor on the head's weights: far from 1 the forecasts are nonsense. */
  readonly spoil?: number;
  readonly leads?: number;
  /** Bytes of the card. */
  readonly card?: number;
}

const LEADS = 6;
const network = forecastSpec({ cell: 'gru', layers: 1, hidden: 8, width: 8 });

export function modelFiles(
  name: string,
  { seed = 1, spoil = 1, leads = LEADS, card = 150_000 }: ModelOptions = {},
): Files {
  const { manifest, weights, step } = packModel({
    name,
    version: `of seed ${seed}`,
    createdMs: Date.UTC(2026, 0, 1),
    spec: network,
    weights: new Map(
      [...initialWeights(network, createRandom(seed))].map(([part, { shape, data }]) => [
        part,
        { shape, data: part.startsWith('head.') ? data.map((weight) => weight * spoil) : data },
      ]),
    ),
    leads,
    features: FEATURE_FORMAT,
    parent: null,
    training: null,
    scores: {},
  });
  const files: Files = new Map();
  files.set('manifest.json', Buffer.from(JSON.stringify(manifest)));
  if (weights !== null) files.set('weights.safetensors', weights);
  if (step !== null) files.set('step.onnx', step);
  files.set('MODEL_CARD.md', Buffer.from(`# ${name}\n`.padEnd(card, 'model card. ')));
  return files;
}

/** The model that came with gatecast under another name, its head's weights times `spoil`. */
export function shippedVariant(name: string, spoil: number): Files {
  const { manifest, weights } = readModel(new URL('../../models/base', import.meta.url).pathname);
  if (manifest.spec === null || weights === null) throw new Error('models/base has no network');
  const packed = packModel({
    name,
    version: `x ${spoil}`,
    createdMs: Date.UTC(2026, 0, 1),
    spec: manifest.spec,
    weights: new Map(
      [...weights].map(([part, { shape, data }]) => [
        part,
        { shape, data: part.startsWith('head.') ? data.map((weight) => weight * spoil) : data },
      ]),
    ),
    leads: manifest.dimensions.leads,
    features: manifest.features,
    parent: null,
    training: null,
    scores: {},
  });
  const files: Files = new Map();
  files.set('manifest.json', Buffer.from(JSON.stringify(packed.manifest)));
  if (packed.weights !== null) files.set('weights.safetensors', packed.weights);
  if (packed.step !== null) files.set('step.onnx', packed.step);
  files.set('MODEL_CARD.md', Buffer.from(packed.card));
  return files;
}

/** @returns its path */
export function writeModelFolder(folder: string, files: Files): string {
  mkdirSync(folder, { recursive: true });
  for (const [name, bytes] of files) writeFileSync(join(folder, name), bytes);
  return folder;
}

/** Stands for the process that computes the golden vector. */
export const GOLDEN = [1, 2, 3];
const { inputs, hidden, stateRows: layers } = dimensionsOf(network, LEADS, 0);
const SHAPE = { inputs, hidden, layers, leads: LEADS };

/** Its shape is that of `modelFiles`. */
export const quickTrial: RunTrial = async () => ({ ...SHAPE, wrong: null, golden: GOLDEN, stepMs: 1 });

/** A claim whose golden vector nobody computes. */
export const quickClaim = (name: string, files: Files, source = 'mqtt'): Promise<ModelClaim> =>
  modelClaim(name, files, source, async () => ({ golden: GOLDEN }));
