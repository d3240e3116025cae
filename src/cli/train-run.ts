/** What `gatecast train` does: reads the data, trains in the worker, shows how it goes, writes the model. */
import { rmSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { GatecastError } from '../errors.ts';
import { MODEL_NAME } from '../model/manifest.ts';
import { packModel } from '../model/pack.ts';
import { type ModelRegistry, type StoredModel, writeModel } from '../model/registry.ts';
import type { Cell } from '../network/spec.ts';
import { FEATURE_FORMAT } from '../series/features.ts';
import { writeFileAtomic } from '../system/files.ts';
import { startTraining } from '../training/client.ts';
import { generateMixture } from '../training/generate/mixture.ts';
import { previewSvg } from '../training/generate/preview.ts';
import {
  forecastSpec,
  GENERATED,
  type JobProgress,
  type JobResult,
  type JobSeries,
  TRAINING_DEFAULTS,
  type TrainingJob,
  type TrainingSettings,
} from '../training/job.ts';
import { ProgressBar, type ProgressTarget, secondsText } from './shared/progress.ts';
import { type DataSet, readSets, seriesOfSet } from './train-data.ts';
import { runSearch, type SearchFlags, searchReport } from './train-search.ts';

export interface TrainFlags extends SearchFlags {
  search?: boolean;
  data?: string[];
  sets?: string;
  without?: string[];
  generated: number;
  generatedSteps: number;
  generatedWeight: number;
  out?: string;
  from?: string;
  preview?: string;
  time?: string[];
  timeFormat?: string;
  columns: 'all' | string[];
  id?: string[];
  interval?: number[];
  horizon: number[];
  missing?: string[];
  delimiter?: string;
  decimal?: '.' | ',';
  clockStart?: string;
  timezone: string;
  licence: string;
  cell: Cell;
  layers: number;
  hidden: number;
  width: number;
  dropout: number;
  attention?: number;
  convolution?: { kernel: number; channels: number };
  steps: number;
  chunks: number;
  stride: number;
  leads: number;
  batch: number;
  lr: number;
  weightDecay: number;
  averaging: number;
  anchor: number;
  clipNorm: number;
  clipValue?: number;
  maxSteps?: number;
  epochs?: number;
  maxTime?: number;
  validation: number;
  patience?: number;
  seed: number;
  resume?: boolean;
  json?: boolean;
}

export interface Streams {
  readonly out: ProgressTarget;
  readonly err: ProgressTarget;
}

/** Steps of a run that neither --max-steps, --epochs nor --max-time bounds. */
const DEFAULT_STEPS = 3000;

/** @throws GatecastError USAGE and whatever reading and training throw */
export async function runTrain(flags: TrainFlags, registry: ModelRegistry, streams: Streams): Promise<void> {
  if (flags.preview) {
    writeFileAtomic(
      flags.preview,
      previewSvg(generateMixture(flags.seed, flags.generated || 30, flags.generatedSteps)),
    );
    streams.out.write(`${flags.preview}\n`);
    return;
  }
  const folder = outFolder(flags);
  const base = flags.from ? registry.open(flags.from) : null;
  const sets = dataSets(flags);
  const series = sets.flatMap((set, index) => seriesOfSet(set, flags.seed + index));
  const { job, reason } = await chosenJob(flags, trainingJob(flags, sets, series, base), folder, streams);
  const checkpoint = `${folder}.checkpoint`;
  if (!flags.resume) rmSync(checkpoint, { force: true });

  const bar = new ProgressBar(streams.err);
  const training = startTraining(job, {
    checkpoint,
    resume: flags.resume ?? false,
    onProgress: (progress) => bar.update(progress.done, progressText(progress)),
  });
  const unhook = stopOnSignal(
    () => training.stop(),
    () => void training.kill(),
  );
  let result: JobResult;
  try {
    result = await training.result;
  } finally {
    unhook();
    bar.end();
  }
  const stored = writeModel(folder, packed(flags, folder, sets, job, base, result, reason));
  streams.out.write(
    flags.json ? `${JSON.stringify(summary(folder, stored, result))}\n` : report(folder, stored, result),
  );
}

/** The job as given, or with the network that the search chose. */
async function chosenJob(
  flags: TrainFlags,
  job: TrainingJob,
  folder: string,
  streams: Streams,
): Promise<{ job: TrainingJob; reason: string }> {
  if (!flags.search) return { job, reason: '' };
  if (job.weights)
    throw new GatecastError('USAGE', '--search chooses a new network; it cannot go on --from a model.');
  const memory = `${folder}.search.json`;
  if (!flags.resume) rmSync(memory, { force: true });
  const bar = new ProgressBar(streams.err);
  let stopped = false;
  const stop = () => {
    stopped = true;
  };
  const unhook = stopOnSignal(stop, () => process.exit(1));
  try {
    const result = await runSearch(flags, { job, width: flags.width, memory, bar, stop: () => stopped });
    bar.end();
    streams.out.write(searchReport(result, `${folder}.search.svg`));
    if (stopped)
      throw new GatecastError('TRAINING_FAILED', 'The search was stopped.', { hint: 'Go on with --resume.' });
    const { candidate } = result.chosen;
    const spec = forecastSpec({ ...candidate, width: flags.width });
    return {
      job: { ...job, spec, settings: { ...job.settings, rate: candidate.rate } },
      reason: result.reason,
    };
  } finally {
    unhook();
    bar.end();
  }
}

function outFolder(flags: TrainFlags): string {
  const folder = flags.out ? resolve(flags.out) : '';
  if (!folder || !MODEL_NAME.test(basename(folder))) {
    throw new GatecastError(
      'USAGE',
      `--out must name a folder like models/NAME${flags.out ? `, not ${flags.out}` : ''}.`,
      {
        hint: 'A name has letters, digits, dots, dashes and underscores, and begins with a letter or digit.',
      },
    );
  }
  return folder;
}

function dataSets(flags: TrainFlags): DataSet[] {
  const left = new Set(flags.without);
  const sets = flags.sets ? readSets(flags.sets).filter((set) => !left.has(set.name)) : [];
  if (!flags.data) return sets;
  if (!flags.interval)
    throw new GatecastError('USAGE', '--data needs --interval, the length of a bucket, e.g. 5m.');
  const files = flags.data;
  const one: DataSet = {
    name: basename(files[0]!).replace(/\.csv(\.gz)?$/, ''),
    licence: flags.licence,
    files,
    ...(flags.time && { time: flags.time }),
    ...(flags.timeFormat && { time_format: flags.timeFormat }),
    columns: flags.columns,
    ...(flags.id && { id: flags.id }),
    ...(flags.delimiter && { delimiter: flags.delimiter }),
    ...(flags.decimal && { decimal: flags.decimal }),
    ...(flags.missing && { missing: flags.missing }),
    ...(flags.clockStart && { clock_start: flags.clockStart }),
    timezone: flags.timezone,
    intervals: flags.interval,
    horizons: flags.horizon,
    part: [0, 1],
    places: 1,
    flip: 0,
    hasten: 0,
    weight: 1,
  };
  return [...sets, one];
}

function trainingJob(
  flags: TrainFlags,
  sets: readonly DataSet[],
  series: readonly JobSeries[],
  base: StoredModel | null,
): TrainingJob {
  if (base && !(base.manifest.spec && base.weights)) {
    throw new GatecastError('USAGE', `Model '${flags.from}' has no weights to go on from.`);
  }
  const spec =
    base?.manifest.spec ??
    forecastSpec({
      cell: flags.cell,
      layers: flags.layers,
      hidden: flags.hidden,
      width: flags.width,
      dropout: flags.dropout,
      attention: flags.attention ? { memory: flags.attention } : null,
      convolution: flags.convolution ?? null,
    });
  return {
    spec,
    weights: base?.weights ?? null,
    series,
    generated:
      flags.generated > 0 ? { count: flags.generated, steps: flags.generatedSteps, seed: flags.seed } : null,
    settings: settingsOf(flags, sets, series),
  };
}

function settingsOf(
  flags: TrainFlags,
  sets: readonly DataSet[],
  series: readonly JobSeries[],
): TrainingSettings {
  const buckets = series.reduce(
    (sum, one) => sum + one.values.length,
    flags.generated * flags.generatedSteps,
  );
  const perEpoch = Math.max(1, Math.ceil(buckets / (flags.steps * flags.batch)));
  const bySteps = flags.maxSteps ?? (flags.epochs ? Math.ceil(flags.epochs * perEpoch) : null);
  const maxSteps = bySteps ?? (flags.maxTime ? Number.MAX_SAFE_INTEGER : DEFAULT_STEPS);
  return {
    ...TRAINING_DEFAULTS,
    steps: flags.steps,
    chunks: flags.chunks,
    stride: flags.stride,
    leadsPerOrigin: flags.leads,
    batch: flags.batch,
    rate: flags.lr,
    weightDecay: flags.weightDecay,
    averaging: flags.averaging,
    anchorPull: flags.anchor,
    clipNorm: flags.clipNorm,
    clipValue: flags.clipValue ?? Number.POSITIVE_INFINITY,
    maxSteps,
    maxTimeMs: flags.maxTime ?? null,
    validation: flags.validation,
    patience: flags.patience ?? Number.POSITIVE_INFINITY,
    seed: flags.seed,
    groupWeights: {
      ...Object.fromEntries(sets.map((set) => [set.name, set.weight])),
      [GENERATED]: flags.generatedWeight,
    },
  };
}

/** First signal: stop with what is best; second: end now. */
function stopOnSignal(stop: () => void, kill: () => void): () => void {
  let asked = false;
  const handler = () => {
    if (asked) kill();
    else stop();
    asked = true;
  };
  process.on('SIGINT', handler).on('SIGTERM', handler);
  return () => process.off('SIGINT', handler).off('SIGTERM', handler);
}

export function progressText(progress: JobProgress): string {
  if (progress.phase === 'features') return `features of series ${progress.series} of ${progress.total}`;
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

function packed(
  flags: TrainFlags,
  folder: string,
  sets: readonly DataSet[],
  job: TrainingJob,
  base: StoredModel | null,
  result: JobResult,
  reason: string,
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
    leads: flags.horizon[0]!,
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
    },
    scores,
  });
}

function summary(folder: string, stored: StoredModel, result: JobResult) {
  const { steps, seconds, reason, bestLoss, baseLoss, loss, skipped } = result;
  return {
    folder,
    hash: stored.hash,
    steps,
    seconds,
    reason,
    loss,
    bestLoss,
    baseLoss,
    skipped,
    groups: result.groups,
  };
}

function report(folder: string, stored: StoredModel, result: JobResult): string {
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
    `  ${loss}${result.skipped > 0 ? `; ${result.skipped} steps left out as not finite` : ''}`,
    '',
  ].join('\n');
}
