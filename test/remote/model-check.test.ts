/** The check of a pushed model with its golden vector computed by a real process on this machine. */
import { describe, expect, it } from 'vitest';
import { hasLoop } from '../../src/model/external-data.ts';
import { modelCard } from '../../src/model/pack.ts';
import { tryInChild } from '../../src/model/trial.ts';
import { checkModel } from '../../src/remote/model-check.ts';
import { modelClaim } from '../../src/remote/model-claim.ts';
import { AHEAD, FEATURES, I } from '../../src/series/features.ts';
import { sha256 } from '../../src/system/files.ts';
import { stepModel, withEndlessLoop, withExternalData } from '../model/step-models.ts';
import { stopwatch } from '../support/run-delay.ts';
import { type Files, modelFiles, quickClaim } from './models.ts';

const K = 3;
const step = stepModel(I + K * AHEAD, K);

/** The files of an imported step model. */
function imported(bytes: Uint8Array): Files {
  const manifest = {
    format: 1 as const,
    name: 'mine',
    version: 'imported',
    created: '2026-01-01T00:00:00.000Z',
    spec: null,
    dimensions: { inputs: I + K * AHEAD, stateRows: 1, hidden: 4, leads: K, parameters: 0 },
    features: FEATURES.format,
    files: { weights: null, step: { sha256: sha256(bytes), bytes: bytes.length, quantized: false } },
    parent: null,
    training: null,
    scores: {},
  };
  const files: Files = new Map();
  files.set('manifest.json', Buffer.from(JSON.stringify(manifest)));
  files.set('step.onnx', bytes);
  files.set('MODEL_CARD.md', Buffer.from(modelCard(manifest)));
  return files;
}

describe('the check of a pushed model', () => {
  it.each([
    ['of gatecast', 'own', modelFiles('own', { card: 100 })],
    ['of its user', 'mine', imported(step)],
  ])('takes a model %s whose golden vector is the same here, and no other one', async (_, name, files) => {
    const shape = await tryInChild(files.get('step.onnx') ?? new Uint8Array());
    const claim = await modelClaim(name, files, 'mqtt', async () => shape);
    expect(claim.golden?.output.length).toBeGreaterThan(20);
    const taken = await checkModel(claim, files, FEATURES);
    expect(taken.problem).toBeNull();
    expect(taken.files?.manifest.name).toBe(name);
    const { golden } = claim;
    const largest = Math.max(...(golden?.output ?? []).map(Math.abs));
    const output = (golden?.output ?? []).map((value, at) => (at === 7 ? value + 0.05 * largest : value));
    const other = { ...claim, golden: { tolerance: 0.02, output } };
    expect((await checkModel(other, files, FEATURES, async () => shape)).problem).toMatchObject({
      path: 'model.golden',
    });
  });

  it('refuses a loop before it runs', async () => {
    const endless = withEndlessLoop(step);
    expect(hasLoop(step)).toBe(false);
    expect(hasLoop(endless)).toBe(true);
    const files = imported(endless);
    const { problem } = await checkModel(await quickClaim('mine', files), files, FEATURES, () => {
      throw new Error('it was run');
    });
    expect(problem).toMatchObject({ path: 'model', text: expect.stringContaining('loop') });
  });

  it('a graph that does not end is killed', async () => {
    const watch = stopwatch();
    await expect(tryInChild(withEndlessLoop(step), { timeMs: 4000, memoryMb: 512 })).rejects.toThrow(
      /did not end within 4 s/,
    );
    expect(watch.stop()).toBeLessThan(20_000);
  });

  it('refuses numbers in other files', async () => {
    const files = imported(withExternalData(step, 'levels', '../../secret').model);
    const { problem } = await checkModel(await quickClaim('mine', files), files, FEATURES);
    expect(problem).toMatchObject({ path: 'model', text: 'stores tensors in other files' });
  });

  it('refuses a graph of other dimensions than its manifest', async () => {
    const files = imported(step);
    const manifest = JSON.parse(Buffer.from(files.get('manifest.json') ?? '').toString());
    manifest.dimensions.hidden = 8;
    files.set('manifest.json', Buffer.from(JSON.stringify(manifest)));
    const { problem } = await checkModel(await quickClaim('mine', files), files, FEATURES);
    expect(problem).toMatchObject({ path: 'model', text: expect.stringContaining('dimensions') });
  });

  it('refuses bytes that are no graph', async () => {
    const files = imported(Buffer.from('hello'));
    const { problem } = await checkModel(await quickClaim('mine', files), files, FEATURES);
    expect(problem).toMatchObject({ path: 'model' });
  });
});
