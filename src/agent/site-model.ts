/** Opens a model that a site was given: its files are checked as those of a pushed model are. */
import { GatecastError } from '../errors.ts';
import type { Model } from '../forecast/model.ts';
import { loadModel } from '../model/pack.ts';
import { verifyModel } from '../model/registry.ts';
import type { ModelName } from '../outputs/output.ts';
import { modelClaimSchema } from '../remote/contract.ts';
import { checkModel } from '../remote/model-check.ts';
import { FEATURES } from '../series/features.ts';
import type { ModelFilesOf } from '../site/models.ts';
import { sha256 } from '../system/files.ts';
import { publishedName } from './model.ts';

/** @throws GatecastError MODEL_INVALID, also when its results on this processor differ from those where it was set */
export async function openSiteModel({
  claim: text,
  files,
}: ModelFilesOf): Promise<{ readonly model: Model; readonly name: ModelName }> {
  const parsed = modelClaimSchema.safeParse(text);
  if (!parsed.success) throw refused('its description is damaged');
  const claim = parsed.data;
  for (const { name, sha256: expected } of claim.files)
    if (sha256(files.get(name) ?? '') !== expected) throw refused(`${name} is damaged`);
  const { files: checked, problem } = await checkModel(claim, files, FEATURES);
  if (checked === null) throw refused(`${problem.path} ${problem.text}`, problem.hint);
  const model = loadModel(verifyModel(checked, `model '${claim.name}'`), FEATURES);
  const { created, training } = checked.manifest;
  const trainedOn = training?.span ?? null;
  const name = publishedName({ name: claim.name, model, trainedAt: created, trainedOn, problem: null }, '');
  return { model, name };
}

const refused = (why: string, hint?: string): GatecastError =>
  new GatecastError('MODEL_INVALID', `The model of the site cannot be used: ${why}.`, { hint });
