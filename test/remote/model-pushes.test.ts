/** Pushes that bring a model: what becomes of good ones and of each kind of bad one. */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { CHUNK_BYTES, type ModelClaim } from '../../src/remote/contract.ts';
import { bytesOf } from '../../src/remote/model-claim.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { tempFolder } from '../support/stores.ts';
import { DOCUMENT, FILE, Gateway, keySetOf, LOCAL, MemoryFolder, newKey, signed } from './gateway.ts';
import { type Files, modelFiles, quickClaim, quickTrial } from './models.ts';

const ops = newKey('ops');
const keys = keySetOf(ops, newKey('config-only', ['config']));
const NOW = Date.UTC(2026, 4, 1);

interface Set {
  readonly disk: string;
  readonly gateway: Gateway;
  readonly folder: MemoryFolder;
  readonly clock: FakeClock;
  /** Another run on the same disk. */
  again(): Promise<Gateway>;
  push(content: Record<string, unknown>, version?: number): Promise<Gateway['reported']>;
}

function setUp(more: ConstructorParameters<typeof Gateway>[6] = {}): Set {
  const disk = tempFolder();
  const folder = new MemoryFolder();
  const clock = new FakeClock(NOW);
  const start = (): Gateway => new Gateway(folder, clock, keys, LOCAL, FILE, disk, more);
  const set = {
    disk,
    folder,
    clock,
    gateway: start(),
    async again() {
      await set.gateway.remote.stop();
      set.gateway = start();
      return set.gateway;
    },
    push: async (content: Record<string, unknown>, version = 1) =>
      set.gateway.push(await signed(ops, { nowMs: clock.now(), version }, { probation: '10s', ...content })),
  };
  return set;
}
const left = ({ disk }: Set): string[] => {
  const folder = join(disk, 'remote', 'model');
  return existsSync(folder) ? readdirSync(folder) : [];
};
const models = ({ disk }: Set): string[] => {
  const folder = join(disk, 'models');
  return existsSync(folder) ? readdirSync(folder) : [];
};

describe('a push with a model', () => {
  it('waits for the chunks, is applied, judged by its live score, and committed', async () => {
    const set = setUp();
    const files = modelFiles('pumps-v2');
    const model = await quickClaim('pumps-v2', files);
    const { gateway } = set;
    const before = gateway.runningHash;
    const first = await set.push({ model, patch: { publish: { every: '2m' } } });
    expect(first).toMatchObject({
      status: 'applying',
      code: 202,
      version: 1,
      effective: { status: 'applied' },
    });
    expect(gateway.runningHash).toBe(before);
    await gateway.pass(1000);
    expect(gateway.reports.at(-1)?.reported.transfer).toMatchObject({ model: 'pumps-v2', received: 0 });
    await gateway.until(() => gateway.haves.length > 0);
    expect(gateway.haves[0]).toMatchObject({
      status: 'receiving',
      missing: [[0, (model.chunks?.length ?? 0) - 1]],
    });
    const asked: number[] = [];
    gateway.judgeModel = (elapsedMs) => {
      asked.push(elapsedMs);
      return { type: elapsedMs < 15_000 ? 'wait' : 'confirm', reason: '' };
    };
    expect(await gateway.send('pumps-v2', files)).toMatchObject({
      status: 'probation',
      code: 202,
      needs: 'hot',
    });
    expect(gateway.haves.at(-1)).toMatchObject({ status: 'complete', missing: [] });
    expect(gateway.running).toMatchObject({ model: { name: 'pumps-v2' }, publish: { every: 120_000 } });
    await gateway.pass(12_000);
    expect(gateway.reported.status).toBe('probation');
    await gateway.pass(5000);
    expect(gateway.reported).toMatchObject({ status: 'applied', code: 200 });
    expect(asked.length).toBeGreaterThan(10);
    expect(left(set)).toEqual([]);
    expect(models(set)).toEqual(['pumps-v2']);
    expect(readFileSync(join(set.disk, 'models', 'pumps-v2', 'manifest.json'))).toEqual(
      files.get('manifest.json'),
    );
  });

  it.each([
    [
      'its live score is worse',
      { judge: { type: 'rollback', reason: 'live loss is 2 times' } as const },
      'worse',
    ],
    ['its step throws', { vitals: { stepFailures: 1 } }, 'step fails'],
    ['the engine does not take it up', { vitals: { modelProblem: 'other inputs' } }, 'cannot be used'],
    ['an alert is raised', { vitals: { alerts: ['store'] } }, 'alert'],
  ])('goes back and is removed when %s', async (_, change, text) => {
    const set = setUp();
    const files = modelFiles('worse');
    const before = set.gateway.runningHash;
    await set.push({ model: await quickClaim('worse', files) });
    await set.gateway.send('worse', files);
    expect(set.gateway.reported.status).toBe('probation');
    if ('judge' in change) set.gateway.judgeModel = () => change.judge;
    else set.gateway.vitals = { ...set.gateway.vitals, ...change.vitals };
    await set.gateway.pass(2000);
    expect(set.gateway.reported).toMatchObject({ status: 'rolled_back', code: 500, effective_hash: before });
    expect(set.gateway.reported.errors[0]?.text).toContain(text);
    expect(set.gateway.running.model.name).toBe('base');
    expect(models(set)).toEqual([]);
  });

  it('keeps the model before until after probation, and as long as a rollback goes back to it', async () => {
    const set = setUp();
    for (const [at, name] of ['one', 'two', 'three'].entries()) {
      const files = modelFiles(name, { seed: at });
      await set.push({ model: await quickClaim(name, files) }, at + 1);
      await set.gateway.send(name, files);
      expect(set.gateway.running.model.name).toBe(name);
      expect(models(set)).toContain(
        ['base', 'one', 'two'][at] === 'base' ? name : ['base', 'one', 'two'][at],
      );
      await set.gateway.pass(12_000);
      expect(set.gateway.reported).toMatchObject({ status: 'applied', version: at + 1 });
    }
    expect(models(set)).toEqual(['three', 'two']);
    await set.push({ rollback: true }, 4);
    expect(set.gateway.running.model.name).toBe('two');
    await set.gateway.pass(12_000);
    expect(set.gateway.reported).toMatchObject({ status: 'applied', version: 4 });
  });

  it('goes on after the end of the agent with what had arrived, also where the push does not come again', async () => {
    const set = setUp();
    const files = modelFiles('long', { card: 5 * CHUNK_BYTES });
    const model = await quickClaim('long', files);
    await set.push({ model });
    await set.gateway.send('long', files, 3);
    expect(set.gateway.intake?.progress()?.received).toBe(3 * CHUNK_BYTES);
    // A power cut has spoilt one of them.
    const [part = ''] = left(set);
    const path = join(set.disk, 'remote', 'model', part);
    const bytes = readFileSync(path);
    bytes[CHUNK_BYTES + 5] = (bytes[CHUNK_BYTES + 5] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const gateway = await set.again();
    expect(gateway.reported).toMatchObject({ status: 'applying', version: 1, errors: [] });
    expect(await gateway.send('long', files)).toMatchObject({ status: 'probation', version: 1 });
    expect(gateway.haves[0]?.missing).toEqual([
      [1, 1],
      [3, (model.chunks?.length ?? 0) - 1],
    ]);
    expect(gateway.running.model.name).toBe('long');
  });

  it('of the same model needs no bytes', async () => {
    const set = setUp();
    const files = modelFiles('same');
    const model = await quickClaim('same', files);
    await set.push({ model });
    await set.gateway.send('same', files);
    await set.gateway.pass(12_000);
    const count = set.gateway.haves.length;
    expect(await set.push({ model, patch: { publish: { every: '3m' } } }, 2)).toMatchObject({
      status: 'probation',
    });
    expect(set.gateway.haves).toHaveLength(count);
  });

  it('is read and hashed once, not for each push that names it; damage is found all the same', async () => {
    const set = setUp();
    const files = modelFiles('twice');
    const model = await quickClaim('twice', files);
    await set.push({ model });
    await set.gateway.send('twice', files);
    await set.gateway.pass(12_000);
    expect(set.gateway.running.model.name).toBe('twice');
    // What it has checked itself is not read again.
    const first = vi.spyOn(set.gateway.registry, 'open');
    await set.push({ model, patch: { publish: { every: '3m' } } }, 2);
    await set.gateway.pass(12_000);
    expect(first).not.toHaveBeenCalled();
    // Another run reads it once.
    const gateway = await set.again();
    const later = vi.spyOn(gateway.registry, 'open');
    for (const version of [3, 4, 5]) {
      await set.push({ model, patch: { publish: { every: `${version}m` } } }, version);
      await gateway.pass(12_000);
    }
    expect(later).toHaveBeenCalledTimes(1);
    const weights = join(set.disk, 'models', 'twice', 'weights.safetensors');
    writeFileSync(weights, readFileSync(weights).fill(255, statSync(weights).size - 8));
    expect(await set.push({ model, patch: { publish: { every: '9m' } } }, 6)).toMatchObject({
      status: 'applying',
    });
  });

  it('gives way to a newer push of its layer, and not to one of another layer', async () => {
    const set = setUp();
    const files = modelFiles('late');
    await set.push({ model: await quickClaim('late', files) });
    await set.gateway.send('late', files, 1);
    const fleet = { aud: 'fleet:gatecast/north', patch: { log: { level: 'debug' } }, probation: '10s' };
    await set.gateway.push(await signed(ops, { nowMs: set.clock.now(), version: 7 }, fleet), 'fleet:north');
    expect(set.gateway.intake?.progress()).not.toBeNull();
    expect(await set.push({ patch: { publish: { every: 7 } } }, 2)).toMatchObject({ code: 400 });
    expect(set.gateway.intake?.progress()).not.toBeNull();
    expect(await set.push({ patch: { publish: { every: '7m' } } }, 3)).toMatchObject({
      code: 202,
      version: 3,
    });
    expect(set.gateway.intake?.progress()).toBeNull();
    expect(set.gateway.reported.history).toMatchObject([{ version: 1, code: 409, status: 'rejected' }]);
    await set.gateway.pass(12_000);
    expect(set.gateway.running.model.name).toBe('base');
    await set.gateway.until(() => left(set).length === 0);
    expect(left(set)).toEqual([]);
  });

  it('answers a dry run without taking any bytes', async () => {
    const set = setUp();
    const model = await quickClaim('dry', modelFiles('dry'));
    await set.push({ model, dry_run: true });
    expect(set.gateway.reports.at(-1)).toMatchObject({
      retain: false,
      reported: { dry_run: true, code: 200 },
    });
    expect(set.gateway.haves).toEqual([]);
    await set.push({ model: { ...model, bytes: 5_000_000_000 }, dry_run: true });
    expect(set.gateway.reported).toMatchObject({ code: 400 });
  });

  it('takes no chunk twice, no wrong one, none of another model and no more than it can look at', async () => {
    const set = setUp();
    const files = modelFiles('chunks', { card: 5 * CHUNK_BYTES });
    await set.push({ model: await quickClaim('chunks', files) });
    await set.gateway.send('chunks', files, 1);
    const all = bytesOf(files);
    const chunk = (number: number): Uint8Array =>
      all.subarray(number * CHUNK_BYTES, (number + 1) * CHUNK_BYTES);
    const received = () => set.gateway.intake?.progress()?.received;
    const wait = () => new Promise((resolve) => setTimeout(resolve, 20));
    set.gateway.intake?.chunk('chunks', 0, chunk(0));
    set.gateway.intake?.chunk('chunks', 1, chunk(2));
    set.gateway.intake?.chunk('chunks', 1, chunk(1).subarray(1));
    set.gateway.intake?.chunk('chunks', 999_999, chunk(1));
    set.gateway.intake?.chunk('other', 1, chunk(1));
    await wait();
    expect(received()).toBe(CHUNK_BYTES);
    for (let flood = 0; flood < 10_000; flood++) set.gateway.intake?.chunk('chunks', 1, chunk(2));
    set.gateway.intake?.chunk('chunks', 1, chunk(1));
    await wait();
    expect(received()).toBe(CHUNK_BYTES);
    set.clock.advance(1000);
    set.gateway.intake?.chunk('chunks', 1, chunk(1));
    await wait();
    await set.gateway.until(() => received() === 2 * CHUNK_BYTES);
    expect(received()).toBe(2 * CHUNK_BYTES);
  });

  it('is given up when nothing comes for a day', async () => {
    const set = setUp();
    await set.push({ model: await quickClaim('never', modelFiles('never')) });
    await set.gateway.send('never', modelFiles('never'), 1);
    for (let hour = 0; hour < 25; hour++) set.clock.advance(3_600_000);
    await set.gateway.until(() => set.gateway.reported.status === 'rejected');
    expect(set.gateway.reported).toMatchObject({ status: 'rejected', code: 503, version: 1 });
    expect(set.gateway.reported.errors[0]?.text).toContain('has not arrived');
    expect(left(set)).toEqual([]);
  });
});

type Spoil = (files: Files, claim: ModelClaim) => { files?: Files; claim?: object; content?: object };
const BAD: readonly (readonly [string, number, string, Spoil])[] = [
  ['5 GB announced', 400, 'model.bytes', (_, claim) => ({ claim: { ...claim, bytes: 5_000_000_000 } })],
  ['a name that climbs', 400, 'model.name', (_, claim) => ({ claim: { ...claim, name: '../../etc' } })],
  ['the name of the slots', 400, 'model.name', (_, claim) => ({ claim: { ...claim, name: 'slots.json' } })],
  [
    'a name like that of a temporary folder',
    400,
    'model.name',
    (_, claim) => ({ claim: { ...claim, name: 'a.1.tmp' } }),
  ],
  [
    'a file that climbs',
    400,
    'model.files.0.name',
    (_, claim) => ({
      claim: { ...claim, files: [{ ...claim.files[0], name: '../manifest.json' }, ...claim.files.slice(1)] },
    }),
  ],
  [
    'too few hashes of chunks',
    400,
    'model.chunks',
    (_, claim) => ({ claim: { ...claim, chunks: claim.chunks?.slice(1) } }),
  ],
  ['http', 400, 'model.source', (_, claim) => ({ claim: { ...claim, source: 'http://models.example/a' } })],
  [
    'a login in the URL',
    400,
    'model.source',
    (_, claim) => ({ claim: { ...claim, source: 'https://a:b@models.example/a' } }),
  ],
  ['with rollback', 400, 'model', (_, claim) => ({ claim, content: { rollback: true } })],
  [
    'another model named in the config',
    400,
    'model.name',
    (_, claim) => ({ claim, content: { patch: { model: { name: 'x' } } } }),
  ],
  [
    'with a wrong key in the config',
    400,
    'publish.evry',
    (_, claim) => ({ claim, content: { patch: { publish: { evry: 1 } } } }),
  ],
  [
    'with a local-only key',
    403,
    'data_dir',
    (_, claim) => ({ claim, content: { patch: { data_dir: '/' } } }),
  ],
  [
    'a golden vector that differs',
    400,
    'model.golden',
    (_, claim) => ({ claim: { ...claim, golden: { tolerance: 0.02, output: [1, 2, 4] } } }),
  ],
  [
    'a golden vector of another length',
    400,
    'model.golden',
    (_, claim) => ({ claim: { ...claim, golden: { tolerance: 0.02, output: [1, 2] } } }),
  ],
  ['no golden vector', 400, 'model.golden', (_, claim) => ({ claim: { ...claim, golden: null } })],
  [
    'a manifest of an unknown version',
    400,
    'model',
    (files) => ({ files: withManifest(files, (manifest) => ({ ...manifest, format: 2 })) }),
  ],
  [
    'a manifest with another name',
    400,
    'model.name',
    (files) => ({ files: withManifest(files, (manifest) => ({ ...manifest, name: 'other' })) }),
  ],
  [
    'a model of another cell than its weights',
    400,
    'model',
    (files) => ({
      files: withManifest(files, (manifest) => ({
        ...manifest,
        spec: { ...(manifest.spec as object), cell: 'lstm' },
      })),
    }),
  ],
  [
    'a model of features of another format',
    400,
    'model',
    (files) => ({ files: withManifest(files, (manifest) => ({ ...manifest, features: 1 })) }),
  ],
  [
    'truncated weights',
    400,
    'model',
    (files) => ({
      files: new Map(files).set(
        'weights.safetensors',
        (files.get('weights.safetensors') ?? new Uint8Array()).subarray(0, 100),
      ),
    }),
  ],
  [
    'a missing file',
    400,
    'model.files',
    (files) => {
      const fewer: Files = new Map(files);
      fewer.delete('step.onnx');
      return { files: fewer };
    },
  ],
  [
    'a model that is no model',
    400,
    'model',
    (files) => ({ files: new Map(files).set('manifest.json', Buffer.from('{')) }),
  ],
];

function withManifest(files: Files, change: (manifest: Record<string, unknown>) => object): Files {
  const manifest = JSON.parse(Buffer.from(files.get('manifest.json') ?? '').toString('utf8'));
  return new Map(files).set('manifest.json', Buffer.from(JSON.stringify(change(manifest))));
}

describe('a bad model', () => {
  it.each(BAD)('%s: %i at %s', async (_, code, path, spoil) => {
    const set = setUp();
    const good = modelFiles('bad', { card: 1000 });
    const spoilt = spoil(good, await quickClaim('bad', good));
    const files = spoilt.files ?? good;
    const model = spoilt.claim ?? (await quickClaim('bad', files));
    const before = set.gateway.runningHash;
    let reported = await set.push({ model, ...spoilt.content });
    if (reported.status === 'applying') reported = await set.gateway.send('bad', files);
    expect(reported).toMatchObject({ status: 'rejected', code, effective_hash: before });
    expect(reported.errors.map((error) => error.path)).toContain(path);
    expect(reported.effective).toMatchObject({ status: 'applied' });
    expect(set.gateway.runningHash).toBe(before);
    expect(left(set)).toEqual([]);
    expect(models(set)).toEqual([]);
    // A good one is taken afterwards.
    await set.push({ model: await quickClaim('good', modelFiles('good')) }, 2);
    expect(await set.gateway.send('good', modelFiles('good'))).toMatchObject({
      status: 'probation',
      version: 2,
    });
  });

  it('signed by a key that may not sign models: 401', async () => {
    const set = setUp();
    const other = newKey('config-only', ['config']);
    const gateway = new Gateway(new MemoryFolder(), set.clock, keySetOf(other), LOCAL, FILE, set.disk);
    const model = await quickClaim('a', modelFiles('a'));
    const payload = await signed(other, { nowMs: NOW, version: 1 }, { model });
    expect(await gateway.push(payload)).toMatchObject({ status: 'rejected', code: 401 });
  });

  it('whose step gives nonsense in the trial: 400; the reason is reported', async () => {
    const set = setUp({
      trial: async (step, limits) => ({ ...(await quickTrial(step, limits)), wrong: 'it answers with NaN' }),
    });
    const files = modelFiles('nan');
    await set.push({ model: await quickClaim('nan', files) });
    const reported = await set.gateway.send('nan', files);
    expect(reported).toMatchObject({ code: 400, errors: [{ path: 'model', text: 'it answers with NaN' }] });
    expect(set.gateway.haves.at(-1)).toMatchObject({
      status: 'refused',
      reason: 'model it answers with NaN',
    });
  });

  it('whose step takes too long on this processor: 400', async () => {
    const set = setUp({
      trial: async (step, limits) => ({ ...(await quickTrial(step, limits)), stepMs: 900 }),
    });
    const files = modelFiles('slow');
    await set.push({ model: await quickClaim('slow', files) });
    expect(await set.gateway.send('slow', files)).toMatchObject({
      code: 400,
      errors: [{ path: 'model', text: 'takes 900 ms per step here; at most 200 are allowed' }],
    });
  });

  it('of the name of another model: 400, and the other one stays', async () => {
    const set = setUp();
    const files = modelFiles('taken');
    await set.push({ model: await quickClaim('taken', files) });
    await set.gateway.send('taken', files);
    await set.gateway.pass(12_000);
    const other = await quickClaim('taken', modelFiles('taken', { seed: 9 }));
    expect(await set.push({ model: other }, 2)).toMatchObject({
      code: 400,
      errors: [{ path: 'model.name' }],
    });
    expect(models(set)).toEqual(['taken']);
  });

  it('for which there is no disk: 503, and it may come again', async () => {
    let free = 1_000_000;
    const set = setUp({ freeBytes: () => free });
    const files = modelFiles('large');
    const model = await quickClaim('large', files);
    const payload = await signed(ops, { nowMs: NOW, version: 1 }, { model });
    expect(await set.gateway.push(payload)).toMatchObject({ status: 'rejected', code: 503 });
    expect(set.gateway.reported.errors[0]?.text).toContain('MB of free disk');
    free = 1_000_000_000;
    expect(await set.gateway.push(payload)).toMatchObject({ status: 'applying', code: 202 });
  });

  it('whose check ends the agent twice: 500, and no third time', async () => {
    let checks = 0;
    const hangs = () => {
      checks += 1;
      return new Promise<never>(() => {});
    };
    const disk = tempFolder();
    const folder = new MemoryFolder();
    const clock = new FakeClock(NOW);
    const files = modelFiles('killer', { card: 1000 });
    const start = () =>
      new Gateway(folder, clock, keys, LOCAL, { document: DOCUMENT }, disk, { trial: hangs });
    let gateway = start();
    await gateway.push(
      await signed(ops, { nowMs: NOW, version: 1 }, { model: await quickClaim('killer', files) }),
    );
    for (let run = 0; run < 2; run++) {
      const turns = checks;
      void gateway.send('killer', files).catch(() => {});
      while (checks === turns) await new Promise((resolve) => setTimeout(resolve, 5));
      // The process is gone; nothing of it is stopped.
      gateway = start();
    }
    expect(await gateway.send('killer', files)).toMatchObject({ status: 'rejected', code: 500, version: 1 });
    expect(checks).toBe(2);
  });
});
