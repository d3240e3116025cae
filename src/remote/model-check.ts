/**
 * Checks whether a pushed model can run on this gateway: its manifest, network and inputs, and its golden vector, computed
 * in a child process.
 */
import { errorText, GatecastError } from '../errors.ts';
import { externalTensors, hasLoop } from '../model/external-data.ts';
import { goldenDifference } from '../model/golden.ts';
import { CARD_FILE, MANIFEST_FILE, parseManifest, STEP_FILE, WEIGHTS_FILE } from '../model/manifest.ts';
import { type FeatureSizes, loadModel } from '../model/pack.ts';
import { type ModelFiles, verifyModel } from '../model/registry.ts';
import { type TrialLimits, type TrialShape, tryInChild } from '../model/trial.ts';
import type { ModelClaim, Problem } from './contract.ts';
import { problem } from './verify.ts';

/** Limits for computing the golden vector. */
const LIMITS: TrialLimits = { timeMs: 60_000, memoryMb: 512 };

/** Maximum duration of a step, which blocks the agent. */
const MOST_STEP_MS = 200;

export type RunTrial = (step: Uint8Array, limits: TrialLimits) => Promise<TrialShape>;

type CheckedModel =
  | { readonly files: ModelFiles; readonly problem: null }
  | { readonly files: null; readonly problem: Problem };

/** @param files by name; hashes have been compared with the claim's */
export async function checkModel(
  claim: ModelClaim,
  files: ReadonlyMap<string, Uint8Array>,
  features: FeatureSizes,
  trial: RunTrial = tryInChild,
): Promise<CheckedModel> {
  const wrong = (path: string, text: string, hint = ''): CheckedModel => ({
    files: null,
    problem: problem(path, text, hint),
  });
  try {
    const text = Buffer.from(files.get(MANIFEST_FILE) ?? '').toString('utf8');
    const manifest = parseManifest(text, `model '${claim.name}'`);
    if (manifest.name !== claim.name)
      return wrong('model.name', `is ${claim.name}, but the manifest has ${manifest.name}`);
    const weights = files.get(WEIGHTS_FILE) ?? null;
    const step = files.get(STEP_FILE) ?? null;
    for (const [name, bytes, entry] of [
      [WEIGHTS_FILE, weights, manifest.files.weights],
      [STEP_FILE, step, manifest.files.step],
    ] as const)
      if ((bytes === null) !== (entry === null))
        return wrong('model.files', `${bytes === null ? 'lacks' : 'holds'} ${name}, unlike its manifest`);
    const card = Buffer.from(files.get(CARD_FILE) ?? '').toString('utf8');
    const model: ModelFiles = { manifest, manifestText: text, weights, step, card };
    const hashOf = (bytes: Uint8Array): string =>
      claim.files.find(({ name }) => files.get(name) === bytes)?.sha256 ?? '';
    loadModel(verifyModel(model, `model '${claim.name}'`, hashOf), features);
    if (step === null || claim.golden === null)
      return wrong('model.golden', 'is missing: it is needed to check the results of this processor');
    if (externalTensors(step).length > 0)
      return wrong('model', 'stores tensors in other files', 'save step.onnx as one file');
    if (hasLoop(step))
      return wrong(
        'model',
        'has a loop, whose length may depend on the readings',
        'unroll the loop of step.onnx',
      );
    const shape = await trial(step, LIMITS);
    if (shape.wrong !== null) return wrong('model', shape.wrong);
    if (shape.stepMs > MOST_STEP_MS)
      return wrong(
        'model',
        `takes ${Math.round(shape.stepMs)} ms per step here; at most ${MOST_STEP_MS} are allowed`,
      );
    const { inputs, hidden, leads, stateRows } = manifest.dimensions;
    if (
      shape.inputs !== inputs ||
      shape.hidden !== hidden ||
      shape.leads !== leads ||
      shape.layers !== stateRows
    )
      return wrong('model', 'has a step.onnx whose dimensions differ from the manifest');
    const difference = goldenDifference(claim.golden.output, shape.golden, claim.golden.tolerance);
    if (difference !== null)
      return wrong(
        'model.golden',
        `the output on this processor ${difference}`,
        'the runtime or the processor computes a different result; do not use the model here',
      );
    return { files: model, problem: null };
  } catch (error) {
    if (!(error instanceof GatecastError)) throw error;
    return wrong('model', errorText(error), error.hint);
  }
}
