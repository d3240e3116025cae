import { beforeAll, describe, expect, it } from 'vitest';
import { verifyModel } from '../../src/model/registry.ts';
import { createRandom } from '../../src/network/random.ts';
import { initialWeights } from '../../src/network/weights.ts';
import { CYCLE_DEFAULTS, type CycleOptions, fineTune, holdoutStart } from '../../src/training/cycle.ts';
import {
  forecastSpec,
  type JobResult,
  type JobSeries,
  runJob,
  type TrainingJob,
} from '../../src/training/job.ts';
import { Random } from '../../src/training/random.ts';
import { FILE_SETTINGS } from '../../src/training/replay.ts';
import { randomNetwork, untrainedModel } from '../support/models.ts';

const HOUR = 3_600_000;
const spec = forecastSpec({ cell: 'gru', layers: 1, hidden: 16, width: 16 });

/** A machine that alternates between two loads in a rhythm of its own, which only training can learn. */
function rhythm(name: string, n = 900, seed = 1): JobSeries {
  const rng = new Random(seed);
  const values = Float64Array.from(
    { length: n },
    (_, t) => 10 + ((t % 11 < 4 ? 3 : 0) + (t % 5 === 0 ? 1.5 : 0)) + 0.15 * rng.normal(),
  );
  return {
    name,
    group: 'g',
    intervalMs: HOUR,
    startMs: Date.UTC(2024, 0, 1),
    values,
    leads: 12,
    settings: FILE_SETTINGS,
  };
}

/** With gaps, which live fills with its own forecasts. */
function gapped(series: JobSeries): JobSeries {
  return { ...series, values: series.values.map((x, t) => (t % 97 < 3 && t > 0 ? Number.NaN : x)) };
}

const options: CycleOptions = {
  ...CYCLE_DEFAULTS,
  training: { ...CYCLE_DEFAULTS.training, steps: 48, batch: 16, rate: 3e-3, maxSteps: 250 },
  evaluation: { ...CYCLE_DEFAULTS.evaluation, warmUp: 300 },
};
const train = (job: TrainingJob) => runJob(job, { now: () => performance.now() });
const at = { group: 'cellar', name: 'cellar-1', nowMs: Date.UTC(2024, 2, 1), tables: [] };

const champion = verifyModel(untrainedModel(spec), 'champion');

/** A trainer that returns the result of an earlier training on the same values. */
const trainedBefore = (before: TrainingJob, result: JobResult) => async (job: TrainingJob) => {
  expect(job.series.map(({ values }) => values)).toEqual(before.series.map(({ values }) => values));
  expect(job.weights).toEqual(before.weights);
  return result;
};
/** Fine-tuning with the champion, and what its trainer was asked for and returned. */
async function tune(series: readonly JobSeries[], maxSteps = options.training.maxSteps) {
  const trained: { job: TrainingJob; result: JobResult }[] = [];
  const capture = async (asked: TrainingJob) => {
    const job = { ...asked, settings: { ...asked.settings, maxSteps } };
    const result = await train(job);
    trained.push({ job, result });
    return result;
  };
  const report = await fineTune({ ...at, champion, series }, { train: capture }, options);
  return { report, ...trained[0] };
}

/** One stream that is trained as it is; several tests compare with it. */
let ordinary: Promise<Awaited<ReturnType<typeof tune>>> | undefined;
const tuneOrdinary = () => {
  ordinary ??= tune([rhythm('a')]);
  return ordinary;
};

describe('fineTune', () => {
  it('trains a better model outside the holdout, and promotes it in int8', async () => {
    const series = [rhythm('a', 900, 1), rhythm('b', 900, 2)];
    const { report, job, result } = await tune(series);
    expect(report).toMatchObject({ status: 'promote', streams: 2, leftOut: [] });
    expect(report.verdict!.gain).toBeGreaterThan(0.05);
    expect(report.candidate!.manifest).toMatchObject({
      name: 'cellar-1',
      parent: champion.hash,
      files: { step: { quantized: true } },
    });
    // The newest 15 % never reached the trainer.
    for (const one of job.series) expect(one.values).toHaveLength(765);
    // The champion's network stays as it is; the new one, from fresh weights, stands beside it.
    expect(job.weights).toBeNull();
    const candidate = verifyModel(report.candidate!, 'candidate');
    expect(candidate.weights).toEqual(champion.weights);
    expect(candidate.own!.spec).toMatchObject({ cell: 'gru', hidden: 32 });
    expect(candidate.manifest.training!.span).toEqual({
      from: '2024-01-01T00:00:00.000Z',
      to: new Date(Date.UTC(2024, 0, 1) + 765 * HOUR).toISOString(),
    });

    // The next one takes the place of the second network, beside the same first one: it is asked for the same training.
    const again = { train: trainedBefore(job, result) };
    const next = await fineTune({ ...at, champion: candidate, series }, again, options);
    expect(next.verdict!.gain).toBeLessThan(0.05);
    const { champion: before } = next.verdict!.losses;
    expect(before).toBeLessThan(report.verdict!.losses.champion);
  });

  it('refuses a candidate that is worse on the holdout, whatever its training loss', async () => {
    const spoiled = async (job: TrainingJob) => {
      const weights = initialWeights(job.spec, createRandom(5));
      for (const { data } of weights.values()) for (let i = 0; i < data.length; i++) data[i]! *= 3;
      return {
        ...(await train({ ...job, settings: { ...job.settings, maxSteps: 5 } })),
        weights,
        bestLoss: 0.1,
        baseLoss: 1,
      };
    };
    const report = await fineTune({ ...at, champion, series: [rhythm('a')] }, { train: spoiled }, options);
    expect(report).toMatchObject({ status: 'refused', candidate: null });
    expect(report.reason).toMatch(/worse|no better/);
  });

  it('evaluates a candidate on the holdout only, not on its training data', async () => {
    // Both series are the same until the holdout begins.
    const one = rhythm('a');
    const { report: good, job, result } = await tuneOrdinary();
    const changed = { ...one, values: one.values.slice() };
    const rng = new Random(9);
    for (let t = 765; t < 900; t++) changed.values[t] = 12 + rng.normal();
    const again = { train: trainedBefore(job, result) };
    const report = await fineTune({ ...at, champion, series: [changed] }, again, options);
    expect(good.status).toBe('promote');
    expect(report.status).toBe('refused');
    expect(report.verdict!.losses.candidate).toBeLessThan(1.03 * report.verdict!.losses.champion);
  });

  it('excludes invalid streams with the reason, and does not train without any', async () => {
    const poison = (change: (t: number, x: number) => number, name: string): JobSeries => {
      const one = rhythm(name);
      return { ...one, values: one.values.map((x, t) => change(t, x)) };
    };
    const series = [
      poison((t, x) => (t > 100 ? 4 : x), 'stuck'),
      poison(() => Number.NaN, 'missing'),
      { ...rhythm('short'), values: rhythm('short').values.slice(0, 60) },
    ];
    const never = async () => Promise.reject(new Error('must not train'));
    const report = await fineTune({ ...at, champion, series }, { train: never }, options);
    expect(report.status).toBe('too-little');
    expect(report.leftOut.map((one) => one.stream)).toEqual(['stuck', 'missing', 'short']);
    expect(report.reason).toMatch(/0 of 3 streams.*stuck/);
  });

  it('refuses a candidate trained on a stretch shifted by a million', async () => {
    const one = rhythm('a');
    const values = one.values.map((x, t) => (t > 500 && t < 765 ? x + 1e6 : x));
    const report = await fineTune({ ...at, champion, series: [{ ...one, values }] }, { train }, options);
    if (report.status === 'promote')
      expect(report.verdict!.losses.candidate).toBeLessThan(report.verdict!.losses.champion);
    else expect(report.candidate).toBeNull();
  });

  it('passes on errors of the training and keeps the champion', async () => {
    const before = champion.weights!.get('head.bias')!.data.slice();
    const failing = async () => Promise.reject(new Error('out of memory'));
    await expect(
      fineTune({ ...at, champion, series: [rhythm('a')] }, { train: failing }, options),
    ).rejects.toThrow('out of memory');
    expect(champion.weights!.get('head.bias')!.data).toEqual(before);
    await expect(
      fineTune({ ...at, champion: { ...champion, weights: null }, series: [] }, { train }, options),
    ).rejects.toMatchObject({ code: 'MODEL_INVALID' });
  });
});

describe('a decision', () => {
  const variants = [
    [1e3, 1],
    [4.5e6, 1],
    [1e9, 1],
    [0, 1e-6],
    [0, 1e6],
  ] as const;
  const changed = (one: JobSeries, offset: number, scale: number): JobSeries => ({
    ...one,
    values: one.values.map((x) => x * scale + offset),
  });
  const decide = async (series: readonly JobSeries[], result: JobResult) => {
    const { verdict } = await fineTune({ ...at, champion, series }, { train: async () => result }, options);
    return verdict!;
  };

  const series = [gapped(rhythm('a', 700, 1))];
  let good: JobResult;
  beforeAll(async () => {
    good = (await tune(series, 150)).result;
  });
  const spoilt = (): JobResult => {
    const { weights } = randomNetwork(forecastSpec({ cell: 'gru', layers: 1, hidden: 32, width: 32 }), 5);
    for (const { data } of weights.values()) data.set(data.map((x) => 3 * x));
    return { ...good, weights };
  };

  it.each([
    ['promotes', true],
    ['refuses', false],
  ] as const)('that %s does not depend on offset or unit', async (_, promote) => {
    const trained = promote ? good : spoilt();
    const plain = await decide(series, trained);
    expect(plain.promote).toBe(promote);
    for (const [offset, scale] of variants) {
      const verdict = await decide(
        series.map((one) => changed(one, offset, scale)),
        trained,
      );
      expect(verdict.promote, `${offset} ${scale}`).toBe(promote);
      expect(verdict.origins).toBe(plain.origins);
      expect(Math.abs(verdict.gain - plain.gain), `${offset} ${scale}`).toBeLessThan(0.01);
    }
  });

  it('of a complete fine-tuning does not depend on a large offset', async () => {
    const { report: plain } = await tuneOrdinary();
    const { report: lifted } = await tune([changed(rhythm('a'), 4.5e6, 1)]);
    expect(lifted.status).toBe(plain.status);
    expect(lifted.training!.bestLoss!).toBeCloseTo(plain.training!.bestLoss!, 2);
    expect(lifted.verdict!.gain).toBeCloseTo(plain.verdict!.gain, 1);
  });
});

describe('holdoutStart', () => {
  it('holds out at least three horizons and leaves twice that for training', () => {
    expect(holdoutStart(1000, 24, 0.15)).toBe(850);
    expect(holdoutStart(1000, 96, 0.15)).toBe(712);
    expect(holdoutStart(216, 24, 0.15)).toBe(144);
    expect(holdoutStart(215, 24, 0.15)).toBeNull();
  });
});
