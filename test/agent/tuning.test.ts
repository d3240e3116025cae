/** Fine-tuning wired to a real engine, store, registry and slots; the worker is a stand-in where the test is not about it. */
import { readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { chooseGroupModel } from '../../src/agent/groups.ts';
import type { AgentModels } from '../../src/agent/model.ts';
import type { Change } from '../../src/agent/part.ts';
import { TuningPart, type TuningParts } from '../../src/agent/tuning.ts';
import { validateConfig } from '../../src/config/index.ts';
import { GatecastError } from '../../src/errors.ts';
import { Engine } from '../../src/forecast/engine.ts';
import type { StreamSnapshot } from '../../src/forecast/engine-contract.ts';
import { silentLogger } from '../../src/log.ts';
import { ModelRegistry } from '../../src/model/registry.ts';
import { ModelSlots } from '../../src/model/slots.ts';
import type { GroupInput } from '../../src/outputs/output.ts';
import type { Sample } from '../../src/series/sample.ts';
import { type RunningWork, startCycle } from '../../src/training/client.ts';
import type { CycleReport } from '../../src/training/cycle.ts';
import { forecastSpec } from '../../src/training/job.ts';
import type { TuningInput } from '../../src/training/protocol.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { fakeForecast } from '../support/forecasts.ts';
import { randomNetwork, spoiltHead, untrainedModel } from '../support/models.ts';
import { ordinary } from '../support/series.ts';
import { testSpec } from '../support/specs.ts';
import { openStore, tempFolder } from '../support/stores.ts';
import { waitFor } from '../support/wait.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const START = Date.UTC(2025, 0, 1);
const LEADS = 6;
/** Buckets that the streams have behind them when a test begins. */
const HEARD = 320;

const network = forecastSpec({ cell: 'gru', layers: 1, hidden: 8, width: 8 });
/** @param spoil factor on the head's weights: far from 1 the forecasts are nonsense */
const modelFiles = (name: string, seed: number, spoil = 1) => {
  const weights = spoiltHead(randomNetwork(network, seed).weights, spoil);
  return untrainedModel(network, {
    name,
    version: `of seed ${seed}`,
    createdMs: START,
    weights,
    leads: LEADS,
  });
};

const RAW = modelFiles('raw', 1);

const spec = (name: string) => testSpec(name, { intervalMs: MINUTE, horizonMs: LEADS * MINUTE });

const LOSSES = { candidate: 0.7, champion: 0.8, naive: 1, seasonal: 1.1 };
const report = (change: Partial<CycleReport>): CycleReport => ({
  status: 'refused',
  reason: 'worse by 3.0 % than the champion',
  verdict: null,
  candidate: null,
  streams: 2,
  leftOut: [],
  training: null,
  ...change,
});
const work = (result: Promise<CycleReport>, change: Partial<RunningWork<CycleReport>> = {}) => ({
  result,
  stop() {},
  pause() {},
  resume() {},
  kill: async () => {},
  ...change,
});

interface Options {
  readonly dir?: string;
  readonly finetune?: Record<string, unknown>;
  readonly start?: TuningParts['start'];
  /** Value of stream s in bucket t. */
  readonly value?: (s: number, t: number) => number;
}

const heard = (value: (s: number, t: number) => number): Sample[] =>
  Array.from({ length: HEARD }, (_, t) =>
    [0, 1].map((s) => {
      const timeMs = START + t * MINUTE + 1000;
      return { stream: `s${s}`, timeMs, value: value(s, t), arrivalMs: timeMs };
    }),
  ).flat();
const CURVES = [ordinary(1, 60)(HEARD), ordinary(2, 60)(HEARD)];
const HEARD_SAMPLES = heard((s, t) => CURVES[s]![t]!);
/** By hash of the model: the states of both streams after the usual readings, which would take most of the time of these tests. */
const snapshots = new Map<string, StreamSnapshot[]>();

/** An agent's part that tunes, with two streams heard for some hours. */
async function setUp({ dir = tempFolder(), finetune = {}, start, value }: Options = {}) {
  const clock = new FakeClock(START + HEARD * MINUTE);
  const store = openStore(dir);
  const folder = join(dir, 'models');
  const registry = new ModelRegistry(folder, null);
  if (!registry.has('raw')) registry.save(RAW);
  const slots = new ModelSlots(join(folder, 'slots.json'));
  const chosen = chooseGroupModel({ registry, slots, store, configured: 'raw', log: silentLogger });
  const engine = new Engine(chosen.model, { warmUpSteps: 24 });
  const samples = value === undefined ? HEARD_SAMPLES : heard(value);
  for (const sample of samples) store.append(sample);
  const hash = chosen.model?.hash ?? '';
  const known = value === undefined ? snapshots.get(hash) : undefined;
  for (const s of [0, 1]) engine.add(spec(`s${s}`), known?.[s]);
  if (known === undefined) {
    for (const sample of samples) engine.push(sample);
    await engine.tick(null);
    if (value === undefined)
      snapshots.set(
        hash,
        [0, 1].map((s) => engine.snapshot(`s${s}`)!),
      );
  }
  const said: GroupInput[] = [];
  const facts = { load: 0.1, temperature: 40 as number | null, restoring: false };
  /** What ran while the model was changed. */
  const during: string[] = [];
  let inRound = false;
  const switched = vi.fn();
  const models: AgentModels = {
    registry,
    slots,
    configured: 'raw',
    current: chosen,
    keep: () => new Set(['raw']),
    pushOnTrial: () => false,
  };
  const config = validateConfig({
    node: 'n',
    mqtt: { url: 'mqtt://x' },
    data_dir: dir,
    timezone: 'Europe/Berlin',
    finetune: { schedule: 'off', ...finetune },
    streams: [{ match: 's' }],
  });
  const tuning = new TuningPart({
    config: () => config,
    models,
    clock,
    log: silentLogger,
    engine: {
      streams: () => engine.streams(),
      streamsInUse: () => engine.streamsInUse(),
      tables: () => engine.tables(),
      networkScores: (name) => engine.networkScores(name),
      adopt: (model) => {
        during.push(inRound ? 'between rounds' : 'in the open');
        return engine.adopt(model);
      },
    },
    between: async (action) => {
      inRound = true;
      try {
        return await action();
      } finally {
        inRound = false;
      }
    },
    store,
    facts: () => ({
      rssMb: 90,
      cpuPercent: 2,
      loadPerCore: facts.load,
      temperatureC: facts.temperature,
      memoryAvailableMb: 1000,
      memoryTotalMb: 2000,
      cores: 2,
    }),
    streams: {
      checkpoints: { renewAll: switched },
      late: {
        get size() {
          return facts.restoring ? 1 : 0;
        },
      },
    },
    outputs: { group: (_group, input) => said.push(input) },
    ...(start && { start }),
  });
  const close = async () => {
    await tuning.stop();
    await engine.release();
    store.close();
  };
  onTestFinished(close);
  /** Time passes until `condition` holds. */
  const until = async (what: string, condition: () => boolean, mostMs = 2 * DAY) => {
    for (let passed = 0; !condition(); passed += MINUTE) {
      if (passed > mostMs) throw new Error(`${what} did not come: ${JSON.stringify(tuning.status())}`);
      clock.advance(MINUTE);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const status = () => tuning.lastRun.status;
  return {
    dir,
    clock,
    store,
    registry,
    slots,
    engine,
    tuning,
    models,
    said,
    facts,
    during,
    switched,
    until,
    status,
    close,
  };
}

/** A worker that answers when it is told to, or ends with a failure when it is killed. */
function hanging(started: TuningInput[] = []) {
  let finish: (found: CycleReport) => void = () => {};
  const start: TuningParts['start'] = (input) => {
    started.push(input);
    let end: (error: Error) => void = () => {};
    const result = new Promise<CycleReport>((resolve, reject) => {
      finish = resolve;
      end = reject;
    });
    return work(result, { kill: async () => end(new Error('killed')) });
  };
  return { start, finish: (found: CycleReport) => finish(found) };
}

/** A worker that finds `outcome`; a candidate that passed is in the registry when it answers. */
const worker =
  (
    outcome: (input: TuningInput) => Promise<CycleReport>,
    started: TuningInput[] = [],
  ): TuningParts['start'] =>
  (input) => {
    started.push(input);
    return work(outcome(input));
  };

const promoting =
  (registry: () => ModelRegistry, spoil = 1) =>
  async (input: TuningInput): Promise<CycleReport> => {
    registry().save(modelFiles(input.name, 7, spoil));
    const verdict = {
      promote: true,
      reason: 'better',
      losses: LOSSES,
      gain: 0.1,
      pValue: 0.01,
      origins: 40,
      harmed: [],
    };
    return report({ status: 'promote', reason: 'better by 12.5 % than the champion', verdict });
  };

test('a promoted model takes over between two rounds with warm states, and is reported everywhere', async () => {
  const dir = tempFolder();
  const models = () => new ModelRegistry(join(dir, 'models'), null);
  const agent = await setUp({ dir, start: worker(promoting(models)) });
  const { tuning, engine, said, slots } = agent;
  const before = engine.snapshot('s0');
  tuning.start();
  expect(said.at(-1)).toMatchObject({ champion: 'raw', version: 'of seed 1', lastRun: { status: 'never' } });
  await agent.until('the switch', () => agent.status() === 'promoted');
  expect(agent.during).toEqual(['between rounds']);
  expect(agent.switched).toHaveBeenCalledOnce();
  const name = agent.models.current.name;
  expect(name).toMatch(/^default-2025\d{4}-\d{6}$/);
  expect(slots.get('default', 'raw')).toMatchObject({ current: name, previous: 'raw', candidate: null });
  expect(said.at(-1)).toMatchObject({
    champion: name,
    version: 'of seed 7',
    previous: 'raw',
    holdout: LOSSES,
    lastRun: { status: 'promoted', reason: 'better by 12.5 % than the champion', trigger: 'initial' },
  });
  expect(said.at(-1)!.probationSinceMs).not.toBeNull();
  // A state of the new model, and not a blank one.
  const after = engine.snapshot('s0')!;
  expect(after.modelHash).not.toBe(before!.modelHash);
  engine.push({ stream: 's0', timeMs: START + (HEARD + 1) * MINUTE, value: 20, arrivalMs: Number.NaN });
  const [forecast] = await engine.tick(null);
  expect(forecast!.quantiles.every(Number.isFinite)).toBe(true);

  // The next start knows all of it.
  await agent.close();
  const again = await setUp({ dir });
  expect(again.models.current).toMatchObject({ name, trainedAt: '2025-01-01T00:00:00.000Z' });
  expect(again.tuning.status()).toMatchObject({
    champion: name,
    holdout: LOSSES,
    lastRun: { status: 'promoted' },
  });
  const gate = { gain: 0.1, pValue: 0.01, origins: 40, harmed: 0 };
  expect(again.tuning.runs).toMatchObject([{ status: 'promoted', found: { losses: LOSSES, gate } }]);
  expect(again.tuning.probation).toMatchObject({ found: expect.stringContaining('live loss is') });
  expect(again.slots.get('default', 'raw').probation?.starts).toBe(1);
});

/** An agent that has just gone over to a model of its own, `name`. */
async function promoted() {
  const dir = tempFolder();
  const models = () => new ModelRegistry(join(dir, 'models'), null);
  const agent = await setUp({ dir, start: worker(promoting(models)) });
  agent.tuning.start();
  await agent.until('the switch', () => agent.status() === 'promoted');
  return { agent, dir, name: agent.models.current.name };
}

test('a model that never ends its probation is set aside after three starts', async () => {
  const { agent, dir, name } = await promoted();
  await agent.close();
  for (let start = 1; start <= 3; start++) {
    const again = await setUp({ dir });
    expect(again.models.current.name).toBe(name);
    await again.close();
  }
  const last = await setUp({ dir });
  expect(last.models.current.name).toBe('raw');
  expect(last.registry.has(name)).toBe(false);
  expect(readdirSync(join(dir, 'models', 'set-aside'))).toEqual([name]);
});

test('a model that is damaged on the disk is set aside with its files, and is reported', async () => {
  const { agent, dir, name } = await promoted();
  await agent.close();
  const weights = readFileSync(join(dir, 'models', name, 'weights.safetensors'));
  weights.writeUInt8(weights.readUInt8(weights.length - 1) ^ 1, weights.length - 1);
  writeFileSync(join(dir, 'models', name, 'weights.safetensors'), weights);
  const again = await setUp({ dir });
  expect(again.models.current.name).toBe('raw');
  expect(again.registry.has(name)).toBe(false);
  expect(readFileSync(join(dir, 'models', 'set-aside', name, 'weights.safetensors'))).toEqual(weights);
  expect(again.slots.get('default', 'raw').reason).toMatch(/cannot be used/);
});

test('models are set aside if the file that names the one in use is damaged', async () => {
  const { agent, dir, name } = await promoted();
  await agent.close();
  writeFileSync(join(dir, 'models', 'slots.json'), '{');
  const again = await setUp({ dir });
  expect(again.models.current.name).toBe('raw');
  expect(readdirSync(join(dir, 'models', 'set-aside'))).toEqual([name]);
});

test('a model rolled back at a start is kept when it cannot be set aside, and is set aside at the next start', async () => {
  const { agent, dir, name } = await promoted();
  await agent.close();
  for (let start = 1; start <= 3; start++) await (await setUp({ dir })).close();
  // As a full disk, or a kill after the slots were written: the folder cannot be made.
  writeFileSync(join(dir, 'models', 'set-aside'), '');
  const refused = await setUp({ dir });
  expect(refused.models.current.name).toBe('raw');
  expect(refused.registry.has(name)).toBe(true);
  await refused.close();
  rmSync(join(dir, 'models', 'set-aside'));
  const last = await setUp({ dir });
  expect(last.registry.has(name)).toBe(false);
  expect(readdirSync(join(dir, 'models', 'set-aside'))).toEqual([name]);
});

test('a model on probation that the system cannot read at many starts is kept', async () => {
  const { agent, dir, name } = await promoted();
  await agent.close();
  const weights = join(dir, 'models', name, 'weights.safetensors');
  renameSync(weights, `${weights}.away`);
  symlinkSync(weights, weights);
  for (let start = 1; start <= 5; start++) {
    const again = await setUp({ dir });
    expect(again.models.current.name).toBe('raw');
    await again.close();
  }
  rmSync(weights);
  renameSync(`${weights}.away`, weights);
  const last = await setUp({ dir });
  expect(last.models.current.name).toBe(name);
  expect(last.slots.get('default', 'raw').probation).toMatchObject({ starts: 1 });
});

test('a model that the system cannot read is kept, and is used when it can be read again', async () => {
  const { agent, dir, name } = await promoted();
  await agent.close();
  const weights = join(dir, 'models', name, 'weights.safetensors');
  renameSync(weights, `${weights}.away`);
  // Reading it fails, also for root.
  symlinkSync(weights, weights);
  const again = await setUp({ dir });
  expect(again.models.current.name).toBe('raw');
  expect(again.slots.get('default', 'raw')).toMatchObject({ current: name, previous: 'raw' });
  again.tuning.start();
  await again.until('an attempt', () => again.status() === 'failed');
  expect(again.tuning.lastRun.reason).toMatch(/weights.safetensors cannot be read/);
  rmSync(weights);
  renameSync(`${weights}.away`, weights);
  await again.until('the switch', () => again.status() === 'promoted');
  expect(again.models.current.name).toBe(name);
  expect(again.registry.has('raw')).toBe(true);
});

test('a requested run begins, or is refused with a typed error that gives the reason', async () => {
  const started: TuningInput[] = [];
  const run = hanging(started);
  const { tuning, until, status, facts } = await setUp({ start: run.start });
  const code = (group: string) => {
    try {
      return tuning.request(group).status;
    } catch (error) {
      return (error as GatecastError).code;
    }
  };
  expect(code('other')).toBe('USAGE');
  await expect(tuning.rollback('no', 'other')).rejects.toMatchObject({ code: 'USAGE' });
  facts.restoring = true;
  expect(code('default')).toBe('BUSY');
  await expect(tuning.rollback('no')).rejects.toMatchObject({ code: 'BUSY' });
  facts.restoring = false;
  facts.load = 3;
  expect(tuning.request('default')).toEqual({ status: 'waiting', reason: 'the machine is busy (load 3.00)' });
  facts.load = 0.1;
  expect(code('default')).toBe('started');
  expect(code('default')).toBe('BUSY');
  await expect(tuning.rollback('no')).rejects.toMatchObject({ code: 'BUSY' });
  await until('the start', () => started.length === 1);
  run.finish(report({}));
  await until('the end', () => status() === 'refused');
  await expect(tuning.rollback('no')).rejects.toMatchObject({ code: 'MODEL_UNKNOWN' });

  const off = await setUp({ finetune: { enabled: false } });
  expect(() => off.tuning.request('default')).toThrow(/switched off/);
  off.tuning.start();
  off.clock.advance(HOUR);
  expect(off.status()).toBe('never');
});

test('no run begins before there is enough history', async () => {
  const { engine, tuning } = await setUp();
  engine.reset('s0');
  engine.reset('s1');
  expect(() => tuning.request('default')).toThrow(
    expect.objectContaining({
      code: 'NOT_ENOUGH_DATA',
      message: expect.stringMatching(/has enough history/),
    }),
  );
});

test('the schedule begins runs at its minute of the day, in the time zone of the config', async () => {
  const started: TuningInput[] = [];
  const agent = await setUp({
    finetune: { schedule: '17 3 * * *' },
    start: worker(async () => report({}), started),
  });
  agent.tuning.start();
  await agent.until('the first run, as soon as there is enough', () => started.length === 1);
  await agent.until('the run of the night', () => started.length === 2);
  const minutes = (started[1]!.nowMs % DAY) / MINUTE;
  // 03:17 in Berlin is 02:17 UTC in winter.
  expect(minutes).toBeGreaterThanOrEqual(2 * 60 + 17);
  expect(minutes).toBeLessThan(2 * 60 + 18);
  expect(agent.tuning.lastRun.trigger).toBe('schedule');
});

test('a run plays the streams with the covariates that they have chosen, as live', async () => {
  const started: TuningInput[] = [];
  const { engine, tuning, until } = await setUp({ start: worker(async () => report({}), started) });
  const [view] = engine.streams();
  if (view === undefined) throw new Error('no stream');
  engine.add({ ...view.spec, findsCovariates: true });
  vi.spyOn(engine, 'covariatesOf').mockReturnValue([{ kind: 'stream', name: 's1' }]);
  tuning.start();
  await until('the run', () => started.length === 1);
  const [input] = started;
  if (input === undefined || !('streams' in input)) throw new Error('no streams');
  const [s0, s1] = ['s0', 's1'].map((name) => input.streams.find(({ spec: one }) => one.name === name)?.spec);
  expect(s0).toMatchObject({ findsCovariates: false, covariates: [{ kind: 'stream', name: 's1' }] });
  expect(s1?.covariates).toBeUndefined();
});

test('a stream with permanently larger errors triggers a run, noise does not', async () => {
  const started: TuningInput[] = [];
  const agent = await setUp({ start: worker(async () => report({}), started) });
  const { tuning, clock } = agent;
  tuning.start();
  await agent.until('the first run', () => started.length === 1);
  clock.advance(12 * HOUR);
  const feed = (buckets: number, error: (t: number) => number) => {
    for (let t = 0; t < buckets; t++) {
      const wave = 0.3 + (0.2 * ((t * 7919) % 13)) / 13;
      tuning.observe([fakeForecast({ stream: 's0', observed: 20 + error(t) * wave })]);
      // Marked and missing values say nothing of the model.
      tuning.observe([fakeForecast({ stream: 's1', observed: 1e6, quality: 'filled' })]);
      tuning.observe([fakeForecast({ stream: 's1', observed: null })]);
    }
  };
  feed(1000, () => 1);
  clock.advance(HOUR);
  expect(started).toHaveLength(1);
  feed(200, () => 3);
  await agent.until('the run', () => started.length === 2, HOUR);
  expect(tuning.lastRun.trigger).toBe('drift');
});

test.each([
  [
    'killed',
    () => Promise.reject(new GatecastError('TRAINING_FAILED', 'The training worker ended with code 137.')),
  ],
  [
    'out of memory',
    () => Promise.reject(new GatecastError('TRAINING_FAILED', 'The training worker ran out of memory.')),
  ],
  [
    'on a full disk',
    () => Promise.reject(Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })),
  ],
])(
  'a worker that ends %s: the champion stays, it is reported, and tried again later and later',
  async (_, fail) => {
    const started: TuningInput[] = [];
    const agent = await setUp({ start: worker(fail, started) });
    const hash = agent.engine.modelHash;
    agent.tuning.start();
    for (const runs of [1, 2, 3]) {
      await agent.until(`run ${runs}`, () => started.length === runs && agent.status() === 'failed');
      expect(agent.said.at(-1)!.lastRun.reason).toMatch(/code 137|memory|no space/);
    }
    const gaps = [1, 2].map((at) => started[at]!.nowMs - started[at - 1]!.nowMs);
    expect(gaps[1]).toBeGreaterThan(1.5 * gaps[0]!);
    expect(agent.engine.modelHash).toBe(hash);
    expect(agent.models.current.name).toBe('raw');
    expect(agent.slots.get('default', 'raw')).toMatchObject({
      current: 'raw',
      candidate: null,
      probation: null,
    });
    expect(agent.registry.list().map(({ name }) => name)).toEqual(['raw']);
  },
);

test.each([
  ['back', -300 * DAY],
  ['ahead', 400 * DAY],
  ['to 1970', -START],
])('the clock is set %s during a run: the answer counts, and the next run comes', async (_, jump) => {
  const started: TuningInput[] = [];
  const run = hanging(started);
  const agent = await setUp({ start: run.start });
  agent.tuning.start();
  await agent.until('the run', () => started.length === 1);
  agent.clock.jump(jump);
  run.finish(report({}));
  await agent.until('its end', () => agent.status() === 'refused', HOUR);
  expect(agent.models.current.name).toBe('raw');
  if (agent.clock.now() < START / 2) agent.clock.jump(START);
  expect(agent.tuning.request('default').status).toBe('started');
});

test('history with wrong values is left out with the reason, in the real worker', async () => {
  const stuck = (t: number) => (t < 20 ? t : 7);
  const agent = await setUp({
    value: (s, t) => (s === 0 ? stuck(t) : 5),
    start: (input, options) => startCycle(input, options),
  });
  agent.tuning.request('default');
  await waitFor('the answer', () => agent.status() === 'refused');
  expect(agent.said.at(-1)!.lastRun).toMatchObject({
    status: 'refused',
    reason: expect.stringMatching(/0 of 2 streams are usable for training/),
    found: {
      streams: 0,
      leftOut: 2,
      problems: [
        { stream: 's0', problem: expect.stringMatching(/stuck readings/) },
        { stream: 's1', problem: expect.stringMatching(/stuck readings/) },
      ],
    },
  });
  expect(agent.models.current.name).toBe('raw');
});

test('a model that does worse live than the naive is taken back, and leaves the disk', async () => {
  const dir = tempFolder();
  const models = () => new ModelRegistry(join(dir, 'models'), null);
  const agent = await setUp({ dir, start: worker(promoting(models, 30)) });
  const { engine, tuning, clock } = agent;
  tuning.start();
  await agent.until('the switch', () => agent.status() === 'promoted');
  const { name } = agent.models.current;
  const curve = ordinary(3, 60)(60);
  for (let t = 1; t <= 60; t++) {
    for (const s of [0, 1]) {
      const timeMs = START + (HEARD + t) * MINUTE;
      engine.push({ stream: `s${s}`, timeMs, value: curve[t - 1]!, arrivalMs: Number.NaN });
    }
    await engine.tick(null);
  }
  clock.advance(MINUTE);
  await agent.until('the rollback', () => agent.status() === 'rolled-back', HOUR);
  expect(agent.models.current.name).toBe('raw');
  expect(agent.said.at(-1)).toMatchObject({ champion: 'raw', previous: null, probationSinceMs: null });
  expect(agent.said.at(-1)!.lastRun.reason).toMatch(/times the better naive's/);
  expect(agent.registry.has(name)).toBe(false);
});

test('a model is rolled back on request', async () => {
  const { agent, name } = await promoted();
  await expect(agent.tuning.rollback('asked by the owner')).resolves.toBe('raw');
  expect(agent.models.current.name).toBe('raw');
  expect(agent.during).toEqual(['between rounds', 'between rounds']);
  expect(agent.said.at(-1)!.lastRun).toMatchObject({ status: 'rolled-back', reason: 'asked by the owner' });
  // The run that made the model, not one more.
  expect(agent.tuning.runs).toMatchObject([{ status: 'rolled-back', reason: 'asked by the owner' }]);
  expect(agent.registry.has(name)).toBe(false);
});

test('stopping the agent ends the run at once, and the next start repeats it', async () => {
  const dir = tempFolder();
  const agent = await setUp({ dir, start: hanging().start });
  agent.tuning.start();
  await agent.until('the run', () => agent.status() === 'running');
  // Only a kill ends the run of this worker.
  await agent.close();
  const started: TuningInput[] = [];
  const again = await setUp({ dir, start: worker(async () => report({}), started) });
  expect(again.tuning.lastRun).toMatchObject({
    status: 'refused',
    reason: 'the agent stopped during the run',
  });
  again.tuning.start();
  await again.until('the run', () => started.length === 1, HOUR);
});

test('a start whose slots cannot be written forecasts with the model that they name', () => {
  const dir = tempFolder();
  const store = openStore(dir);
  onTestFinished(() => store.close());
  const registry = new ModelRegistry(join(dir, 'models'), null);
  registry.save(modelFiles('raw', 1));
  registry.save(modelFiles('tuned', 2));
  const slots = new ModelSlots(join(dir, 'slots', 'slots.json'));
  slots.stage('default', 'raw', 'tuned');
  slots.promote('default', 'raw', START, 'better');
  rmSync(join(dir, 'slots'), { recursive: true });
  writeFileSync(join(dir, 'slots'), 'no folder');
  const chosen = chooseGroupModel({ registry, slots, store, configured: 'raw', log: silentLogger });
  expect([chosen.name, chosen.problem]).toEqual(['tuned', null]);
});

const withModel = (name: string) =>
  validateConfig({
    node: 'n',
    data_dir: 'd',
    mqtt: { url: 'mqtt://x' },
    streams: [{ match: 'a/{n}' }],
    model: { name },
    finetune: { schedule: 'off' },
  });

const apply = async (change: Change | null): Promise<void> => {
  change?.apply?.();
  await change?.settle?.();
};

test('another configured model is used without a restart, and the slots of the one before are found again', async () => {
  const agent = await setUp();
  agent.registry.save(modelFiles('other', 2));
  agent.registry.save(modelFiles('tuned', 3));
  agent.slots.stage('default', 'raw', 'tuned');
  agent.slots.promote('default', 'raw', START, 'better');
  const change = await agent.tuning.prepare(withModel('other'));
  expect(agent.models.current.name).toBe('raw');
  await apply(change);
  expect(agent.models.current.name).toBe('other');
  // States that are not restored yet fit the running model only.
  agent.facts.restoring = true;
  await expect(agent.tuning.prepare(withModel('raw'))).rejects.toMatchObject({
    code: 'BUSY',
    hint: expect.stringContaining('in a minute'),
    issues: [{ path: 'model.name' }],
  });
  const tried = await agent.tuning.prepare(withModel('raw'), undefined, { dryRun: true });
  await tried?.discard?.();
  agent.facts.restoring = false;
  expect(agent.models.current.name).toBe('other');
  expect(agent.switched).toHaveBeenCalled();
  expect(agent.tuning.status()).toMatchObject({ champion: 'other', previous: null });
  await expect(agent.tuning.prepare(withModel('missing'))).rejects.toMatchObject({
    issues: [{ path: 'model.name' }],
  });
  // As remote config does: the slots of both are kept.
  agent.slots.stage('default', 'raw', 'tuned');
  agent.slots.promote('default', 'raw', START, 'better');
  const back = await agent.tuning.prepare(withModel('raw'));
  await apply(back);
  expect(agent.models.current.name).toBe('tuned');
});

test('a fine-tuning of the model before cannot switch the model after a config change', async () => {
  const { start, finish } = hanging();
  const agent = await setUp({ start });
  agent.registry.save(modelFiles('other', 2));
  agent.tuning.start();
  await agent.until('a run', () => agent.status() === 'running');
  const change = await agent.tuning.prepare(withModel('other'));
  await apply(change);
  finish(report({ status: 'promote', reason: 'better' }));
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(agent.models.current.name).toBe('other');
  const stopped = { status: 'refused', reason: 'the config changed during the run' };
  expect(agent.tuning.lastRun).toMatchObject(stopped);
});

test('a pushed model is judged by its live score, at the latest after three times its probation', async () => {
  const agent = await setUp();
  expect(agent.tuning.judge(0, HOUR).type).toBe('wait');
  agent.registry.save(modelFiles('nonsense', 2, 300));
  const change = await agent.tuning.prepare(withModel('nonsense'));
  await apply(change);
  expect(agent.tuning.judge(HOUR, HOUR).type).toBe('wait');
  expect(agent.tuning.judge(3 * HOUR, HOUR).type).toBe('confirm');
  const curves = [ordinary(1, 60)(HEARD + 60), ordinary(2, 60)(HEARD + 60)];
  for (let t = HEARD; t < HEARD + 60; t++) {
    for (const s of [0, 1]) {
      const timeMs = START + t * MINUTE + 1000;
      agent.engine.push({ stream: `s${s}`, timeMs, value: curves[s]?.[t] ?? 0, arrivalMs: timeMs });
    }
    await agent.engine.tick(null);
  }
  expect(agent.tuning.judge(HOUR, 2 * HOUR)).toMatchObject({ type: 'rollback' });
});
