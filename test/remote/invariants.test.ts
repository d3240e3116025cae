/**
 * Invariants over random sequences of pushes, of models in parts, crashes at any write, clock jumps and lost connections: the
 * running config is always one that was valid; its model is on the disk, whole; versions of a key never go back; a rollback ends
 * in a config that had been committed; what is reported matches what runs; nothing of an abandoned model stays.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { configHash } from '../../src/config/index.ts';
import type { ModelClaim } from '../../src/remote/contract.ts';
import { effectiveConfig } from '../../src/remote/layers.ts';
import { PushState } from '../../src/remote/push-state.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FILE, Gateway, keySetOf, LOCAL, MemoryFolder, newKey, signed } from './gateway.ts';
import { type Files, modelFiles, quickClaim } from './models.ts';

const KEYS = [newKey('a'), newKey('b')];
const keys = keySetOf(...KEYS);
const NOW = Date.UTC(2026, 4, 1);

/** The last one's golden vector is wrong. */
const NAMES = ['one', 'two', 'wrong'] as const;
const models = new Map<string, { readonly files: Files; readonly claim: ModelClaim }>();
beforeAll(async () => {
  for (const [seed, name] of NAMES.entries()) {
    const files = modelFiles(name, { seed });
    const claim = await quickClaim(name, files);
    const golden = { tolerance: 0.02, output: [7] };
    models.set(name, { files, claim: name === 'wrong' ? { ...claim, golden } : claim });
  }
});

type Step =
  | {
      readonly type: 'push';
      readonly key: number;
      readonly ahead: number;
      readonly kind: 'hot' | 'restart' | 'invalid' | 'local' | 'patch' | 'rollback';
      readonly value: number;
    }
  | { readonly type: 'model'; readonly model: number; readonly ahead: number }
  | { readonly type: 'send'; readonly chunks: number }
  | { readonly type: 'score'; readonly verdict: 'wait' | 'confirm' | 'rollback' }
  | { readonly type: 'crash'; readonly writes: number }
  | { readonly type: 'pass'; readonly seconds: number }
  | { readonly type: 'lost'; readonly seconds: number }
  | { readonly type: 'jump'; readonly days: number }
  | { readonly type: 'restart' }
  | { readonly type: 'rot'; readonly file: number };

const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('push' as const),
      key: fc.integer({ min: 0, max: 1 }),
      ahead: fc.integer({ min: -2, max: 3 }),
      kind: fc.constantFrom('hot', 'hot', 'restart', 'invalid', 'local', 'patch', 'rollback'),
      value: fc.integer({ min: 1, max: 50 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('model' as const),
      model: fc.integer({ min: 0, max: NAMES.length - 1 }),
      ahead: fc.integer({ min: 0, max: 2 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ type: fc.constant('send' as const), chunks: fc.constantFrom(1, 2, 9, 9, 9) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('score' as const),
      verdict: fc.constantFrom('wait' as const, 'confirm' as const, 'rollback' as const),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constant('crash' as const), writes: fc.integer({ min: 1, max: 9 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constant('pass' as const), seconds: fc.integer({ min: 1, max: 15 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('lost' as const), seconds: fc.integer({ min: 1, max: 8 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('jump' as const), days: fc.integer({ min: -400, max: 400 }) }),
  },
  { weight: 2, arbitrary: fc.constant({ type: 'restart' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('rot' as const), file: fc.integer({ min: 0, max: 9 }) }),
  },
);

const CONTENT = {
  hot: (value: number) => ({ config: { publish: { every: `${value}m` } } }),
  patch: (value: number) => ({ patch: { streams: { pumps: { horizon: `${value}m` } } } }),
  restart: (value: number) => ({ patch: { max_streams: value } }),
  invalid: (value: number) => ({ patch: { publish: { every: value } } }),
  local: () => ({ patch: { data_dir: '/tmp' } }),
  rollback: () => ({ rollback: true }),
};

/** Plays the steps and checks the invariants after each. */
async function play(sequence: readonly Step[]): Promise<void> {
  const folder = new MemoryFolder();
  const clock = new FakeClock(NOW);
  const valid = new Set([configHash(effectiveConfig(FILE, {}, []).config)]);
  const committed = new Set(valid);
  const disk = mkdtempSync(join(tmpdir(), 'gatecast-invariants-'));
  const start = (): Gateway => new Gateway(folder, clock, keys, LOCAL, FILE, disk);
  let versions: Record<string, Record<string, number>> = {};
  let gateway = start();

  const restart = async (): Promise<void> => {
    await gateway.remote.stop();
    folder.failAt = Number.POSITIVE_INFINITY;
    gateway = start();
    // A push whose model had come already goes on at once.
    await gateway.settle();
  };
  for (const step of sequence) {
    if (step.type === 'push') {
      const key = KEYS[step.key] ?? KEYS[0];
      if (key === undefined) return;
      const version = Math.max(1, gateway.life.seen('node', key.kid) + step.ahead);
      const good = [gateway.life.reported().last_good.hash];
      // The pause before a push takes time of the test's clock, in which an earlier one that is on trial may prove itself.
      if (gateway.life.onTrial) good.push(gateway.runningHash);
      await gateway.push(
        await signed(
          key,
          { nowMs: clock.now(), version },
          { ...CONTENT[step.kind](step.value), probation: '10s' },
        ),
      );
      if (gateway.life.reported().status === 'rejected')
        expect(good).toContain(gateway.life.reported().last_good.hash);
    } else if (step.type === 'model') {
      const [key] = KEYS;
      const { claim } = models.get(NAMES[step.model] ?? '') ?? {};
      if (key === undefined) return;
      const version = Math.max(1, gateway.life.seen('node', key.kid) + step.ahead);
      gateway.haves.length = 0;
      await gateway.push(
        await signed(key, { nowMs: clock.now(), version }, { model: claim, probation: '10s' }),
      );
    } else if (step.type === 'send') {
      const name = gateway.intake?.progress()?.model ?? '';
      const found = models.get(name);
      if (found !== undefined) await gateway.send(name, found.files, step.chunks);
    } else if (step.type === 'score')
      gateway.judgeModel = () => ({ type: step.verdict, reason: 'as the test says' });
    else if (step.type === 'crash') folder.failAt = folder.writes + step.writes;
    else if (step.type === 'pass') await gateway.pass(step.seconds * 1000);
    else if (step.type === 'lost') {
      gateway.vitals = { ...gateway.vitals, connected: false };
      await gateway.pass(step.seconds * 1000);
      gateway.vitals = { ...gateway.vitals, connected: true };
    } else if (step.type === 'jump') clock.jump(step.days * 86_400_000);
    else if (step.type === 'rot') {
      const name = folder.list()[step.file];
      const bytes = name === undefined ? null : folder.read(name);
      // One copy of the state, or the layers of a candidate; both copies at once are the test of `push-state`.
      if (
        name !== undefined &&
        bytes !== null &&
        name.startsWith('state') &&
        folder.list().filter((other) => other.startsWith('state')).length === 2 &&
        gateway.life.phase !== 'verified'
      ) {
        const intact = new PushState(folder).now;
        if (intact.phase === 'idle' || intact.phase === 'committed' || intact.phase === 'rolled_back') {
          bytes[Math.floor(bytes.length / 2)] = (bytes[Math.floor(bytes.length / 2)] ?? 0) ^ 4;
          await restart();
        }
      }
    }
    // A crash is a write that failed: the process is gone, and another begins. So is a restart that was asked for.
    if (folder.writes >= folder.failAt || step.type === 'restart' || gateway.restarts > 0) await restart();

    const state = new PushState(folder).now;
    const reported = gateway.life.reported();
    // Whatever was on trial was validated; what is current was committed.
    if (gateway.life.onTrial) {
      const layers = gateway.life.candidateLayers();
      if (layers !== null) valid.add(effectiveConfig(FILE, layers, ['node']).hash);
    }
    if (state.phase === 'committed')
      committed.add(effectiveConfig(FILE, gateway.life.current().layers, ['node']).hash);
    for (const hash of committed) valid.add(hash);
    expect(valid).toContain(gateway.runningHash);
    expect(reported.effective_hash).toBe(gateway.runningHash);
    const runs = gateway.life.onTrial ? gateway.life.push : state.current;
    expect(reported.effective).toMatchObject({ version: runs?.version ?? null, kid: runs?.kid ?? null });
    if (reported.status === 'rolled_back') expect(committed).toContain(reported.effective_hash);
    if (!gateway.life.onTrial) expect(committed).toContain(gateway.runningHash);
    for (const [kid, version] of Object.entries(versions.node ?? {}))
      expect(state.versions.node?.[kid] ?? 0).toBeGreaterThanOrEqual(version);
    versions = state.versions;
    const { name } = gateway.running.model;
    if (name !== 'base') expect(existsSync(join(disk, 'models', name, 'manifest.json'))).toBe(true);
    if (gateway.life.waiting() === null) expect(gateway.intake?.progress()).toBeNull();
    else expect(reported.effective).not.toMatchObject({ status: 'applying' });
  }
  await restart();
  await gateway.remote.stop();
  const waits = gateway.life.waiting() !== null;
  expect(filesOf(join(disk, 'remote', 'model')).length).toBeLessThanOrEqual(waits ? 1 : 0);
  const named = gateway.life.modelNames();
  for (const name of filesOf(join(disk, 'models')))
    expect([...named, waits ? NAMES : []].flat()).toContain(name);
  rmSync(disk, { recursive: true });
}

function filesOf(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

describe('remote config, whatever happens', () => {
  it('keeps its invariants', async () => {
    await fc.assert(fc.asyncProperty(fc.array(steps, { minLength: 3, maxLength: 25 }), play), {
      numRuns: Number(process.env.GATECAST_REMOTE_RUNS ?? 60),
      endOnFailure: false,
    });
  });
});
