/** `gatecast model import step.onnx`: what keeps the contract is taken, all else refused with what is wrong. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { importInto } from '../../src/cli/model/run.ts';
import { loadModel } from '../../src/model/pack.ts';
import { ModelRegistry } from '../../src/model/registry.ts';
import { tryStepModel } from '../../src/model/step-trial.ts';
import { AHEAD, FEATURES, I } from '../../src/series/features.ts';
import { stepModel, withExternalData } from './step-models.ts';

const K = 3;
const WIDTH = I + K * AHEAD;

// One registry for all tests: a model that is taken stays, one that is refused leaves no trace.
const folder = mkdtempSync(join(tmpdir(), 'gatecast-import-'));
const registry = new ModelRegistry(join(folder, 'models'), null);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const bring = (model: Uint8Array, name: string) => {
  writeFileSync(join(folder, 'step.onnx'), model);
  return importInto(registry, join(folder, 'step.onnx'), { name });
};

describe('a step model of its user', () => {
  it('is imported and forecasts', async () => {
    expect(await bring(stepModel(WIDTH, K), 'mine')).toMatch(/mine: a step model; forecasts 3 steps/);
    const stepper = await loadModel(registry.open('mine'), FEATURES).stepper(K);
    const x = new Float32Array(2 * WIDTH);
    x[WIDTH] = 10;
    const { quantiles, h } = await stepper.run(2, x, new Float32Array(2 * 4));
    expect(quantiles[8]).toBeCloseTo(0.8);
    expect(quantiles[K * 9 + 8]).toBeCloseTo(10.8);
    expect([...h]).toEqual([0, 0, 0, 0, 5, 5, 5, 5]);
    await stepper.release();
  });

  it('keeps its name to itself', async () => {
    await expect(bring(stepModel(WIDTH, K), 'mine')).rejects.toThrow(/A model 'mine' already exists/);
  });

  const good = stepModel(WIDTH, K);
  const nanFromOrdinary = stepModel(WIDTH, K, { bend: (g, q) => g.emit('Sqrt', [q], q.shape) });
  it.each<[string, Uint8Array, RegExp]>([
    ['an open number of inputs', stepModel(WIDTH, K, { x: ['N', 'I'] }), /x must be \[N,I\] with N open/],
    ['one stream only', stepModel(WIDTH, K, { x: [1, WIDTH] }), /x must be \[N,I\] with N open/],
    ['an open state', stepModel(WIDTH, K, { h: [1, 'N', 'H'] }), /h must be \[L,N,H\]/],
    ['a third input', stepModel(WIDTH, K, { inputs: [['mask', [1]]] }), /input mask is not part/],
    ['other names', stepModel(WIDTH, K, { names: ['q', 'state'] }), /quantiles \[N,K,9\] is missing; h_next/],
    [
      'NaN from zeros',
      stepModel(WIDTH, K, {
        bend: (g, q) => g.emit('Log', [g.emit('Sub', [q, g.scalar(5)], q.shape)], q.shape),
      }),
      /output for an empty state is not finite/,
    ],
    ['NaN from ordinary inputs', nanFromOrdinary, /output for ordinary inputs is not finite, at step 1/],
    [
      'a mean over the batch',
      stepModel(WIDTH, K, {
        bend: (g, q) => g.emit('Sub', [q, g.emit('ReduceMean', [q, g.int64([0])], [1, K, 9])], q.shape),
      }),
      /output depends on the other streams in the same run/,
    ],
    [
      'eight levels',
      stepModel(WIDTH, K, {
        bend: (g, q) => g.emit('Slice', [q, g.int64([0]), g.int64([8]), g.int64([2])], ['N', K, 8]),
      }),
      /quantiles must be \[N,K,9\]/,
    ],
    ['a truncated file', good.subarray(0, 200), /cannot load the model/],
    ['an empty file', new Uint8Array(0), /cannot load the model/],
    ['no model at all', new TextEncoder().encode('step'), /cannot load the model/],
  ])('is refused for %s', async (_what, model, message) => {
    const { wrong } = await tryStepModel(model).catch((error) => {
      expect(error).toMatchObject({ code: 'MODEL_INVALID' });
      return { wrong: String(error) };
    });
    expect(wrong).toMatch(message);
  });

  it.each<[string, Uint8Array, RegExp]>([
    ['other features', stepModel(WIDTH + 1, K), /takes 256 inputs; for 3 leads the features give/],
    ['a truncated file', good.subarray(0, 200), /cannot load the model/],
    ['NaN from ordinary inputs', nanFromOrdinary, /output for ordinary inputs is not finite/],
    [
      'weights in another file',
      withExternalData(good, 'levels', 'w.bin').model,
      /stores levels in another file/,
    ],
  ])('is not imported for %s, and the registry stays as it was', async (_what, model, message) => {
    await expect(bring(model, 'wrong')).rejects.toThrow(
      expect.objectContaining({ code: 'MODEL_INVALID', message: expect.stringMatching(message) }),
    );
    expect(registry.list().map(({ name, problem }) => [name, problem])).toEqual([['mine', null]]);
    expect(readdirSync(join(folder, 'models'))).toEqual(['mine']);
  });
});
