import { describe, expect, it } from 'vitest';
import { startTrials } from '../../src/training/client.ts';
import {
  forecastSpec,
  type JobSeries,
  runJob,
  TRAINING_DEFAULTS,
  type TrainingJob,
} from '../../src/training/job.ts';
import { FILE_SETTINGS } from '../../src/training/replay.ts';
import { runTrials, type WindowLosses } from '../../src/training/trials.ts';

const HOUR = 3_600_000;
const daily = (name: string, group: string, wander: number): JobSeries => ({
  name,
  group,
  intervalMs: HOUR,
  startMs: Date.UTC(2024, 0, 1),
  values: Float64Array.from(
    { length: 24 * 25 },
    (_, t) => 20 + 5 * Math.sin((2 * Math.PI * t) / 24) + wander * Math.sin(t * 12.9898),
  ),
  leads: 24,
  settings: FILE_SETTINGS,
});
const job: TrainingJob = {
  spec: forecastSpec({ cell: 'gru', layers: 1, hidden: 16, width: 16 }),
  weights: null,
  series: [daily('a', 'one', 0.3), daily('b', 'one', 2), daily('c', 'two', 1)],
  live: null,
  generated: null,
  settings: { ...TRAINING_DEFAULTS, steps: 24, batch: 8, maxSteps: 20, averaging: 0, validation: 0.2 },
};
const hooks = { now: () => performance.now() };
const network = (hidden: number) => ({
  spec: forecastSpec({ cell: 'gru', layers: 1, hidden, width: 16 }),
  rate: 0.002,
  maxSteps: 20,
});
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

describe('trials', () => {
  it('gives a network the same losses independently of the networks before it, one per window', async () => {
    const told: [number, WindowLosses | null][] = [];
    const results = await runTrials(job, [network(16), network(24), network(16)], hooks, (index, losses) =>
      told.push([index, losses]),
    );
    expect(results[0]!.groups).toEqual(['one', 'one', 'two']);
    expect(results[2]).toEqual(results[0]);
    expect(results[1]!.losses).not.toEqual(results[0]!.losses);
    expect(told).toEqual(results.map((losses, index) => [index, losses]));
  });

  it('evaluates the weights that a separate training would have kept', async () => {
    // the last weights: the only validation is at the end
    const { bestLoss, baseLoss } = await runJob(
      { ...job, settings: { ...job.settings, validateEvery: 1000, maxSteps: 60 } },
      hooks,
    );
    const [losses] = await runTrials(job, [{ ...network(16), maxSteps: 60 }], hooks, () => {});
    expect(bestLoss).toBeLessThan(baseLoss!);
    // the windows are alike in length, so their mean is near the loss over all targets
    expect(Math.abs(mean(losses!.losses) / bestLoss! - 1)).toBeLessThan(0.1);
  });

  it('reports what is missing if there are no data for a comparison', async () => {
    const short = { ...job, series: job.series.map((one) => ({ ...one, values: one.values.slice(0, 30) })) };
    await expect(runTrials(short, [network(16)], hooks, () => {})).rejects.toMatchObject({
      code: 'NOT_ENOUGH_DATA',
    });
  });

  it('runs in a worker, and ends between two steps when stopped', async () => {
    const work = startTrials(job, [network(16), { ...network(16), maxSteps: 1_000_000 }], {
      onTrial: () => work.stop(),
    });
    const results = await work.result;
    expect(results).toHaveLength(1);
  });
});
