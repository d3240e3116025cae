/**
 * One training from data to weights: features, split in time, windows, loop. Runs in the calling thread; a job can be
 * posted to a worker.
 */
import { GatecastError } from '../errors.ts';
import { createRandom } from '../network/random.ts';
import { leadWidth, type NetworkSpec, stateRows, validateSpec } from '../network/spec.ts';
import type { Tensor, Weights } from '../network/weights.ts';
import { checkWeights, initialWeights } from '../network/weights.ts';
import { E } from '../series/experts.ts';
import { AHEAD, I } from '../series/features.ts';
import { createGradientSource, parametersOf, type RuntimeGradients, weightsOf } from './gradient-source.ts';
import type { Checkpoint, LoopOptions, LoopResult, Progress } from './loop.ts';
import { trainLoop } from './loop.ts';
import type { Parameter } from './optimiser.ts';
import { type PreparedData, prepare } from './prepare.ts';
import { Random } from './random.ts';
import type { NetworkPair, RecordedSeries, Surroundings } from './replay.ts';
import { WindowSampler } from './sampler.ts';
import { ValidationPass } from './validation.ts';

/** One stream on its grid. */
export interface JobSeries extends RecordedSeries {
  /** Data set or model group. */
  readonly group: string;
  /** [buckets] values usable as targets, NaN elsewhere; default: `values`. */
  readonly targets?: Float64Array;
  /** Number of first steps that only warm up features and states; default 0. */
  readonly learnFrom?: number;
  /** Whether training uses every step from the first reading on; default: false. */
  readonly cold?: boolean;
}

export interface TrainingSettings {
  /** T, steps of a chunk. */
  readonly steps: number;
  readonly stride: number;
  /** M, leads used per origin. */
  readonly leadsPerOrigin: number;
  readonly batch: number;
  /** Maximum number of successive chunks from one series in a row of the batch. */
  readonly chunks: number;
  readonly burnIn: number;
  /** Share of the windows that follow a stream from its first reading; 0: none. */
  readonly coldShare: number;
  /** Last share of every series, which selects the best weights; 0: the last weights are used. */
  readonly validation: number;
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
  /** Strength of the pull towards the initial weights (L2-SP); 0: none. */
  readonly anchorPull: number;
  readonly clipNorm: number;
  /** Gradients are clipped to +-this after the norm is clipped; Infinity: no limit. */
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
  coldShare: 0,
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
  clipNorm: 1,
  clipValue: Number.POSITIVE_INFINITY,
  validateEvery: 200,
  patience: Number.POSITIVE_INFINITY,
  averaging: 0.99,
};

/** Context of series recorded live: gaps that the agent filled with forecasts are filled likewise. */
interface LiveSurroundings extends Surroundings {
  /** The network that forecast live. */
  readonly network: NetworkPair;
}

export interface TrainingJob {
  readonly spec: NetworkSpec;
  /** Initial weights; null: random ones from the seed. */
  readonly weights: Weights | null;
  readonly series: readonly JobSeries[];
  /** null: the experts' forecasts fill gaps. */
  readonly live: LiveSurroundings | null;
  /** Series to generate in the worker, in addition to the given ones. */
  readonly generated: { readonly count: number; readonly steps: number; readonly seed: number } | null;
  readonly settings: TrainingSettings;
}

export type JobProgress =
  | { readonly phase: 'features'; readonly done: number; readonly series: number; readonly total: number }
  | ({ readonly phase: 'training' } & Progress)
  /** The candidate is compared with the champion; only in a fine-tuning. */
  | { readonly phase: 'comparing'; readonly done: number };

export interface JobHooks extends Pick<LoopOptions, 'now' | 'stop' | 'brake' | 'onCheckpoint'> {
  readonly onProgress?: (progress: JobProgress) => void;
  readonly resume?: Checkpoint | null;
}

export interface JobResult extends Omit<LoopResult, 'best' | 'elapsedMs'> {
  readonly weights: Map<string, Tensor>;
  readonly seconds: number;
  /** Training data by group; `steps` counts buckets. */
  readonly groups: readonly { readonly name: string; readonly series: number; readonly steps: number }[];
}

/** Network spec for gatecast's features. */
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
  const rng = new Random(job.settings.seed);
  const started = hooks.now();
  // Checks the network before the features are computed.
  const weights = startingWeights(job);
  const data = await prepare(job, rng.child(), hooks);
  const training = await openTraining(job, weights, data, rng);
  try {
    const { parameters, source, stream, pass } = training;
    const result = await trainLoop(parameters, source, stream, pass, loopOptions(job.settings, hooks));
    return {
      weights: weightsOf(weights, parameters, result.best),
      bestLoss: result.bestLoss,
      baseLoss: result.baseLoss,
      loss: result.loss,
      steps: result.steps,
      seconds: (hooks.now() - started) / 1000,
      reason: result.reason,
      skipped: result.skipped,
      groups: groupsOf(data),
    };
  } finally {
    await training.source.release();
  }
}

/** The parts of a training loop. */
interface OpenTraining {
  readonly parameters: readonly Parameter[];
  readonly source: RuntimeGradients;
  readonly stream: WindowSampler;
  /** null: no series is long enough for validation. */
  readonly pass: ValidationPass | null;
}

/** @throws GatecastError NETWORK_INVALID, WEIGHTS_INVALID */
export function startingWeights({ spec, weights, settings }: TrainingJob): Weights {
  // checked first: initial weights of an absurd size would take hours
  validateSpec(spec);
  const first = weights ?? initialWeights(spec, createRandom(settings.seed));
  checkWeights(spec, first);
  return first;
}

/**
 * @param perTarget whether the source returns the loss of every target
 * @throws GatecastError TRAINING_FAILED if the features do not match the network
 */
export async function openTraining(
  { spec, settings }: TrainingJob,
  weights: Weights,
  { series, splits }: PreparedData,
  rng: Random,
  perTarget = false,
): Promise<OpenTraining> {
  const [first] = series;
  if (first && (first.inputs !== spec.inputs || first.zWidth !== leadWidth(spec))) {
    throw new GatecastError(
      'TRAINING_FAILED',
      `The network takes ${spec.inputs} inputs and ${leadWidth(spec)} numbers per lead, the features have ${first.inputs} and ${first.zWidth}.`,
      { hint: 'The network is for the features of another version: train a new one.' },
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
    {
      ...sizes,
      chunks: settings.chunks,
      burnIn: settings.burnIn,
      coldShare: settings.coldShare,
      groupWeights: settings.groupWeights,
    },
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
  const parameters = parametersOf(weights, settings.anchorPull > 0);
  const source = await createGradientSource(spec, weights, parameters, shape, rng.child(), perTarget);
  return { parameters, source, stream, pass };
}

export function loopOptions(settings: TrainingSettings, hooks: JobHooks): LoopOptions {
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
    stop: hooks.stop,
    brake: hooks.brake,
    onProgress: (progress) => hooks.onProgress?.({ phase: 'training', ...progress }),
    onCheckpoint: hooks.onCheckpoint,
    resume: hooks.resume ?? undefined,
  };
}

function groupsOf({ series, buckets }: PreparedData): JobResult['groups'] {
  const groups = new Map<string, { name: string; series: number; steps: number }>();
  for (const [k, { group, cold }] of series.entries()) {
    // The same readings as the series that it is cut from.
    if (cold) continue;
    const entry = groups.get(group) ?? { name: group, series: 0, steps: 0 };
    entry.series++;
    entry.steps += buckets[k] ?? 0;
    groups.set(group, entry);
  }
  return [...groups.values()];
}
