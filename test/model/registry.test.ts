import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Model } from '../../src/forecast/model.ts';
import { type Manifest, parseManifest } from '../../src/model/manifest.ts';
import { loadModel, modelCard, type PackOptions, packModel } from '../../src/model/pack.ts';
import { ModelRegistry, readModel, shippedModels, writeModel } from '../../src/model/registry.ts';
import { createRandom } from '../../src/network/random.ts';
import { writeSafetensors } from '../../src/network/safetensors.ts';
import { leadWidth, type NetworkSpec } from '../../src/network/spec.ts';
import { initialWeights } from '../../src/network/weights.ts';
import { sha256 } from '../../src/system/files.ts';

const spec: NetworkSpec = {
  cell: 'gru',
  layers: 1,
  hidden: 16,
  inputs: 5,
  dropout: 0,
  convolution: null,
  attention: null,
  head: { kind: 'lead', experts: 2, features: 3, width: 4 },
};
const features = { format: 1, inputs: 5, leadWidth: leadWidth(spec) };

function options(more: Partial<PackOptions> = {}): PackOptions {
  return {
    name: 'small',
    version: '1',
    createdMs: Date.UTC(2026, 0, 2),
    spec,
    weights: initialWeights(spec, createRandom(1)),
    leads: 6,
    features: 1,
    parent: null,
    training: {
      sets: [{ name: 'generated', licence: 'none needed', series: 3, steps: 900 }],
      seed: 1,
      steps: 10,
      seconds: 2.5,
      reason: '',
    },
    scores: { validation_loss: 0.123456 },
    ...more,
  };
}

let folder: string;
let registry: ModelRegistry;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatecast-models-'));
  registry = new ModelRegistry(join(folder, 'data'), join(folder, 'shipped'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const code = (action: () => unknown) => {
  try {
    action();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'none';
};
const modelFolder = () => join(folder, 'data', 'small');
function editManifest(change: (manifest: Record<string, never>) => void): void {
  const path = join(modelFolder(), 'manifest.json');
  const manifest = JSON.parse(readFileSync(path, 'utf8'));
  change(manifest);
  writeFileSync(path, JSON.stringify(manifest));
}

describe('ModelRegistry', () => {
  it('keeps two networks in one model, each with its own numbers', async () => {
    const ownSpec = { ...spec, hidden: 32 };
    const own = { spec: ownSpec, weights: initialWeights(ownSpec, createRandom(2)) };
    const saved = registry.save(packModel(options({ own })));
    const opened = registry.open('small');
    expect(opened.hash).toBe(saved.hash);
    expect([...opened.weights!]).toEqual([...options().weights]);
    expect(opened.own!.spec).toEqual(ownSpec);
    expect([...opened.own!.weights]).toEqual([...own.weights]);
    expect(opened.manifest.dimensions).toMatchObject({ stateRows: 1, hidden: 48 });
    const loaded = loadModel(opened, features);
    const alone = loadModel(registry.save(packModel(options({ name: 'alone' }))), features);
    expect(loaded.base).toEqual(alone.base);
    expect(loaded.hash).not.toBe(alone.hash);
    for (const leads of [6, 4]) {
      const stepper = await loaded.stepper(leads);
      expect(stepper).toMatchObject({ hidden: 48, leads, hasOwn: true });
      await stepper.release();
    }
    editManifest((manifest) => Object.assign(manifest, { own: { ...ownSpec, inputs: 6 } }));
    expect(() => registry.open('small')).toThrow(/same inputs/);
  });

  it('returns saved models bit for bit', () => {
    const given = options();
    const saved = registry.save(packModel(given));
    const opened = registry.open('small');
    expect(opened.hash).toBe(saved.hash);
    expect([...opened.weights!]).toEqual([...given.weights]);
    expect(opened.manifest.dimensions).toMatchObject({
      inputs: 5 + 6 * 7,
      stateRows: 1,
      hidden: 16,
      leads: 6,
    });
    expect(readdirSync(modelFolder()).sort()).toEqual([
      'MODEL_CARD.md',
      'manifest.json',
      'step.onnx',
      'weights.safetensors',
    ]);
    expect(readdirSync(join(folder, 'data'))).toEqual(['small']);
  });

  it('lists shipped and own models; an own one hides a shipped one of its name', () => {
    writeModel(join(folder, 'shipped', 'base'), packModel(options({ name: 'base' })));
    writeModel(join(folder, 'shipped', 'small'), packModel(options()));
    registry.save(packModel(options({ version: '2' })));
    expect(registry.list().map((one) => [one.name, one.source, one.manifest?.version])).toEqual([
      ['base', 'shipped', '1'],
      ['small', 'data', '2'],
    ]);
  });

  it('lists a damaged model with its problem instead of failing', () => {
    registry.save(packModel(options()));
    writeFileSync(join(modelFolder(), 'manifest.json'), '{');
    expect(registry.list()[0]).toMatchObject({
      name: 'small',
      manifest: null,
      problem: expect.stringContaining('not JSON'),
    });
  });

  it('refuses names that are paths', () => {
    for (const bad of ['../small', '.', '', 'a/b', 'a\0b', '-x', 'nonsense', '__proto__']) {
      expect(code(() => registry.open(bad))).toBe('MODEL_UNKNOWN');
    }
  });

  it('does not overwrite, and removes only its own', () => {
    registry.save(packModel(options()));
    expect(code(() => registry.save(packModel(options())))).toBe('MODEL_INVALID');
    registry.remove('../data');
    expect(registry.has('small')).toBe(true);
    registry.remove('small');
    expect(registry.has('small')).toBe(false);
    expect(code(() => new ModelRegistry(null, null).save(packModel(options())))).toBe('USAGE');
  });

  it('keeps the model just set aside, with the newest others, and files that are no models', () => {
    const aside = join(folder, 'data', 'set-aside');
    mkdirSync(join(aside, 'a-notes'), { recursive: true });
    writeFileSync(join(aside, 'a.txt'), '');
    for (const name of ['m2', 'm4', 'm3', 'm5', 'm1']) {
      registry.save(packModel(options({ name })));
      expect(registry.setAside(name)).toBe(join(aside, name));
      expect(readModel(join(aside, name)).manifest.name).toBe(name);
    }
    expect(readdirSync(aside).sort()).toEqual(['a-notes', 'a.txt', 'm1', 'm4', 'm5']);
    expect(registry.setAside('m1')).toBeNull();
  });

  it('replaces a model of the same folder as a whole', () => {
    const at = join(folder, 'out', 'm');
    writeModel(at, packModel(options()));
    writeModel(at, packModel(options({ version: '2' })));
    expect(readModel(at).manifest.version).toBe('2');
    expect(readdirSync(join(folder, 'out'))).toEqual(['m']);
  });

  it('ignores what a crash left behind', () => {
    mkdirSync(join(folder, 'data', 'small.99.tmp'), { recursive: true });
    writeFileSync(join(folder, 'data', 'small.99.tmp', 'manifest.json'), '{}');
    expect(registry.list()).toEqual([]);
  });
});

describe('verification before anything is loaded', () => {
  beforeEach(() => {
    registry.save(packModel(options()));
  });
  const flip = (file: string) => {
    const bytes = readFileSync(join(modelFolder(), file));
    bytes[bytes.length - 9]! ^= 1;
    writeFileSync(join(modelFolder(), file), bytes);
  };

  it.each(['weights.safetensors', 'step.onnx'])('refuses %s with one flipped bit', (file) => {
    flip(file);
    expect(() => registry.open('small')).toThrow(new RegExp(`${file}.*does not match its manifest`));
    expect(code(() => registry.open('small'))).toBe('MODEL_INVALID');
  });

  it('refuses a missing file, wrong dimensions, and keys it does not know', () => {
    editManifest((m) => Object.assign(m, { extra: 1 }));
    expect(() => registry.open('small')).toThrow(/manifest.*wrong/);
    editManifest((m) => {
      delete m.extra;
      Object.assign(m.dimensions as object, { hidden: 17 });
    });
    expect(() => registry.open('small')).toThrow(/dimensions.hidden is 17, its network has 16/);
    editManifest((m) => Object.assign(m.dimensions as object, { hidden: 16 }));
    expect(registry.open('small').manifest.name).toBe('small');
    rmSync(join(modelFolder(), 'step.onnx'));
    expect(() => registry.open('small')).toThrow(/step.onnx cannot be read/);
  });

  it('refuses NaN weights even when the checksum fits', () => {
    const weights = initialWeights(spec, createRandom(1));
    weights.get('head.bias')!.data[1] = Number.NaN;
    const bytes = writeSafetensors(weights);
    writeFileSync(join(modelFolder(), 'weights.safetensors'), bytes);
    editManifest((m) =>
      Object.assign((m.files as { weights: object }).weights, { sha256: sha256(bytes), bytes: bytes.length }),
    );
    expect(() => registry.open('small')).toThrow(/head.bias contains NaN/);
    expect(code(() => registry.open('small'))).toBe('MODEL_INVALID');
  });

  it('refuses weights of another network', () => {
    editManifest((m) => {
      Object.assign(m.spec as object, { inputs: 6 });
      Object.assign(m.dimensions as object, { inputs: 6 + 6 * 7 });
    });
    expect(() => registry.open('small')).toThrow(
      /layers.0.input.weight has shape \[48,5\]; expected \[48,6\]/,
    );
  });

  it('survives any bytes as a manifest', () => {
    for (const junk of ['', 'null', '[]', '{"format":1}', '{"__proto__":{"x":1}}', '1e999', '"\\ud800"']) {
      expect(code(() => parseManifest(junk, 'here'))).toBe('MODEL_INVALID');
    }
    expect(({} as { x?: number }).x).toBeUndefined();
  });
});

describe('loadModel', () => {
  it('is what the engine runs, for any number of leads', async () => {
    const model: Model = loadModel(registry.save(packModel(options())), features);
    expect(model).toMatchObject({ id: 'small', version: '1', stateRows: 1, hidden: 16 });
    for (const leads of [6, 11]) {
      const stepper = await model.stepper(leads);
      expect(stepper).toMatchObject({ inputs: 5 + leads * 7, layers: 1, hidden: 16, leads });
      await stepper.release();
    }
  });

  it('refuses a model of other features, or one that cannot forecast', () => {
    const stored = registry.save(packModel(options()));
    expect(() => loadModel(stored, { ...features, format: 2 })).toThrow(
      /features of format 1, this version makes format 2/,
    );
    expect(() => loadModel(stored, { ...features, inputs: 9 })).toThrow(
      /takes 47 inputs, but the features have 51/,
    );
    const bare: NetworkSpec = { ...spec, head: { kind: 'none' } };
    const cell = registry.save(
      packModel(
        options({ name: 'cell', spec: bare, weights: initialWeights(bare, createRandom(1)), features: null }),
      ),
    );
    expect(cell.step).toBeNull();
    expect(() => loadModel(cell, features)).toThrow(/cannot forecast/);
  });

  it('has a hash of numbers and features, not of names', () => {
    const of = (more: Partial<PackOptions>) => registry.save(packModel(options(more))).hash;
    const first = of({ name: 'a' });
    expect(of({ name: 'b', createdMs: 5 })).toBe(first);
    expect(registry.open('a').hash).toBe(first);
    expect(
      of({
        name: 'e',
        spec: { ...spec, cell: 'gru', head: { width: 4, features: 3, experts: 2, kind: 'lead' } },
      }),
    ).toBe(first);
    expect(of({ name: 'c', features: 2 })).not.toBe(first);
    expect(of({ name: 'd', weights: initialWeights(spec, createRandom(2)) })).not.toBe(first);
  });
});

describe('modelCard', () => {
  it('names sets, licences and scores', () => {
    const manifest = packModel(options()).manifest as Manifest;
    const card = modelCard(manifest);
    expect(card).toContain('| generated | 3 | 900 | none needed |');
    expect(card).toContain('| validation_loss | 0.1235 |');
  });
});

describe('shippedModels', () => {
  it('finds the folder from the sources and from a bundle', () => {
    const root = new URL('../../', import.meta.url);
    expect(shippedModels(new URL('src/model/registry.ts', root).href)).toBe(join(root.pathname, 'models'));
    expect(shippedModels(new URL('dist/chunks/a.js', root).href)).toBe(join(root.pathname, 'models'));
    expect(shippedModels('file:///nowhere/at/all/x.js')).toBeNull();
  });
});
