/**
 * One fine-tuning: screens the recorded data, holds out the newest part, trains a small network on the rest from random
 * weights, and compares on the holdout: the champion against the champion's base network together with the new one, pooled as
 * they would be live. Returns a decision with its reason. Used by the agent and by backtest, which act on the decision. Does not
 * change the champion.
 */
import { GatecastError } from '../errors.ts';
import { loadModel, packModel } from '../model/pack.ts';
import { type ModelFiles, type StoredModel, verifyModel } from '../model/registry.ts';
import type { Network } from '../network/weights.ts';
import { FEATURES } from '../series/features.ts';
import { judge, type Verdict } from './gate.ts';
import { HOLDOUT_DEFAULTS, type HoldoutOptions, type HoldoutSeries, holdoutLosses } from './holdout.ts';
import {
  forecastSpec,
  type JobResult,
  type JobSeries,
  TRAINING_DEFAULTS,
  type TrainingJob,
  type TrainingSettings,
} from './job.ts';
import {
  bucketStart,
  cutAt,
  type KnownTable,
  type NetworkPair,
  type RecordedSeries,
  type Surroundings,
} from './replay.ts';
import { screen } from './screen.ts';

export interface CycleOptions {
  readonly training: TrainingSettings;
  readonly evaluation: HoldoutOptions;
}

/** Held-out share of every stream. */
const HOLDOUT = 0.15;

/** Settings of gateways and backtests. */
export const CYCLE_DEFAULTS: CycleOptions = {
  training: {
    ...TRAINING_DEFAULTS,
    maxSteps: 1500,
    maxTimeMs: 10 * 60_000,
    validateEvery: 100,
    validationBatches: 16,
    patience: 5,
  },
  evaluation: HOLDOUT_DEFAULTS,
};

export interface CycleInput {
  /** Name of the model group: streams that share a model. */
  readonly group: string;
  /** Recorded series on the streams' grids; marked readings are NaN. The last bucket is the newest closed one. */
  readonly series: readonly JobSeries[];
  /** Streams used only as covariates of others. */
  readonly helpers?: readonly RecordedSeries[];
  /** Values known ahead, for streams that use them as covariates. */
  readonly tables: readonly KnownTable[];
  readonly champion: StoredModel;
  /** Name of the candidate. */
  readonly name: string;
  /** ms since 1970 UTC */
  readonly nowMs: number;
}

interface CycleDependencies {
  /** Trains: in a worker (`startTraining`) or in this thread (`runJob`). */
  readonly train: (job: TrainingJob) => Promise<JobResult>;
}

export interface CycleReport {
  readonly status: 'promote' | 'refused' | 'too-little';
  /** Shown to the owner. */
  readonly reason: string;
  readonly verdict: Verdict | null;
  /** The candidate with its int8 step graph; null if not promoted. */
  readonly candidate: ModelFiles | null;
  readonly streams: number;
  readonly leftOut: readonly { readonly stream: string; readonly problem: string }[];
  readonly training: Pick<JobResult, 'steps' | 'seconds' | 'baseLoss' | 'bestLoss' | 'reason'> | null;
}

/** Buckets at the start of a window that only warm up features. */
const SETTLING = 100;

/** @throws GatecastError MODEL_INVALID if the champion has no weights; errors of `train` */
export async function fineTune(
  input: CycleInput,
  dependencies: CycleDependencies,
  options: CycleOptions = CYCLE_DEFAULTS,
): Promise<CycleReport> {
  const network = trainable(input.champion);
  const spec = forecastSpec({ cell: 'gru', layers: 1, hidden: 32, width: 32 });
  const { kept, leftOut } = select(input.series);
  const base = { streams: kept.length, leftOut, verdict: null, candidate: null, training: null };
  if (kept.length === 0) {
    const first = leftOut[0] ? `: ${leftOut[0].stream}: ${leftOut[0].problem}` : '';
    return {
      ...base,
      status: 'too-little',
      reason: `0 of ${input.series.length} streams are usable for training${first}`,
    };
  }
  const around: Surroundings = { helpers: [...input.series, ...(input.helpers ?? [])], tables: input.tables };
  const job: TrainingJob = {
    spec,
    weights: null,
    // The holdout is cut off here, before any other code can read it.
    series: kept.map((one) => ({
      ...cutAt(one, one.holdoutFrom),
      targets: one.targets.slice(0, one.holdoutFrom),
      learnFrom: Math.min(SETTLING, Math.floor(one.holdoutFrom / 10)),
    })),
    live: { ...around, network },
    generated: null,
    settings: options.training,
  };
  const result = await dependencies.train(job);
  const training = {
    steps: result.steps,
    seconds: result.seconds,
    baseLoss: result.baseLoss,
    bestLoss: result.bestLoss,
    reason: result.reason,
  };
  const candidate = pack(input, network, { spec, weights: result.weights }, result, spanOf(job.series));
  const verdict = await compare(input.champion, candidate, kept, around, options.evaluation);
  return {
    ...base,
    training,
    verdict,
    candidate: verdict.promote ? candidate : null,
    status: verdict.promote ? 'promote' : 'refused',
    reason: verdict.reason,
  };
}

function trainable({ manifest, weights, own }: StoredModel): NetworkPair {
  const { spec, name } = manifest;
  if (!spec || !weights || spec.head.kind !== 'lead') {
    throw new GatecastError('MODEL_INVALID', `Model '${name}' cannot be fine-tuned.`, {
      hint: 'A model needs weights and a head of kind lead; one imported as a step graph has no weights.',
    });
  }
  return { spec, weights, own };
}

/** Usable streams, each with the start of its holdout. */
function select(series: readonly JobSeries[]): {
  kept: (HoldoutSeries & { readonly targets: Float64Array })[];
  leftOut: CycleReport['leftOut'];
} {
  const kept: (HoldoutSeries & { readonly targets: Float64Array })[] = [];
  const leftOut: { stream: string; problem: string }[] = [];
  for (const one of series) {
    const screened = screen(one.values);
    const holdoutFrom = holdoutStart(one.values.length, one.leads, HOLDOUT);
    if (screened.problem) leftOut.push({ stream: one.name, problem: screened.problem });
    else if (holdoutFrom === null)
      leftOut.push({ stream: one.name, problem: `${one.values.length} buckets are too few for a holdout` });
    else kept.push({ ...one, targets: screened.values, holdoutFrom });
  }
  return { kept, leftOut };
}

/** Start of the holdout: at least three horizons, with at least twice that left for training; null if impossible. */
export function holdoutStart(buckets: number, leads: number, share: number): number | null {
  const size = Math.max(Math.ceil(buckets * share), 3 * leads);
  return buckets - size >= 2 * size ? buckets - size : null;
}

function pack(
  input: CycleInput,
  { spec, weights }: NetworkPair,
  own: Network,
  result: JobResult,
  span: { readonly from: string; readonly to: string },
): ModelFiles {
  const { manifest, hash } = input.champion;
  return packModel({
    name: input.name,
    version: new Date(input.nowMs).toISOString().slice(0, 16),
    createdMs: input.nowMs,
    spec,
    weights,
    own,
    leads: manifest.dimensions.leads,
    features: manifest.features,
    parent: hash,
    training: {
      sets: result.groups.map((group) => ({ ...group, licence: "the owner's own data" })),
      span,
      seed: TRAINING_DEFAULTS.seed,
      steps: result.steps,
      seconds: Math.round(result.seconds * 10) / 10,
      reason: `The own network of group ${input.group}, beside the base network of ${manifest.name}.`,
    },
    scores: result.bestLoss === null ? {} : { validation_loss: result.bestLoss },
  });
}

/** From the first bucket that is learnt from to the end of the last. */
function spanOf(series: readonly JobSeries[]): { from: string; to: string } {
  const iso = (ms: number): string => new Date(ms).toISOString();
  const ends = series.map((one) => bucketStart(one, one.values.length));
  return { from: iso(Math.min(...series.map(({ startMs }) => startMs))), to: iso(Math.max(...ends)) };
}

async function compare(
  champion: StoredModel,
  candidate: ModelFiles,
  kept: readonly HoldoutSeries[],
  around: Surroundings,
  evaluation: HoldoutOptions,
): Promise<Verdict> {
  const losses = await holdoutLosses(
    kept,
    loadModel(champion, FEATURES),
    loadModel(verifyModel(candidate, 'the candidate'), FEATURES),
    evaluation,
    around,
  );
  return judge(losses, evaluation.originsPerHorizon);
}
