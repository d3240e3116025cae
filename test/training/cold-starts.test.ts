/** Cold starts: parts of the training series, played as the live engine plays a stream that begins. */
import { describe, expect, it } from 'vitest';
import { Engine } from '../../src/forecast/engine.ts';
import { createRandom } from '../../src/network/random.ts';
import { initialWeights } from '../../src/network/weights.ts';
import { AHEAD, I } from '../../src/series/features.ts';
import { coldStarts } from '../../src/training/cold-starts.ts';
import type { TrainingSeries } from '../../src/training/dataset.ts';
import { FeatureSeries, type FeatureSeriesOptions } from '../../src/training/feature-series.ts';
import { forecastSpec, type JobSeries, TRAINING_DEFAULTS } from '../../src/training/job.ts';
import { eachStep, prepare } from '../../src/training/prepare.ts';
import { Random } from '../../src/training/random.ts';
import { FILE_SETTINGS, networkModel } from '../../src/training/replay.ts';
import { testSpec } from '../support/specs.ts';

const MINUTE = 60_000;
const LEADS = 12;
const START = Date.UTC(2024, 0, 1);
const inputs = I + LEADS * AHEAD;
const network = forecastSpec({ cell: 'gru', layers: 1, hidden: 8, width: 8 });
const settings = { ...TRAINING_DEFAULTS, validation: 0.2, coldShare: 0.3 };

/** A cycle with noise, gaps and a level far from 0. */
function source(buckets = 4000, more: Partial<JobSeries> = {}): JobSeries {
  const rng = new Random(9);
  const values = Float64Array.from({ length: buckets }, (_, t) => {
    const value = 1e4 + 4 * Math.sin((2 * Math.PI * t) / 50) + 0.5 * rng.normal();
    return t % 97 < 3 || rng.chance(0.02) ? Number.NaN : value;
  });
  const own = { ...FILE_SETTINGS, fill: 'hold' as const };
  return {
    name: 'a',
    group: 'g',
    intervalMs: MINUTE,
    startMs: START,
    values,
    leads: LEADS,
    settings: own,
    ...more,
  };
}

/** The inputs that the live engine gives the network of a new stream with these readings. */
async function liveInputs({ values, startMs }: JobSeries): Promise<Float32Array[]> {
  const live: Float32Array[] = [];
  const engine = new Engine(
    networkModel({ spec: network, weights: initialWeights(network, createRandom(3)) }),
    {
      watch: {
        stepped: (_stream, _step, _startMs, x, at) => {
          if (x !== null) live.push(x.slice(at, at + inputs));
        },
      },
    },
  );
  engine.add(
    testSpec('a', {
      fill: 'hold',
      intervalMs: MINUTE,
      horizonMs: LEADS * MINUTE,
      maxGapMs: 60 * MINUTE,
      quality: false,
    }),
  );
  for (const [bucket, value] of values.entries()) {
    const timeMs = startMs + (bucket + 0.5) * MINUTE;
    if (!Number.isNaN(value)) engine.push({ stream: 'a', timeMs, value, arrivalMs: timeMs });
    await engine.tick(startMs + (bucket + 1) * MINUTE);
  }
  await engine.release();
  return live;
}

describe('cold starts', () => {
  it('give the network the inputs that a new live stream gives, number by number', async () => {
    const starts = coldStarts([source()], settings);
    expect(starts.length).toBeGreaterThan(0);
    for (const start of starts.slice(0, 1)) {
      const trained: Float32Array[] = [];
      await eachStep([start], { live: null }, {}, (_one, step) => {
        const x = new Float32Array(inputs);
        step.writeInputs(x, 0);
        trained.push(x);
      });
      const live = await liveInputs(start);
      expect(trained.length).toBeGreaterThan(150);
      expect(Math.abs(trained.length - live.length)).toBeLessThanOrEqual(1);
      for (const [i, x] of live.slice(0, trained.length).entries())
        expect(trained[i], `step ${i}`).toEqual(x);
    }
  });

  it('differ from the same buckets in the middle of their series', async () => {
    const whole = source();
    const [start] = coldStarts([whole], settings);
    const seen: { startMs: number; x: Float32Array }[][] = [];
    for (const one of [whole, start!]) {
      const steps: { startMs: number; x: Float32Array }[] = [];
      await eachStep([one], { live: null }, {}, (series, step, bucket) => {
        const x = new Float32Array(inputs);
        step.writeInputs(x, 0);
        steps.push({ startMs: series.startMs + bucket * MINUTE, x });
      });
      seen.push(steps);
    }
    const [middle, cold] = seen;
    const first = cold![0]!;
    const same = middle!.find((one) => one.startMs === first.startMs)!;
    expect(same.x).not.toEqual(first.x);
  });

  it('begin with a reading of the training part, and end within it', () => {
    const long = source(9000);
    const starts = coldStarts([long, source(90), source(2000, { learnFrom: 1000 })], settings);
    expect(starts.length).toBeGreaterThan(5);
    for (const one of starts) {
      const from = (one.startMs - START) / MINUTE;
      expect(one.values[0]).not.toBeNaN();
      expect(from + one.values.length).toBeLessThanOrEqual(0.8 * 9000);
      expect(one.values).toEqual(
        long.values.slice(from, from + one.values.length).map((v, i) => v ?? one.values[i]),
      );
    }
    expect(new Set(starts.map((one) => one.name)).size).toBe(starts.length);
  });

  it('leave a training without them as it was', async () => {
    const job = { series: [source()], generated: null, spec: network, live: null };
    const clock = { now: () => 0 };
    const without = await prepare({ ...job, settings: { ...settings, coldShare: 0 } }, new Random(1), clock);
    const withStarts = await prepare({ ...job, settings }, new Random(1), clock);
    expect(without.series).toHaveLength(1);
    expect(withStarts.series.length).toBeGreaterThan(1);
    const rows = (series: TrainingSeries) => {
      const out = {
        z: new Float32Array(6 * AHEAD),
        target: new Float32Array(6),
        weight: new Float32Array(6),
      };
      const leads = new Int32Array(6);
      return [103, 1503, 3503].map((step) => {
        series.origin(step, out, 0, leads);
        return [...out.z, ...out.target, ...out.weight, ...leads];
      });
    };
    expect(rows(withStarts.series[0]!)).toEqual(rows(without.series[0]!));
    expect(withStarts.splits[0]).toEqual(without.splits[0]);
    expect(withStarts.splits.slice(1).every((split) => split.validation === null)).toBe(true);
  });

  it('are trained on from the first origin on, other series after the first steps', async () => {
    const weightsOf = async (cold: boolean) => {
      const one = source(300, { cold });
      const options: FeatureSeriesOptions = { ...one, targets: one.values, stride: 4, leadsPerOrigin: 2 };
      const series = new FeatureSeries(options, new Random(1));
      await eachStep([one], { live: null }, {}, (_one, step, bucket) => series.add(step, bucket));
      series.finish();
      const out = {
        z: new Float32Array(2 * AHEAD),
        target: new Float32Array(2),
        weight: new Float32Array(2),
      };
      return [3, 7, 11, 15, 19, 23, 27].map((step) => {
        series.origin(step, out, 0, new Int32Array(2));
        return Math.max(...out.weight);
      });
    };
    const cold = await weightsOf(true);
    const usual = await weightsOf(false);
    expect(cold.every((weight) => weight > 0)).toBe(true);
    expect(usual.map((weight) => weight > 0)).toEqual([false, false, false, false, false, true, true]);
  });
});
