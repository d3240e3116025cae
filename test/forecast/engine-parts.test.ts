/** Small parts of the engine that its larger tests do not tell apart. */
import { describe, expect, it, vi } from 'vitest';
import { Anomalies } from '../../src/forecast/anomalies.ts';
import { CovariateBook } from '../../src/forecast/covariate-book.ts';
import { digitsFor } from '../../src/forecast/digits.ts';
import { Engine } from '../../src/forecast/engine.ts';
import type { Forecast } from '../../src/forecast/forecast.ts';
import { MAX_BATCH, StepArrays, StepBatches } from '../../src/forecast/step-batches.ts';
import { StreamStep } from '../../src/forecast/stream-step.ts';
import { MEDIAN, Q } from '../../src/quantiles.ts';
import { StreamSource } from '../../src/series/covariate-sources.ts';
import { AHEAD, Features, I } from '../../src/series/features.ts';
import { fakeModel } from '../support/fake-model.ts';
import { normal } from '../support/random.ts';
import { testSpec } from '../support/specs.ts';

const START = Date.UTC(2025, 0, 1);

describe('Engine', () => {
  it('lists the marked buckets of the last tick, and those alone', async () => {
    const engine = new Engine(null);
    engine.add(testSpec('s', { latenessMs: 0 }));
    const noise = normal(1);
    const push = (t: number, value: number) =>
      engine.push({ stream: 's', timeMs: START + t * 1000, value, arrivalMs: Number.NaN });
    for (let t = 0; t < 200; t++) push(t, 20 + 0.1 * noise());
    await engine.tick(null);
    expect(engine.marked()).toEqual([]);
    push(200, 500);
    push(201, 20);
    await engine.tick(null);
    expect(engine.marked()).toEqual([
      expect.objectContaining({ stream: 's', startMs: START + 200_000, intervalMs: 1000 }),
    ]);
    expect(engine.marked()[0]?.marks).toBeGreaterThan(0);
    push(202, 20);
    await engine.tick(null);
    expect(engine.marked()).toEqual([]);
  });

  it('asks a new model for the horizons that are known, not for that of a stream without an interval', async () => {
    const engine = new Engine(fakeModel());
    engine.add(testSpec('new', { intervalMs: null }));
    engine.add(testSpec('s', { horizonMs: 5000 }));
    const model = fakeModel({ hash: 'other' });
    const asked: number[] = [];
    await engine.adopt({
      ...model,
      stepper: (leads) => {
        asked.push(leads);
        return model.stepper(leads);
      },
    });
    expect(asked).toEqual([5]);
    expect(engine.streams().map(({ horizonSteps }) => horizonSteps)).toEqual([null, 5]);
  });
});

describe('a stream', () => {
  it('is due when its open bucket has ended and late readings have had their time', async () => {
    const engine = new Engine(null);
    engine.add(testSpec('s', { latenessMs: 500 }));
    expect(engine.nextDueMs(START)).toBeNull();
    for (const t of [0, 1]) {
      const startMs = START + t * 1000;
      engine.push({ stream: 's', timeMs: startMs, value: 1, arrivalMs: startMs });
      const dueMs = engine.nextDueMs(startMs);
      expect(dueMs).toBe(startMs + 1500);
      expect(await engine.tick(startMs + 1490)).toEqual([]);
      // Asked again without a new reading.
      expect(engine.nextDueMs(startMs + 1490)).toBe(dueMs);
      expect(await engine.tick(dueMs)).toHaveLength(1);
    }
  });

  it('is forecast in steps of its new interval when the learnt one changes', async () => {
    const engine = new Engine(null);
    engine.add(testSpec('s', { intervalMs: null }));
    const steps: number[] = [];
    let timeMs = START;
    for (const intervalMs of [10_000, 60_000])
      for (let i = 0; i < 100; i++) {
        timeMs += intervalMs;
        engine.push({ stream: 's', timeMs, value: Math.sin(i), arrivalMs: Number.NaN });
        for (const { stepMs } of await engine.tick(null)) steps.push(stepMs);
      }
    expect([...new Set(steps)]).toEqual([10_000, 60_000]);
  });

  it('has no scores before its interval is known', () => {
    const engine = new Engine(null);
    engine.add(testSpec('s', { intervalMs: null }));
    expect(engine.scores('s')).toEqual([]);
    expect(engine.networkScores('s')).toEqual([]);
  });

  it('fills every bucket of a gap with the forecast from before the gap, not with those made in it', async () => {
    const engine = new Engine(fakeModel());
    engine.add(testSpec('s'));
    const [entered, made] = [
      vi.spyOn(Features.prototype, 'update'),
      vi.spyOn(StreamStep.prototype, 'forecast'),
    ];
    try {
      const push = (t: number) =>
        engine.push({
          stream: 's',
          timeMs: START + t * 1000,
          value: 20 + Math.sin(t / 3),
          arrivalMs: Number.NaN,
        });
      for (let t = 0; t <= 120; t++) {
        push(t);
        await engine.tick(null);
      }
      entered.mockClear();
      made.mockClear();
      push(126);
      await engine.tick(null);
      const { calls, contexts } = entered.mock;
      expect(calls.map(([, , observed]) => observed)).toEqual([true, ...Array(5).fill(false)]);
      const fills = calls.slice(1).map(([, value], i) => (contexts[i] as Features).line.toUnit(value));
      const [before, ...during] = made.mock.calls.map(([, , , out]) => out);
      for (const [age, fill] of fills.entries()) expect(fill).toBeCloseTo(before[age * Q + MEDIAN], 9);
      // The forecasts made in the gap differ, so the comparison can fail.
      expect(Math.abs(fills[4] - during[3][MEDIAN])).toBeGreaterThan(1e-6);
    } finally {
      entered.mockRestore();
      made.mockRestore();
    }
  });
});

describe('the explanation of a forecast', () => {
  it('has the parts of the published forecast and the range of the readings, in the unit of the stream', async () => {
    const engine = new Engine(fakeModel());
    engine.add(testSpec('s', { latenessMs: 0 }));
    expect(engine.explain('s')?.range).toBeNull();
    let newest: Forecast | undefined;
    for (let t = 0; t < 300; t++) {
      const value = 5000 + 20 * Math.sin(t / 5);
      engine.push({ stream: 's', timeMs: START + t * 1000, value, arrivalMs: Number.NaN });
      newest = (await engine.tick(null)).at(-1) ?? newest;
    }
    const { leads, range } = engine.explain('s') ?? {};
    expect(range?.low).toBeCloseTo(4980, 0);
    expect(range?.high).toBeCloseTo(5020, 0);
    expect(leads?.map(({ lead }) => lead).at(-1)).toBe(newest?.leads);
    for (const { lead, published, parts, width, widened } of leads ?? []) {
      expect(width, `lead ${lead}`).toBeGreaterThan(0);
      expect(widened, `lead ${lead}`).toBeGreaterThan(0);
      expect(published.p50).toBeCloseTo(newest?.quantiles[(lead - 1) * Q + MEDIAN] ?? Number.NaN, 6);
      expect(new Set(parts.map(({ part }) => part)).size).toBe(parts.length);
      expect(parts.length).toBeGreaterThan(1);
      expect(parts.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 6);
      for (const { p10, p50, p90 } of parts) {
        expect(p10).toBeLessThanOrEqual(p50);
        expect(p50).toBeLessThanOrEqual(p90);
        expect(Math.abs(p50 - 5000)).toBeLessThan(200);
      }
    }
    expect(engine.explain('unknown')).toBeNull();
  });
});

describe('StepBatches', () => {
  it('has rows for the next power of two, and keeps the session when they must grow', async () => {
    const model = fakeModel();
    const stepper = vi.fn(model.stepper);
    const batches = new StepBatches({ ...model, stepper });
    const inputs = I + 3 * AHEAD;
    const small = await batches.of(3, 3);
    expect([small.x.length, small.h.length]).toEqual([4 * inputs, 4 * 4]);
    expect((await batches.of(3, 4)).x).toBe(small.x);
    const large = await batches.of(3, 5);
    expect(large.x.length).toBe(8 * inputs);
    expect(large.stepper).toBe(small.stepper);
    expect((await batches.of(3, MAX_BATCH)).x.length).toBe(MAX_BATCH * inputs);
    expect((await batches.of(3, 1)).x).toHaveLength(MAX_BATCH * inputs);
    expect(stepper).toHaveBeenCalledTimes(1);
  });

  it('shares its arrays with engines that step before or after', async () => {
    const arrays = new StepArrays();
    const large = await new StepBatches(fakeModel(), arrays).of(3, MAX_BATCH);
    const small = await new StepBatches(fakeModel(), arrays).of(3, 1);
    expect(small.x).toBe(large.x);
    expect(small.h).toBe(large.h);
  });

  it('can be released while a session fails to load', async () => {
    const batches = new StepBatches({ ...fakeModel(), stepper: () => Promise.reject(new Error('no room')) });
    const loading = batches.of(3, 1);
    // The loading has begun, and has not failed yet.
    await Promise.resolve();
    const failed = expect(loading).rejects.toThrow('no room');
    await expect(batches.release()).resolves.toBeUndefined();
    await failed;
  });

  it('refuses a step graph with other leads or inputs, and releases it', async () => {
    const other = await fakeModel().stepper(4);
    const release = vi.spyOn(other, 'release');
    const batches = new StepBatches({ ...fakeModel(), stepper: () => Promise.resolve(other) });
    await expect(batches.of(3, 1)).rejects.toThrow(
      expect.objectContaining({
        code: 'MODEL_INVALID',
        message: `The step graph takes ${I + 4 * AHEAD} inputs for 4 leads; ${I + 3 * AHEAD} for 3 are expected.`,
      }),
    );
    expect(release).toHaveBeenCalledTimes(1);
    await expect(new StepBatches(null).of(3, 1)).rejects.toThrow(/without a model/);
  });
});

describe('CovariateBook', () => {
  it('shows the medians of a stream to those that name it', () => {
    const told = vi.spyOn(StreamSource.prototype, 'forecast');
    const book = new CovariateBook();
    book.of(testSpec('a', { covariates: [{ kind: 'stream', name: 'b' }] }), 1000, 2);
    const forecast = (stream: string) =>
      ({
        stream,
        originMs: START,
        stepMs: 1000,
        leads: 2,
        quantiles: Float64Array.from({ length: 2 * Q }, (_, i) => i),
      }) as unknown as Forecast;
    book.forecasts([forecast('b'), forecast('unnamed')]);
    expect(told.mock.calls).toEqual([
      [{ originMs: START, stepMs: 1000, medians: Float64Array.of(MEDIAN, Q + MEDIAN) }],
    ]);
    told.mockRestore();
  });
});

describe('numbers at zero', () => {
  it('a stream that stands at 0 is no surprise at 0', () => {
    const anomalies = new Anomalies();
    const zero = { low: 0, p50: 0, high: 0 };
    for (let i = 0; i < 100; i++) anomalies.learn(0, zero);
    expect(anomalies.score(0, zero)).toBe(0);
    expect(anomalies.score(1, zero)).toBeCloseTo(Math.log10(102), 9);
  });

  it('digits go by the largest number, on either side of zero', () => {
    expect([digitsFor([-0.01, 1000], 3), digitsFor([-1000, 0.01], 3)]).toEqual([5, 5]);
  });
});
