/**
 * Trains several networks one after the other on the same data and returns the loss of each in every validation window.
 * Features are computed once, and all networks see the same windows, leads and targets, so that their losses can be
 * compared in pairs. `gatecast train --search` uses it for each fold.
 */
import { GatecastError } from '../errors.ts';
import type { NetworkSpec } from '../network/spec.ts';
import type { TrainingSeries } from './dataset.ts';
import { type JobHooks, loopOptions, openTraining, startingWeights, type TrainingJob } from './job.ts';
import { type GradientSource, trainLoop } from './loop.ts';
import { prepare } from './prepare.ts';
import { Random } from './random.ts';
import type { ValidationPass } from './validation.ts';

/** Settings that differ between the networks. */
export interface TrialNetwork {
  readonly spec: NetworkSpec;
  /** Highest learning rate. */
  readonly rate: number;
  readonly maxSteps: number;
}

/** Losses by window, in the same order for all networks of a fold. */
export interface WindowLosses {
  /** Data set of each window. */
  readonly groups: readonly string[];
  /** Mean weighted quantile loss in each. */
  readonly losses: readonly number[];
}

/**
 * @param onTrial called with each network's losses when it ends; null if its training failed
 * @returns losses by network; fewer if stopped
 * @throws GatecastError NOT_ENOUGH_DATA if no series is long enough for validation
 */
export async function runTrials(
  job: TrainingJob,
  networks: readonly TrialNetwork[],
  hooks: JobHooks,
  onTrial: (index: number, losses: WindowLosses | null) => void,
): Promise<(WindowLosses | null)[]> {
  const rng = new Random(job.settings.seed);
  const data = await prepare(job, rng.child(), hooks);
  // every network starts with the same random state
  const start = rng.save();
  const results: (WindowLosses | null)[] = [];
  for (const [index, { spec, rate, maxSteps }] of networks.entries()) {
    rng.restore(start);
    const own = {
      ...job,
      spec,
      weights: null,
      settings: { ...job.settings, rate, maxSteps, maxTimeMs: null },
    };
    const { parameters, source, stream, pass } = await openTraining(
      own,
      startingWeights(own),
      data,
      rng,
      true,
    );
    try {
      if (!pass) {
        throw new GatecastError('NOT_ENOUGH_DATA', 'No series is long enough to compare networks on.', {
          hint: 'Use longer series: a fold validates on an eighth of a series, one horizon after its training data.',
        });
      }
      const { best, reason } = await trainLoop(parameters, source, stream, null, {
        ...loopOptions(own.settings, hooks),
        onProgress: (progress) =>
          hooks.onProgress?.({
            phase: 'training',
            ...progress,
            done: (index + progress.done) / networks.length,
          }),
      });
      if (reason === 'stopped') break;
      best.forEach((values, k) => {
        parameters[k].data.set(values);
      });
      results.push(await windowLosses(source, pass));
    } catch (error) {
      if (!(error instanceof GatecastError) || error.code !== 'TRAINING_FAILED') throw error;
      results.push(null);
    } finally {
      await source.release();
    }
    onTrial(index, results[index] ?? null);
  }
  return results;
}

/** Loss of every validated series; null if one is not finite. Series without targets are left out. */
async function windowLosses(source: GradientSource, pass: ValidationPass): Promise<WindowLosses | null> {
  const sums = new Map<TrainingSeries, { loss: number; weight: number }>();
  for (const batch of pass.batches()) {
    const { losses, hT } = await source.run(batch, false);
    pass.carry(hT);
    const rows = pass.batchRows;
    for (const [row, series] of pass.rows.entries()) {
      const sum = sums.get(series) ?? { loss: 0, weight: 0 };
      for (let at = 0; at < batch.weight.length; at += rows * series.leadsPerOrigin) {
        for (let m = 0; m < series.leadsPerOrigin; m++) {
          const cell = at + row * series.leadsPerOrigin + m;
          sum.loss += losses![cell];
          sum.weight += batch.weight[cell];
        }
      }
      sums.set(series, sum);
    }
  }
  const seen = [...sums].filter(([, { weight }]) => weight > 0);
  const losses = seen.map(([, { loss, weight }]) => loss / weight);
  if (losses.length === 0 || !losses.every(Number.isFinite)) return null;
  return { groups: seen.map(([series]) => series.group), losses };
}
