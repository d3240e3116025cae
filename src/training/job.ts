/**
 * One training from data to weights, in whichever thread calls it: features, split in time, windows, loop. Everything in
 * a job can be posted to a worker.
 */
import { GatecastError } from '../errors.ts';
import { createRandom } from '../network/random.ts';
import type { NetworkSpec } from '../network/spec.ts';
import { leadWidth, stateRows } from '../network/spec.ts';
import type { Tensor, Weights } from '../network/weights.ts';
import { checkWeights, initialWeights } from '../network/weights.ts';
import { UTC, zoneOffset } from '../series/calendar.ts';
import { E } from '../series/experts.ts';
import { AHEAD, I } from '../series/features.ts';
import { splitInTime, type TimeSplit, type TrainingSeries } from './dataset.ts';
import { FeatureSeries } from './feature-series.ts';
import { generateMixture } from './generate/mixture.ts';
import { createGradientSource, parametersOf, weightsOf } from './gradient-source.ts';
import { trainLoop } from './loop.ts';
import type { Checkpoint, LoopOptions, Progress, StopReason } from './loop-contract.ts';
import { Random } from './random.ts';
import { WindowSampler } from './sampler.ts';
import { ValidationPass } from './validation.ts';

/** One stream on its grid. */
export interface JobSeries {
  readonly name: string;
  /** Data set or model group. */
  readonly group: string;
  readonly intervalMs: number;
  readonly startMs: number;
  /** NaN: not observed, or not to be learnt from. */
  readonly values: Float32Array;
  /** K, the horizon in buckets. */
  readonly leads: number;
  /** IANA zone of the calendar features; UTC where left out. */
  readonly timeZone?: string;
  /** The first so many buckets only warm features and states up; 0 where left out. */
  readonly learnFrom?: number;
}

export interface TrainingSettings {
  /** T, steps of a chunk. */
  readonly steps: number;
  readonly stride: number;
  /** M, leads learnt from at an origin. */
  readonly leadsPerOrigin: number;
  readonly batch: number;
  /** Most chunks a row follows one series. */
  readonly chunks: number;
  readonly burnIn: number;
  /** Last share of every series that chooses the best weights; 0: none, the last weights win. */
  readonly validation: number;
  /** Most batches of one validation. */
  readonly validationBatches: number;
  readonly seed: number;
  readonly groupWeights: Readonly<Record<string, number>>;
  readonly maxSteps: number;
  readonly maxTimeMs: number | null;
  /** Highest learning rate. */
  readonly rate: number;
  readonly warmUp: number;
  readonly floor: number;
  readonly weightDecay: number;
  /** Pull towards the given weights (L2-SP); 0: none. */
  readonly anchorPull: number;
  /** Factor on the learning rate of the cell's parameters; the head learns at the full rate. */
  readonly cellRate: number;
  readonly clipNorm: number;
  /** Gradients are held within +-this after the norm; Infinity: not. */
  readonly clipValue: number;
  readonly validateEvery: number;
  readonly patience: number;
  /** Decay of averaged weights; 0: none. */
  readonly averaging: number;
}

export const TRAINING_DEFAULTS: TrainingSettings = {
  steps: 96,
  stride: 4,
  leadsPerOrigin: 6,
  batch: 32,
  chunks: 8,
  burnIn: 16,
  validation: 0.15,
  validationBatches: 40,
  seed: 1,
  groupWeights: {},
  maxSteps: 3000,
  maxTimeMs: null,
  rate: 2e-3,
  warmUp: 0.05,
  floor: 0.02,
  weightDecay: 0.01,
  anchorPull: 0,
  cellRate: 1,
  clipNorm: 1,
  clipValue: Number.POSITIVE_INFINITY,
  validateEvery: 200,
  patience: Number.POSITIVE_INFINITY,
  averaging: 0.99,
};

export interface TrainingJob {
  readonly spec: NetworkSpec;
  /** Weights to begin with; null: fresh ones from the seed. */
  readonly weights: Weights | null;
  readonly series: readonly JobSeries[];
  /** Generated beside the given series, in the worker. */
  readonly generated: { readonly count: number; readonly steps: number; readonly seed: number } | null;
  readonly settings: TrainingSettings;
}

export type JobProgress =
  | { readonly phase: 'features'; readonly done: number; readonly series: number; readonly total: number }
  | ({ readonly phase: 'training' } & Progress);

export interface JobHooks {
  /** Monotonic ms. */
  readonly now: () => number;
  readonly onProgress?: (progress: JobProgress) => void;
  readonly stop?: () => boolean;
  readonly brake?: () => Promise<void>;
  readonly onCheckpoint?: (checkpoint: Checkpoint) => void;
  readonly resume?: Checkpoint | null;
}

export interface JobResult {
  readonly weights: Map<string, Tensor>;
  readonly bestLoss: number | null;
  readonly baseLoss: number | null;
  readonly loss: number;
  readonly steps: number;
  readonly seconds: number;
  readonly reason: StopReason;
  readonly skipped: number;
  /** What was trained on. */
  readonly groups: readonly { readonly name: string; readonly series: number; readonly steps: number }[];
}

/** Horizons, in buckets, that generated series are forecast for. */
const HORIZONS = [12, 24, 24, 36, 48, 48, 60, 72, 96, 96, 144, 192];
/** Group of the generated series. */
export const GENERATED = 'generated';

/** A network for gatecast's features. */
export function forecastSpec(
  options: Pick<NetworkSpec, 'cell' | 'layers' | 'hidden'> & Partial<NetworkSpec> & { width?: number },
): NetworkSpec {
  const { width = 32, ...given } = options;
  return {
    dropout: 0,
    convolution: null,
    attention: null,
    ...given,
    inputs: I,
    head: { kind: 'lead', experts: E, features: AHEAD - 2 * E, width },
  };
}

/** @throws GatecastError NOT_ENOUGH_DATA, TRAINING_FAILED, NETWORK_INVALID, WEIGHTS_INVALID */
export async function runJob(job: TrainingJob, hooks: JobHooks): Promise<JobResult> {
  const { spec, settings } = job;
  const rng = new Random(settings.seed);
  const started = hooks.now();
  const weights = job.weights ?? initialWeights(spec, createRandom(settings.seed));
  checkWeights(spec, weights);

  const { series, splits } = await prepare(job, rng.child(), hooks);
  const [first] = series;
  if (first && (first.inputs !== spec.inputs || first.zWidth !== leadWidth(spec))) {
    throw new GatecastError(
      'TRAINING_FAILED',
      `The network takes ${spec.inputs} inputs and ${leadWidth(spec)} numbers a lead, the features give ${first.inputs} and ${first.zWidth}.`,
      { hint: 'It was made for the features of another version: train from scratch.' },
    );
  }
  const shape = {
    steps: settings.steps,
    stride: settings.stride,
    leads: settings.leadsPerOrigin,
    batch: settings.batch,
  };
  const sizes = { ...shape, stateLayers: stateRows(spec), hidden: spec.hidden };
  const stream = new WindowSampler(
    series,
    splits.map((split) => split.train),
    { ...sizes, chunks: settings.chunks, burnIn: settings.burnIn, groupWeights: settings.groupWeights },
    rng.child(),
  );
  const validated = splits.map((split) => split.validation);
  const pass = validated.some((range) => range !== null)
    ? new ValidationPass(series, validated, {
        ...sizes,
        warmUp: 2 * settings.steps,
        mostBatches: settings.validationBatches,
      })
    : null;

  const parameters = parametersOf(weights, {
    anchored: settings.anchorPull > 0,
    rate: (name) => (name.startsWith('head.') ? 1 : settings.cellRate),
  });
  const source = await createGradientSource(spec, weights, parameters, shape, rng.child());
  try {
    const result = await trainLoop(parameters, source, stream, pass, loopOptions(settings, hooks));
    return {
      weights: weightsOf(weights, parameters, result.best),
      bestLoss: result.bestLoss,
      baseLoss: result.baseLoss,
      loss: result.loss,
      steps: result.steps,
      seconds: (hooks.now() - started) / 1000,
      reason: result.reason,
      skipped: result.skipped,
      groups: groupsOf(series),
    };
  } finally {
    await source.release();
  }
}

function loopOptions(settings: TrainingSettings, hooks: JobHooks): LoopOptions {
  return {
    maxSteps: settings.maxSteps,
    maxTimeMs: settings.maxTimeMs,
    schedule: { peak: settings.rate, warmUp: settings.warmUp, floor: settings.floor },
    adam: { weightDecay: settings.weightDecay, anchorPull: settings.anchorPull },
    clipNorm: settings.clipNorm,
    clipValue: settings.clipValue,
    validateEvery: settings.validateEvery,
    patience: settings.patience,
    averaging: settings.averaging,
    now: hooks.now,
    ...(hooks.stop && { stop: hooks.stop }),
    ...(hooks.brake && { brake: hooks.brake }),
    onProgress: (progress) => hooks.onProgress?.({ phase: 'training', ...progress }),
    ...(hooks.onCheckpoint && { onCheckpoint: hooks.onCheckpoint }),
    ...(hooks.resume && { resume: hooks.resume }),
  };
}

/** The series of a job as the trainer reads them. @throws GatecastError NOT_ENOUGH_DATA */
export async function jobFeatures(job: TrainingJob): Promise<TrainingSeries[]> {
  const { series } = await prepare(job, new Random(job.settings.seed), { now: () => 0 });
  return series;
}

/** Features of all series, and where of each may be learnt from. */
async function prepare(
  job: TrainingJob,
  rng: Random,
  hooks: JobHooks,
): Promise<{ series: TrainingSeries[]; splits: TimeSplit[] }> {
  const { settings } = job;
  const all = [...job.series, ...generated(job, rng)];
  const series: TrainingSeries[] = [];
  const splits: TimeSplit[] = [];
  for (const one of all) {
    if (hooks.stop?.()) break;
    await hooks.brake?.();
    const { stride, leadsPerOrigin } = settings;
    const zone = one.timeZone ? zoneOffset(one.timeZone) : UTC;
    series.push(new FeatureSeries({ ...one, zone, stride, leadsPerOrigin }, rng.child()));
    splits.push(splitOf(one, settings));
    hooks.onProgress?.({
      phase: 'features',
      done: series.length / all.length,
      series: series.length,
      total: all.length,
    });
  }
  if (series.length === 0) {
    throw new GatecastError('NOT_ENOUGH_DATA', 'There is no series to train on.', {
      hint: 'Name data files with --data, or generate series with --generated.',
    });
  }
  return { series, splits };
}

function splitOf(one: JobSeries, settings: TrainingSettings): TimeSplit {
  const first = one.learnFrom ?? 0;
  const split = splitInTime(one.values.length - first, one.leads, settings.validation, 2 * settings.stride);
  const move = (range: { from: number; to: number }) => ({ from: range.from + first, to: range.to + first });
  return { train: move(split.train), validation: split.validation && move(split.validation) };
}

function generated(job: TrainingJob, rng: Random): JobSeries[] {
  if (!job.generated) return [];
  const { count, steps, seed } = job.generated;
  const fixed = job.spec.head.kind === 'direct' ? job.spec.head.leads : null;
  return generateMixture(seed, count, steps).map((one) => ({
    ...one,
    group: GENERATED,
    leads: fixed ?? rng.pick(HORIZONS),
  }));
}

function groupsOf(series: readonly TrainingSeries[]): JobResult['groups'] {
  const groups = new Map<string, { name: string; series: number; steps: number }>();
  for (const { group, steps } of series) {
    const entry = groups.get(group) ?? { name: group, series: 0, steps: 0 };
    entry.series++;
    entry.steps += steps;
    groups.set(group, entry);
  }
  return [...groups.values()];
}
