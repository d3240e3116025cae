/** Progress and result texts of a training, and the packed model. */
import { basename, dirname } from 'node:path';
import { packModel } from '../../model/pack.ts';
import type { StoredModel } from '../../model/registry.ts';
import { FEATURE_FORMAT } from '../../series/features.ts';
import type { JobProgress, JobResult, TrainingJob } from '../../training/job.ts';
import { GENERATED } from '../../training/prepare.ts';
import { secondsText } from '../shared/progress.ts';
import type { DataSet } from './data.ts';
import type { TrainFlags } from './flags.ts';

export function progressText(progress: JobProgress): string {
  if (progress.phase === 'features') return `features of series ${progress.series} of ${progress.total}`;
  if (progress.phase === 'comparing') return 'comparing';
  const figure = (x: number | null) => (x === null || Number.isNaN(x) ? '-' : x.toFixed(4));
  const left = progress.done > 0 ? (progress.elapsedMs / 1000) * (1 / progress.done - 1) : Number.NaN;
  return [
    `step ${progress.step}`,
    `loss ${figure(progress.loss)}`,
    `validation ${figure(progress.validation)} (best ${figure(progress.best)})`,
    `rate ${progress.rate.toExponential(1)}`,
    `${secondsText(left)} left`,
  ].join('  ');
}

export function packed(
  flags: TrainFlags,
  folder: string,
  sets: readonly DataSet[],
  job: TrainingJob,
  base: StoredModel | null,
  result: JobResult,
  { reason, command }: { readonly reason: string; readonly command: string },
) {
  const licences = new Map(sets.map((set) => [set.name, set.licence]));
  const generatedNote = `made by gatecast (seed ${flags.seed}), no licence needed`;
  const scores: Record<string, number> = { training_loss: result.loss };
  if (result.bestLoss !== null) scores.validation_loss = result.bestLoss;
  if (result.baseLoss !== null) scores.validation_loss_before = result.baseLoss;
  for (const [name, value] of Object.entries(scores)) if (!Number.isFinite(value)) delete scores[name];
  return packModel({
    name: basename(folder),
    version: '1',
    createdMs: Date.now(),
    spec: job.spec,
    weights: result.weights,
    leads: flags.horizon[0],
    features: FEATURE_FORMAT,
    parent: base?.hash ?? null,
    training: {
      sets: result.groups.map((group) => ({
        ...group,
        licence: group.name === GENERATED ? generatedNote : (licences.get(group.name) ?? 'not stated'),
      })),
      seed: flags.seed,
      steps: result.steps,
      seconds: Math.round(result.seconds * 10) / 10,
      reason,
      command,
    },
    scores,
  });
}

/** Next steps for the user. The registry reads the folder `models` of a data directory. */
function whatNext(folder: string): string[] {
  const models = dirname(folder);
  const dataDir = basename(models) === 'models' ? dirname(models) : null;
  if (dataDir === null) return ['  to use it, move it into the folder `models` of a data directory'];
  return [
    `  to try it: gatecast backtest FILE ... --model ${basename(folder)} --data-dir ${dataDir}`,
    `  to run it: data_dir: ${dataDir} and model: { name: ${basename(folder)} } in the config`,
  ];
}

export function summary(folder: string, stored: StoredModel, result: JobResult) {
  const { steps, seconds, reason, bestLoss, baseLoss, loss, skipped, groups } = result;
  const { hash } = stored;
  return { folder, hash, steps, seconds, reason, loss, bestLoss, baseLoss, skipped, groups };
}

export function report(folder: string, stored: StoredModel, result: JobResult): string {
  const { dimensions, spec } = stored.manifest;
  const series = result.groups.reduce((sum, group) => sum + group.series, 0);
  const buckets = result.groups.reduce((sum, group) => sum + group.steps, 0);
  const loss =
    result.bestLoss === null
      ? `training loss ${result.loss.toFixed(4)}`
      : `validation loss ${result.baseLoss?.toFixed(4)} -> ${result.bestLoss.toFixed(4)}`;
  return [
    folder,
    `  ${spec?.cell}, ${dimensions.parameters} parameters, model ${stored.hash}`,
    `  ${series} series, ${buckets} buckets; ${result.steps} steps in ${secondsText(result.seconds)} (ended by ${result.reason})`,
    `  ${loss}${result.skipped > 0 ? `; ${result.skipped} steps skipped because the loss was not finite` : ''}`,
    ...whatNext(folder),
    '',
  ].join('\n');
}
