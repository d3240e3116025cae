/** Models for pushes: real folders of a small network, with a card of any size so that they travel in several chunks. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dimensionsOf } from '../../src/model/manifest.ts';
import { type ModelFiles, readModel } from '../../src/model/registry.ts';
import type { MODEL_FILES, ModelClaim } from '../../src/remote/contract.ts';
import type { RunTrial } from '../../src/remote/model-check.ts';
import { modelClaim } from '../../src/remote/model-claim.ts';
import { forecastSpec } from '../../src/training/job.ts';
import { randomNetwork, spoiltHead, untrainedModel } from '../support/models.ts';

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
  const packed = untrainedModel(network, {
    name,
    version: `of seed ${seed}`,
    createdMs: Date.UTC(2026, 0, 1),
    weights: spoiltHead(randomNetwork(network, seed).weights, spoil),
    leads,
  });
  return pushedFiles(packed, `# ${name}\n`.padEnd(card, 'model card. '));
}

function pushedFiles({ manifest, weights, step }: ModelFiles, card: string): Files {
  const files: Files = new Map();
  files.set('manifest.json', Buffer.from(JSON.stringify(manifest)));
  if (weights !== null) files.set('weights.safetensors', weights);
  if (step !== null) files.set('step.onnx', step);
  files.set('MODEL_CARD.md', Buffer.from(card));
  return files;
}

/** The model that came with gatecast under another name, its head's weights times `spoil`. */
export function shippedVariant(name: string, spoil: number): Files {
  const { manifest, weights } = readModel(new URL('../../models/base', import.meta.url).pathname);
  if (manifest.spec === null || weights === null) throw new Error('models/base has no network');
  const packed = untrainedModel(manifest.spec, {
    name,
    version: `x ${spoil}`,
    createdMs: Date.UTC(2026, 0, 1),
    weights: spoiltHead(weights, spoil),
    leads: manifest.dimensions.leads,
    features: manifest.features,
  });
  return pushedFiles(packed, packed.card);
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
