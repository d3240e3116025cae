/** Opens a model that a site was given: its files are checked as those of a pushed model are. */
import { GatecastError } from '../errors.ts';
import type { Model } from '../forecast/model.ts';
import { loadModel } from '../model/pack.ts';
import { readModel, type StoredModel, verifyModel } from '../model/registry.ts';
import type { ModelName } from '../outputs/output.ts';
import { modelClaimSchema } from '../remote/contract.ts';
import { checkModel } from '../remote/model-check.ts';
import { modelBytes, modelClaim } from '../remote/model-claim.ts';
import { FEATURES } from '../series/features.ts';
import type { ModelFilesOf } from '../site/models.ts';
import type { NewModel } from '../site/set-model.ts';
import { sha256 } from '../system/files.ts';
import { publishedName } from './model.ts';

/** @throws GatecastError MODEL_INVALID, also when its results on this processor differ from those where it was set */
export async function checkedSiteModel({ claim: text, files }: ModelFilesOf): Promise<StoredModel> {
  const parsed = modelClaimSchema.safeParse(text);
  if (!parsed.success) throw refused('its description is damaged');
  const claim = parsed.data;
  for (const { name, sha256: expected } of claim.files)
    if (sha256(files.get(name) ?? '') !== expected) throw refused(`${name} is damaged`);
  const { files: checked, problem } = await checkModel(claim, files, FEATURES);
  if (checked === null) throw refused(`${problem.path} ${problem.text}`, problem.hint);
  return verifyModel(checked, `model '${claim.name}'`);
}

/** @throws GatecastError MODEL_INVALID */
export async function openSiteModel(
  from: ModelFilesOf,
): Promise<{ readonly model: Model; readonly name: ModelName }> {
  const stored = await checkedSiteModel(from);
  const model = loadModel(stored, FEATURES);
  const { name, created, training } = stored.manifest;
  const trainedOn = training?.span ?? null;
  return { model, name: publishedName({ name, model, trainedAt: created, trainedOn, problem: null }, '') };
}

/** A model on this machine, as a site stores it. @throws GatecastError MODEL_INVALID, FILE_UNREADABLE */
export async function newSiteModel(folder: string): Promise<NewModel> {
  const { name } = readModel(folder).manifest;
  const files = modelBytes(folder);
  const claim = await modelClaim(name, files, 'mqtt');
  return { id: claim.manifest_sha256, name, claim, files };
}

const refused = (why: string, hint?: string): GatecastError =>
  new GatecastError('MODEL_INVALID', `The model of the site cannot be used: ${why}.`, { hint });
