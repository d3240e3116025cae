import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ModelFiles, ModelRegistry } from '../../src/model/registry.ts';
import { ModelSlots } from '../../src/model/slots.ts';
import { OUT_OF_RANGE, SPIKE, STEP, TOO_FAST } from '../../src/series/quality.ts';
import { SqliteStore } from '../../src/store/sqlite-store.ts';
import { systemClock } from '../../src/system/clock.ts';
import { type RunningWork, startCycle } from '../../src/training/client.ts';
import { CYCLE_DEFAULTS, type CycleReport } from '../../src/training/cycle.ts';
import { GroupTuner, type GroupTunerParts, type TunerState } from '../../src/training/group-tuner.ts';
import {
  collectHistory,
  type HistorySample,
  type HistoryStream,
  shareHistory,
} from '../../src/training/history.ts';
import { forecastSpec } from '../../src/training/job.ts';
import type { LiveScore } from '../../src/training/probation.ts';
import type { TuningInput } from '../../src/training/protocol.ts';
import { Random } from '../../src/training/random.ts';
import { bucketAt, bucketStart } from '../../src/training/replay.ts';
import type { RunReport } from '../../src/training/run-report.ts';
import { SCHEDULER_DEFAULTS } from '../../src/training/scheduler.ts';
import { untrainedModel } from '../support/models.ts';
import { machine } from '../support/series.ts';
import { testSpec } from '../support/specs.ts';

const HOUR = 3_600_000;
const START = Date.UTC(2024, 0, 1);
const network = forecastSpec({ cell: 'gru', layers: 1, hidden: 16, width: 16 });
const spec = testSpec('pump', { intervalMs: HOUR, maxGapMs: HOUR, horizonMs: 12 * HOUR });

const modelFiles = (name: string, seed: number): ModelFiles => untrainedModel(network, { name, seed });

let folder: string;
let registry: ModelRegistry;
let slots: ModelSlots;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatecast-group-tuner-'));
  registry = new ModelRegistry(join(folder, 'models'), null);
  registry.save(modelFiles('base', 1));
  slots = new ModelSlots(join(folder, 'models', 'slots.json'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Stage {
  tuner: GroupTuner;
  reports: RunReport[];
  switched: string[];
  saved: () => TunerState | null;
  set: { now: number; load: number; scores: LiveScore[]; failSwitch: boolean; barred: string | null };
}

/** A fine-tuner whose worker is `cycle`. */
function stage(
  cycle: (input: TuningInput) => RunningWork<CycleReport>,
  more: Partial<GroupTunerParts> = {},
): Stage {
  const set: Stage['set'] = {
    now: START + 40 * 24 * HOUR,
    load: 0.1,
    scores: [],
    failSwitch: false,
    barred: null,
  };
  const reports: RunReport[] = [];
  const switched: string[] = [];
  let state: TunerState | null = null;
  let running = 'base';
  const tuner = new GroupTuner({
    group: 'default',
    configured: 'base',
    scheduler: SCHEDULER_DEFAULTS,
    cycle: CYCLE_DEFAULTS,
    windowMs: 28 * 24 * HOUR,
    registry,
    slots,
    cores: 2,
    tables: () => [],
    streams: () => [{ spec, intervalMs: HOUR, leads: 12, buckets: 900 }],
    database: () => join(folder, 'gatecast.db'),
    before: () => null,
    facts: () => ({ nowMs: set.now, monotonicMs: set.now, clockSane: true, load: set.load, temperature: 40 }),
    start: (input) => cycle(input),
    switchTo: async (name) => {
      if (set.failSwitch) throw new Error('no room');
      running = name;
      switched.push(name);
    },
    running: () => running,
    barred: () => set.barred,
    scores: () => set.scores,
    report: (report) => reports.push(report),
    load: () => state,
    save: (next) => {
      state = next;
    },
    ...more,
  });
  return { tuner, reports, switched, saved: () => state, set };
}

const verdict = {
  promote: true,
  reason: 'better by 5.0 %',
  losses: { candidate: 0.95, champion: 1, naive: 2, seasonal: 2 },
  gain: 0.05,
  pValue: 0.01,
  origins: 50,
  harmed: [],
};
const report = (more: Partial<CycleReport>): CycleReport => ({
  status: 'refused',
  reason: '',
  verdict: null,
  candidate: null,
  streams: 1,
  leftOut: [],
  training: null,
  ...more,
});
const done = (result: Promise<CycleReport>): RunningWork<CycleReport> => ({
  result,
  stop() {},
  pause() {},
  resume() {},
  kill: async () => {},
});
/** As the worker does: what passed is in the registry when the result comes. */
const promoting = (input: TuningInput) => {
  registry.save(modelFiles(input.name, 7));
  return done(Promise.resolve(report({ status: 'promote', reason: 'better by 5.0 %', verdict })));
};

describe('GroupTuner', () => {
  it('collects the window, promotes a model that passed, switches to it, and reports every state', async () => {
    const inputs: TuningInput[] = [];
    const { tuner, reports, switched } = stage((input) => {
      inputs.push(input);
      return promoting(input);
    });
    tuner.tick();
    await tuner.settled();
    expect(reports.map((one) => one.status)).toEqual(['running', 'promoted']);
    expect(reports.at(-1)).toMatchObject({ trigger: 'initial', reason: 'better by 5.0 %' });
    const [name] = switched;
    expect(name).toMatch(/^default-20240210-000000$/);
    expect(slots.get('default', 'base')).toMatchObject({
      current: name,
      previous: 'base',
      probation: { starts: 0 },
    });
    expect(registry.open(name!).manifest.name).toBe(name);
    // 28 days back from day 40.
    expect(inputs[0]!.streams).toEqual([
      { spec, intervalMs: HOUR, leads: 12, fromMs: START + 12 * 24 * HOUR },
    ]);
  });

  it('survives a disk that cannot store the verdict, and stores it later', () => {
    const { tuner, set, reports } = stage(promoting, { running: () => 'other' });
    registry.save(modelFiles('other', 3));
    slots.stage('default', 'base', 'other');
    slots.promote('default', 'base', START, 'better');
    set.barred = 'it is switched off';
    set.scores = [{ stream: 'pump', n: 100, loss: 0.5, lossWithout: 0.5, lossSeasonal: 1, lossNaive: 1 }];
    const confirm = vi.spyOn(slots, 'confirm').mockImplementation(() => {
      throw new Error('ENOSPC');
    });
    tuner.tick();
    expect(tuner.waitsFor).toContain('ENOSPC');
    expect(slots.get('default', 'base').probation).not.toBeNull();
    confirm.mockRestore();
    set.now += HOUR;
    tuner.tick();
    expect(slots.get('default', 'base').probation).toBeNull();
    expect(reports.at(-1)).toMatchObject({ status: 'confirmed' });
  });

  it('starts no run while a switch to another model is in progress', async () => {
    let running = 'base';
    let takenUp: () => void = () => undefined;
    let started = 0;
    const { tuner } = stage(
      (input) => {
        started++;
        return promoting(input);
      },
      {
        running: () => running,
        switchTo: (name) =>
          new Promise<void>((resolve) => {
            takenUp = () => {
              running = name;
              resolve();
            };
          }),
      },
    );
    registry.save(modelFiles('other', 3));
    slots.stage('default', 'base', 'other');
    slots.promote('default', 'base', START, 'better');
    running = 'other';
    const rolledBack = tuner.rollback('requested');
    tuner.request('schedule');
    tuner.tick();
    await new Promise((resolve) => setImmediate(resolve));
    expect([started, tuner.isBusy]).toEqual([0, true]);
    takenUp();
    expect(await rolledBack).toBe('base');
    tuner.tick();
    await new Promise((resolve) => setImmediate(resolve));
    expect(started).toBe(1);
    takenUp();
    await tuner.settled();
  });

  it('keeps champion and slots after a refusal, failure or kill, and retries after a failure', async () => {
    const refused = stage(() => done(Promise.resolve(report({ reason: 'worse by 3.0 %' }))));
    refused.tuner.tick();
    await refused.tuner.settled();
    expect(refused.reports.at(-1)).toMatchObject({ status: 'refused', reason: 'worse by 3.0 %' });

    let runs = 0;
    const failing = stage((input) => {
      runs++;
      return runs < 3 ? done(Promise.reject(new Error('out of memory'))) : promoting(input);
    });
    failing.tuner.tick();
    await failing.tuner.settled();
    expect(failing.reports.at(-1)).toMatchObject({ status: 'failed', reason: 'out of memory' });
    expect(slots.get('default', 'base').current).toBe('base');
    expect(registry.list().map((one) => one.name)).toEqual(['base']);
    failing.tuner.tick();
    await failing.tuner.settled();
    expect(runs).toBe(1);
    for (let i = 0; i < 4; i++) {
      failing.set.now += HOUR;
      failing.tuner.tick();
      await failing.tuner.settled();
    }
    expect(runs).toBe(3);
    expect(failing.switched).toHaveLength(1);
  });

  it('rolls back a model that the agent could not load', async () => {
    const { tuner, reports, set } = stage(promoting);
    set.failSwitch = true;
    tuner.tick();
    await tuner.settled();
    expect(reports.at(-1)).toMatchObject({ status: 'failed', reason: expect.stringMatching(/no room/) });
    expect(slots.get('default', 'base')).toMatchObject({ current: 'base', probation: null });
    expect(registry.list().map((one) => one.name)).toEqual(['base']);
  });

  it('keeps the champion if the slots cannot be written, and removes the new model', async () => {
    const { tuner, reports, switched } = stage(promoting);
    vi.spyOn(slots, 'promote').mockImplementation(() => {
      throw new Error('ENOSPC: no space left on device');
    });
    tuner.tick();
    await tuner.settled();
    expect(reports.at(-1)).toMatchObject({ status: 'failed', reason: expect.stringMatching(/no space/) });
    expect(switched).toEqual([]);
    expect(slots.get('default', 'base').current).toBe('base');
    expect(registry.list().map((one) => one.name)).toEqual(['base']);
  });

  it('switches to the model in the slots if another one runs, and retries after a failure', async () => {
    const { tuner, switched, set } = stage(() => done(Promise.resolve(report({}))));
    tuner.tick();
    await tuner.settled();
    registry.save(modelFiles('other', 3));
    slots.stage('default', 'base', 'other');
    slots.promote('default', 'base', set.now, 'by hand');
    set.failSwitch = true;
    tuner.tick();
    await tuner.settled();
    expect(switched).toEqual([]);
    set.failSwitch = false;
    tuner.tick();
    await tuner.settled();
    expect(switched).toEqual([]);
    set.now += 61_000;
    tuner.tick();
    await tuner.settled();
    expect(switched).toEqual(['other']);
  });

  it('reports no failure if the agent is stopped while it switches back, but tells who asked for it', async () => {
    let fail: (error: Error) => void = () => {};
    const { tuner, reports } = stage(promoting, {
      switchTo: () =>
        new Promise<void>((_, reject) => {
          fail = reject;
        }),
    });
    registry.save(modelFiles('other', 3));
    slots.stage('default', 'base', 'other');
    slots.promote('default', 'base', START, 'better');
    const asked = expect(tuner.rollback('requested')).rejects.toMatchObject({ code: 'TRAINING_FAILED' });
    const stopped = tuner.stop('stopped');
    fail(new Error('the config changed'));
    await Promise.all([asked, stopped]);
    expect(reports).toEqual([]);
    expect(slots.get('default', 'base').current).toBe('base');
  });

  it('confirms a model on probation, or rolls it back and removes it', async () => {
    const good = stage(promoting);
    good.tuner.tick();
    await good.tuner.settled();
    good.tuner.tick();
    expect(slots.get('default', 'base').probation).not.toBeNull();
    good.set.scores = [
      { stream: 'pump', n: 500, loss: 0.7, lossWithout: 0.7, lossNaive: 1, lossSeasonal: 1 },
    ];
    good.set.now += 25 * HOUR;
    good.tuner.tick();
    expect(slots.get('default', 'base').probation).toBeNull();
    expect(good.reports.at(-1)!.status).toBe('confirmed');

    rmSync(join(folder, 'models', 'slots.json'));
    slots = new ModelSlots(join(folder, 'models', 'slots.json'));
    const bad = stage(promoting);
    bad.set.now += 99 * HOUR;
    bad.tuner.tick();
    await bad.tuner.settled();
    bad.set.scores = [{ stream: 'pump', n: 500, loss: 1.7, lossWithout: 1.7, lossNaive: 1, lossSeasonal: 1 }];
    bad.tuner.tick();
    await bad.tuner.settled();
    expect(bad.reports.at(-1)).toMatchObject({
      status: 'rolled-back',
      reason: expect.stringMatching(/1\.70 times/),
    });
    expect(bad.switched.at(-1)).toBe('base');
    expect(registry.has(bad.switched[0]!)).toBe(false);
  });

  it('pauses with the load of the machine, but not because of its own', async () => {
    const calls: string[] = [];
    let finish: (report: CycleReport) => void = () => {};
    const { tuner, reports, set } = stage(() => ({
      ...done(
        new Promise((resolve) => {
          finish = resolve;
        }),
      ),
      pause: () => calls.push('pause'),
      resume: () => calls.push('resume'),
    }));
    tuner.tick();
    await expect.poll(() => reports.at(-1)?.status).toBe('running');
    set.load = 1.1;
    tuner.tick();
    expect(calls).toEqual([]);
    set.load = 1.3;
    tuner.tick();
    expect(calls).toEqual(['pause']);
    expect(reports.at(-1)).toMatchObject({ status: 'paused', reason: expect.stringMatching(/busy/) });
    set.load = 0.3;
    tuner.tick();
    expect(calls).toEqual(['pause', 'resume']);
    finish(report({}));
    await tuner.settled();
  });

  it('stops with the agent, and repeats the run after the next start', async () => {
    let killed = false;
    let fail: (error: Error) => void = () => {};
    const { tuner, reports, saved } = stage(() => ({
      ...done(
        new Promise((_, reject) => {
          fail = reject;
        }),
      ),
      kill: async () => {
        killed = true;
        fail(new Error('killed'));
      },
    }));
    tuner.tick();
    await expect.poll(() => reports.at(-1)?.status).toBe('running');
    await tuner.stop('stopped');
    expect(killed).toBe(true);
    expect(saved()?.scheduler).toMatchObject({ pending: 'request', failures: 0 });
    tuner.tick();
    expect(reports.at(-1)).toMatchObject({ status: 'refused', reason: 'stopped' });
  });

  it('does not start before a stream has enough history', () => {
    const { tuner, reports } = stage(promoting, {
      streams: () => [
        { spec, intervalMs: HOUR, leads: 96, buckets: 500 },
        { spec, intervalMs: null, leads: null, buckets: 0 },
      ],
    });
    tuner.request('request');
    tuner.tick();
    expect(reports).toEqual([]);
  });

  it('works with a real worker', async () => {
    const rng = new Random(1);
    const store = SqliteStore.open({
      dir: folder,
      maxBytes: 1e8,
      retentionMs: 1e12,
      clock: systemClock,
      onFault: () => {},
    });
    const next = machine(() => rng.normal());
    for (let t = 0; t < 900; t++) {
      const timeMs = START + t * HOUR + 60_000;
      const value = 10 + next();
      store.append({ stream: 'pump', timeMs, value, arrivalMs: timeMs });
      store.append({ stream: 'other', timeMs, value: 0, arrivalMs: timeMs });
    }
    store.settle();
    const phases = new Set<string>();
    const small = {
      ...CYCLE_DEFAULTS,
      training: {
        ...CYCLE_DEFAULTS.training,
        steps: 48,
        batch: 16,
        rate: 3e-3,
        maxSteps: 300,
        anchorPull: 0,
      },
      evaluation: { ...CYCLE_DEFAULTS.evaluation, warmUp: 300 },
    };
    const { tuner, reports, switched } = stage(promoting, {
      start: (input, _options, onProgress) =>
        startCycle(input, small, {
          onProgress: (progress) => {
            onProgress(progress);
            phases.add(tuner.runProgress?.phase ?? 'none');
          },
        }),
    });
    tuner.tick();
    await tuner.settled();
    expect(reports.at(-1)).toMatchObject({
      status: 'promoted',
      found: {
        streams: 1,
        leftOut: 0,
        losses: { naive: expect.closeTo(1, 1) },
        gate: { gain: expect.any(Number), pValue: expect.any(Number), harmed: 0, steps: expect.any(Number) },
      },
    });
    expect([...phases]).toEqual(['features', 'training', 'comparing']);
    expect(tuner.runProgress).toBeNull();
    expect(tuner.probation).toMatchObject({
      sinceMs: START + 40 * 24 * HOUR,
      untilMs: START + 41 * 24 * HOUR,
      found: '0 of 0 streams have matched 24 forecasts',
    });
    expect(registry.open(switched[0]!).manifest.files.step?.quantized).toBe(true);
    store.close();
  });
});

describe('the history of a stream', () => {
  const bucketed = async (stream: HistoryStream, samples: readonly HistorySample[]) => {
    const own = samples.map((sample) => ({ ...sample, stream: stream.spec.name }));
    return (await collectHistory([stream], own, 'g', START + 1e12))[0] ?? null;
  };
  const hourly = { spec, intervalMs: HOUR, leads: 12, fromMs: 0 };
  const at = (minutes: number, value: number, mark = 0) => ({
    timeMs: START + minutes * 60_000,
    value,
    mark,
  });

  it('places samples on the grid as live, without marked ones, with gaps', async () => {
    const one = await bucketed(hourly, [at(5, 1), at(30, 3), at(70, 100, 2), at(200, 7), at(250, 8)]);
    expect(one!.startMs).toBe(START);
    expect([...one!.values]).toEqual([2, Number.NaN, Number.NaN, 7]);
  });

  it('omits masked or refused readings, uses a confirmed step, and continues a counter through a masked bucket', async () => {
    const marks = [
      at(5, 1, STEP),
      at(10, 900, OUT_OF_RANGE),
      at(70, 2, SPIKE),
      at(80, 2),
      at(130, 3),
      at(190, 4),
    ];
    expect([...(await bucketed(hourly, marks))!.values]).toEqual([1, Number.NaN, 3]);
    const counter = { ...hourly, spec: { ...spec, aggregate: 'delta' as const } };
    const counts = [at(5, 10), at(50, 12), at(110, 13), at(170, 9000, SPIKE), at(230, 9001), at(290, 9002)];
    expect([...(await bucketed(counter, counts))!.values]).toEqual([2, 1, Number.NaN, 1]);
  });

  it('refuses too fast changes again, or omits them if the limit was removed', async () => {
    const fast = [at(5, 1), at(6, 900, TOO_FAST), at(70, 2), at(130, 3)];
    const limited = { ...hourly, spec: { ...spec, maxRatePerMs: 10 / 60_000 } };
    expect([...(await bucketed(limited, fast))!.values]).toEqual([1, 2]);
    expect([...(await bucketed(hourly, fast))!.values]).toEqual([1, 2]);
  });

  it('is empty if no bucket has closed', async () => {
    expect(await bucketed(hourly, [])).toBeNull();
    expect(await bucketed(hourly, [at(5, 1)])).toBeNull();
  });

  it('shortens a long outage by whole days as live does, and reports where', async () => {
    const one = await bucketed({ ...hourly, spec: { ...spec, intervalMs: 60_000 }, intervalMs: 60_000 }, [
      at(0, 1),
      at(30_000, 2),
      at(30_002, 3),
    ]);
    const bucket = one!.values.indexOf(2);
    expect(bucket).toBeGreaterThan(2048);
    expect(bucket).toBeLessThan(2048 + 1440);
    const [jump] = one!.jumps!;
    expect(jump!.startMs + (bucket - jump!.at) * 60_000).toBe(at(30_000, 2).timeMs);
    expect(bucketStart(one!, bucket)).toBe(at(30_000, 2).timeMs);
    expect(bucketAt(one!, at(30_000, 2).timeMs)).toBe(bucket);
    expect((30_000 - bucket) % 1440).toBe(0);
  });
});

describe('history of many streams', () => {
  const streams = Array.from({ length: 10 }, (_, i) => ({
    spec: { ...spec, name: `s${i}` },
    intervalMs: 60_000,
    leads: 12,
  }));
  const now = START + 1000 * HOUR;

  it('distributes the buckets among the streams, up to the window', () => {
    const wide = shareHistory(streams, now, 3 * HOUR, 1e6);
    expect(wide.map((one) => now - one.fromMs)).toEqual(streams.map(() => 3 * HOUR));
    const narrow = shareHistory(streams, now, 500 * HOUR, 20_000);
    expect(narrow).toHaveLength(10);
    for (const one of narrow) expect(now - one.fromMs).toBe(2000 * 60_000);
  });

  it('omits some streams evenly instead of giving each too little', () => {
    const few = shareHistory(streams, now, 500 * HOUR, 5 * 1024);
    expect(few.map((one) => one.spec.name)).toEqual(['s0', 's2', 's4', 's6', 's8']);
    expect(shareHistory([], now, HOUR, 1000)).toEqual([]);
  });

  it('reads all streams in one pass, each from its own start, with pauses', async () => {
    function* samples() {
      for (let t = 0; t < 70_000; t++)
        yield { stream: `s${t % 2}`, timeMs: START + t * 30_000, value: t % 2, mark: 0 };
    }
    let breaths = 0;
    const wanted = [
      { ...streams[0]!, fromMs: START },
      { ...streams[1]!, fromMs: START + 100 * 60_000 },
      { ...streams[2]!, fromMs: START },
    ];
    const series = await collectHistory(wanted, samples(), 'g', START + 1e10, async () => {
      breaths++;
    });
    expect(series.map(({ name, startMs, values }) => [name, startMs, values.length])).toEqual([
      ['s0', START, 34_999],
      ['s1', START + 100 * 60_000, 34_899],
    ]);
    expect(series[1]!.values[5]).toBe(1);
    expect(breaths).toBe(1);
  });

  it('omits samples stored while the clock was ahead, which would create a gap of years', async () => {
    const sample = (timeMs: number) => ({ stream: 's0', timeMs, value: 1, mark: 0 });
    const kept = Array.from({ length: 10 }, (_, t) => sample(START + t * 60_000));
    const ahead = [sample(START + 8760 * HOUR), sample(START + 8761 * HOUR)];
    const wanted = [{ ...streams[0]!, fromMs: START }];
    const [series] = await collectHistory(wanted, [...kept, ...ahead], 'g', START + 10 * 60_000);
    expect(series!.values).toHaveLength(9);
  });
});
