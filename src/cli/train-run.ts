/** What `gatecast train` does: reads the data, trains in the worker, shows how it goes, writes the model. */
import { mkdirSync, rmSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { GatecastError } from '../errors.ts';
import { MODEL_NAME } from '../model/manifest.ts';
import { type ModelRegistry, type StoredModel, writeModel } from '../model/registry.ts';
import { createRandom } from '../network/random.ts';
import { type NetworkSpec, validateSpec } from '../network/spec.ts';
import { widen } from '../network/widen.ts';
import { writeFileAtomic } from '../system/files.ts';
import { startTraining } from '../training/client.ts';
import { generateMixture } from '../training/generate/mixture.ts';
import { previewSvg } from '../training/generate/preview.ts';
import {
  forecastSpec,
  type JobResult,
  type JobSeries,
  TRAINING_DEFAULTS,
  type TrainingJob,
  type TrainingSettings,
} from '../training/job.ts';
import { GENERATED } from '../training/prepare.ts';
import { grid } from '../training/search.ts';
import { ProgressBar, type ProgressTarget } from './shared/progress.ts';
import { type DataSet, readSets, seriesOfSet } from './train-data.ts';
import { runDiagnose } from './train-diagnose.ts';
import type { TrainFlags } from './train-flags.ts';
import { packed, progressText, report, summary } from './train-report.ts';
import { runSearch, searchReport } from './train-search.ts';

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
  // What is wrong with the command line is said before the data are read.
  const folder = flags.diagnose ? '' : outFolder(flags);
  checkSettings(flags);
  const base = flags.from ? registry.open(flags.from) : null;
  const sets = dataSets(flags);
  const series = sets.flatMap((set, index) => seriesOfSet(set, flags.seed + index));
  const asked = trainingJob(flags, sets, series, base);
  if (flags.diagnose) {
    streams.out.write(await runDiagnose(asked, flags.width, flags.diagnose, new ProgressBar(streams.err)));
    return;
  }
  mkdirSync(dirname(folder), { recursive: true });
  const { job, reason } = await chosenJob(flags, asked, folder, streams);
  if (flags.searchOnly) return;
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
  if (!flags.search && !flags.searchOnly) return { job, reason: '' };
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
  const cutShort = (cause?: unknown) =>
    new GatecastError('TRAINING_FAILED', 'The search was stopped.', { hint: 'Go on with --resume.', cause });
  try {
    const result = await runSearch(flags, { job, width: flags.width, memory, bar, stop: () => stopped });
    bar.end();
    streams.out.write(searchReport(result, `${folder}.search.svg`));
    if (stopped) throw cutShort();
    const { rate, ...network } = result.chosen.candidate;
    const spec = forecastSpec({ ...network, width: flags.width });
    return {
      job: { ...job, spec, settings: { ...job.settings, rate } },
      reason: result.reason,
    };
  } catch (error) {
    // stopped before there was anything to compare
    throw stopped && error instanceof RangeError ? cutShort(error) : error;
  } finally {
    unhook();
    bar.end();
  }
}

/** @throws GatecastError USAGE for a network that cannot be, windows that do not divide, and what could teach nothing */
function checkSettings(flags: TrainFlags): void {
  if (!flags.data && !flags.sets && flags.generated === 0) {
    throw new GatecastError('USAGE', 'There is nothing to train on.', {
      hint: 'Name data files with --data or --sets, or generate series with --generated.',
    });
  }
  for (const [flag, value] of [
    ['--lr', flags.lr],
    ['--clip-norm', flags.clipNorm],
    ['--clip-value', flags.clipValue],
  ] as const) {
    if (value === 0) throw new GatecastError('USAGE', `${flag} must be above 0, or nothing is learnt.`);
  }
  if (flags.steps % flags.stride !== 0) {
    throw new GatecastError(
      'USAGE',
      `--steps must be a multiple of --stride, ${flags.steps} is none of ${flags.stride}.`,
    );
  }
  const searched =
    flags.search || flags.searchOnly
      ? grid(flags.searchCells, flags.searchLayers, flags.searchHidden, flags.searchRates)
      : [];
  for (const candidate of searched.length > 0 ? searched : [flags]) {
    const { cell, layers, hidden } = candidate;
    try {
      validateSpec(networkOf({ ...flags, cell, layers, hidden }));
    } catch (cause) {
      if (!(cause instanceof GatecastError)) throw cause;
      throw new GatecastError('USAGE', cause.message, { issues: cause.issues, cause });
    }
  }
}

function networkOf(flags: TrainFlags): NetworkSpec {
  return forecastSpec({
    cell: flags.cell,
    layers: flags.layers,
    hidden: flags.hidden,
    width: flags.width,
    dropout: flags.dropout,
    attention: flags.attention ? { memory: flags.attention } : null,
    convolution: flags.convolution ?? null,
  });
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
  const { spec, weights } = startingPoint(flags, base);
  return {
    spec,
    weights,
    series,
    generated:
      flags.generated > 0 ? { count: flags.generated, steps: flags.generatedSteps, seed: flags.seed } : null,
    settings: settingsOf(flags, sets, series),
  };
}

/** The network and the weights to begin with: fresh, another model's, or another model's made wider. */
function startingPoint(flags: TrainFlags, base: StoredModel | null): Pick<TrainingJob, 'spec' | 'weights'> {
  if (base) {
    const { spec } = base.manifest;
    if (!spec || !base.weights) {
      throw new GatecastError('USAGE', `Model '${flags.from}' has no weights to go on from.`);
    }
    return flags.widen
      ? widen(spec, base.weights, flags.widen, createRandom(flags.seed))
      : { spec, weights: base.weights };
  }
  if (flags.widen) throw new GatecastError('USAGE', '--widen needs --from, the model that is made wider.');
  return { spec: networkOf(flags), weights: null };
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
