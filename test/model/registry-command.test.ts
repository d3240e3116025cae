import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exportTo, importInto, listModels, rollBack, showModel } from '../../src/cli/model/run.ts';
import { loadModel } from '../../src/model/pack.ts';
import { ModelRegistry, writeModel } from '../../src/model/registry.ts';
import { createSession, createStepper, type NamedArray } from '../../src/model/sessions.ts';
import { ModelSlots } from '../../src/model/slots.ts';
import { toPyTorch } from '../../src/network/pytorch.ts';
import { createRandom } from '../../src/network/random.ts';
import { writeSafetensors } from '../../src/network/safetensors.ts';
import type { NetworkSpec } from '../../src/network/spec.ts';
import { initialWeights } from '../../src/network/weights.ts';
import { AHEAD, FEATURE_FORMAT, I } from '../../src/series/features.ts';
import { lockDataDir } from '../../src/store/lock.ts';
import { forecastSpec } from '../../src/training/job.ts';
import { randomNetwork, untrainedModel } from '../support/models.ts';

const FEATURES = { format: FEATURE_FORMAT, inputs: I, leadWidth: AHEAD };
const spec = forecastSpec({ cell: 'lstm', layers: 1, hidden: 16, width: 8 });
const bare: NetworkSpec = { ...spec, cell: 'gru', layers: 2, inputs: 3, head: { kind: 'none' } };

let folder: string;
let registry: ModelRegistry;
let slotsFile: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatecast-model-'));
  registry = new ModelRegistry(join(folder, 'models'), join(folder, 'shipped'));
  slotsFile = join(folder, 'models', 'slots.json');
  writeModel(join(folder, 'shipped', 'base'), baseModel('1'));
});
const baseModel = (version: string) => untrainedModel(spec, { version, scores: { sql: 0.5 } });
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);

describe('gatecast model', () => {
  it('lists the own network of a gateway beside the base network', () => {
    const gru = forecastSpec({ cell: 'gru', layers: 1, hidden: 32, width: 8 });
    const own = randomNetwork(gru, 2);
    const files = untrainedModel(spec, { name: 'default-1', own });
    registry.save(files);
    expect(listModels(registry, slotsFile, false)).toMatch(/default-1 +data +lstm 1x16 \+ 1x32, lead/);
    expect(showModel(registry, 'default-1', false)).toContain('and one of 32 trained on the gateway');
  });

  it('imports a torch.nn stack, and exports it as it was', async () => {
    const weights = initialWeights(bare, createRandom(2));
    // in the order of names, as safetensors.torch.save_file writes them
    const byName = new Map([...toPyTorch('gru', weights)].sort(([a], [b]) => (a < b ? -1 : 1)));
    writeFileSync(at('w.safetensors'), writeSafetensors(byName));
    expect(await importInto(registry, at('w.safetensors'), { name: 'cell', cell: 'gru' })).toMatch(
      /gru, 2 layer\(s\) of 16, 3 inputs; a bare cell stack/,
    );
    expect([...registry.open('cell').weights!]).toEqual([...weights]);
    exportTo(registry, 'cell', { format: 'safetensors', graph: 'step', out: at('back.safetensors') });
    expect(readFileSync(at('back.safetensors')).equals(readFileSync(at('w.safetensors')))).toBe(true);

    exportTo(registry, 'cell', { format: 'onnx', graph: 'sequence', out: at('seq.onnx') });
    const session = await createSession(readFileSync(at('seq.onnx')));
    const { states } = await session.run({
      x: { data: new Float32Array(5 * 2 * 3).fill(0.5), shape: [5, 2, 3] },
      h0: { data: new Float32Array(2 * 2 * 16), shape: [2, 2, 16] },
    });
    expect(states!.shape).toEqual([5, 2, 16]);
    await session.release();

    // The agent does not run a bare stack: its step is exact unless int8 is asked for.
    const step = async (flags: { int8?: boolean }) => {
      exportTo(registry, 'cell', { format: 'onnx', graph: 'step', out: at('step.onnx'), ...flags });
      const one = await createSession(readFileSync(at('step.onnx')));
      let h: NamedArray = { data: new Float32Array(2 * 2 * 16), shape: [2, 2, 16] };
      for (let t = 0; t < 5; t++) {
        const { h_next } = await one.run({ x: { data: new Float32Array(6).fill(0.5), shape: [2, 3] }, h });
        h = { data: h_next!.data.slice(), shape: [2, 2, 16] };
      }
      await one.release();
      const last = states!.data.subarray(4 * 32);
      return Math.max(...last.map((value, i) => Math.abs(value - h.data[32 + i]!)));
    };
    expect(await step({})).toBeLessThan(1e-6);
    expect(await step({ int8: true })).toBeGreaterThan(1e-5);
  });

  it('is written over the one before, also after a crash in the middle of that', () => {
    const target = join(folder, 'shipped', 'base');
    mkdirSync(`${target}.old.tmp`);
    writeFileSync(join(`${target}.old.tmp`, 'manifest.json'), 'of an older one');
    writeModel(target, baseModel('2'));
    expect(registry.open('base').manifest.version).toBe('2');
    expect(readdirSync(join(folder, 'shipped'))).toEqual(['base']);
  });

  it('exports a step graph that keeps the contract, and imports it again', async () => {
    exportTo(registry, 'base', {
      format: 'onnx',
      graph: 'step',
      leads: 7,
      float32: true,
      out: at('step.onnx'),
    });
    const stepper = await createStepper(readFileSync(at('step.onnx')));
    expect(stepper).toMatchObject({ inputs: I + 7 * AHEAD, leads: 7, layers: 2 });
    await stepper.release();
    expect(await importInto(registry, at('step.onnx'), { name: 'mine' })).toMatch(
      /step model; forecasts 7 steps/,
    );
    const loaded = loadModel(registry.open('mine'), FEATURES);
    expect((await loaded.stepper(7)).leads).toBe(7);
    await expect(loaded.stepper(8)).rejects.toThrow(/forecasts 7 steps, but 8 were requested/);
    expect(() => exportTo(registry, 'mine', { format: 'safetensors', graph: 'step', out: at('x') })).toThrow(
      /has only a step graph/,
    );
  });

  it('imports tuned weights of a known network', async () => {
    const tuned = initialWeights(spec, createRandom(9));
    writeFileSync(at('t.safetensors'), writeSafetensors(tuned));
    expect(await importInto(registry, at('t.safetensors'), { name: 'tuned', like: 'base' })).toMatch(
      /forecasts 12 steps/,
    );
    expect(registry.open('tuned').hash).not.toBe(registry.open('base').hash);
    // and the weights that were exported, which are under PyTorch's names
    exportTo(registry, 'tuned', { format: 'safetensors', graph: 'step', out: at('back.safetensors') });
    await importInto(registry, at('back.safetensors'), { name: 'again', like: 'base' });
    expect(registry.open('again').hash).toBe(registry.open('tuned').hash);
  });

  it('refuses unusable models and leaves the registry unchanged', async () => {
    writeFileSync(at('bad.safetensors'), 'not one');
    writeFileSync(at('bad.onnx'), 'not one');
    const lstm = writeSafetensors(
      toPyTorch('lstm', initialWeights({ ...bare, cell: 'lstm' }, createRandom(1))),
    );
    writeFileSync(at('lstm.safetensors'), lstm);
    const cases: [string, { name: string; cell?: string; like?: string }, RegExp][] = [
      ['bad.safetensors', { name: 'x', cell: 'gru' }, /safetensors/],
      ['bad.onnx', { name: 'x' }, /cannot load/],
      ['none.safetensors', { name: 'x', cell: 'gru' }, /ENOENT/],
      ['lstm.safetensors', { name: 'x', cell: 'gru' }, /has 4 gates; a gru has 3/],
      ['lstm.safetensors', { name: 'x' }, /The network of the weights/],
      ['lstm.safetensors', { name: 'x', like: 'base' }, /do not fit/],
      ['lstm.safetensors', { name: '../x', cell: 'lstm' }, /cannot be the name/],
      // it would hide the one that came with gatecast
      ['lstm.safetensors', { name: 'base', cell: 'lstm' }, /A model 'base' already exists/],
    ];
    for (const [file, flags, message] of cases) {
      await expect(importInto(registry, at(file), flags)).rejects.toThrow(message);
    }
    expect(registry.list().map((one) => one.name)).toEqual(['base']);
  });

  it('lists and shows, as text and as JSON', () => {
    const slots = new ModelSlots(slotsFile);
    slots.stage('default', 'old', 'base');
    slots.promote('default', 'old', 0, '');
    expect(listModels(registry, slotsFile, false)).toMatch(
      /base +shipped +lstm 1x16, lead .* default \(on probation\)/,
    );
    expect(JSON.parse(listModels(registry, slotsFile, true))).toMatchObject([
      { name: 'base', runs: 'default (on probation)' },
    ]);
    expect(listModels(new ModelRegistry(null, null), null, false)).toMatch(/No models/);
    expect(showModel(registry, 'base', false)).toMatch(/\| sql \| 0.5 \|[\s\S]*verified/);
    expect(JSON.parse(showModel(registry, 'base', true))).toMatchObject({
      name: 'base',
      spec: { cell: 'lstm' },
    });
  });

  it('rolls back to a model that is there', () => {
    const slots = new ModelSlots(slotsFile);
    slots.stage('default', 'base', 'gone');
    slots.promote('default', 'base', 0, '');
    expect(rollBack(registry, slotsFile, 'default')).toMatch(/runs 'base'/);
    expect(() => rollBack(registry, slotsFile, 'default')).toThrow(/no previous model/);
    expect(() => rollBack(registry, null, 'default')).toThrow(/data directory/);
    slots.stage('other', 'gone', 'base');
    slots.promote('other', 'gone', 0, '');
    expect(() => rollBack(registry, slotsFile, 'other')).toThrow(/no model 'gone'/);
  });

  it('does not roll back while an agent runs, which would overwrite the choice', () => {
    const lock = lockDataDir(folder);
    expect(() => rollBack(registry, slotsFile, 'default')).toThrow(/another agent/);
    lock.release();
    expect(() => rollBack(registry, slotsFile, 'default')).toThrow(/no previous/);
  });

  it('lists the models beside a damaged choice, and does not change it', () => {
    mkdirSync(join(folder, 'models'), { recursive: true });
    writeFileSync(slotsFile, 'junk');
    listModels(registry, slotsFile, true);
    expect(readFileSync(slotsFile, 'utf8')).toBe('junk');
  });
});
