/** Prepares the data of a training: steps the given and the generated series as live, and splits each in time. */
import { GatecastError } from '../errors.ts';
import { Scratches } from '../forecast/scratch.ts';
import { StreamStep } from '../forecast/stream-step.ts';
import { coldStarts } from './cold-starts.ts';
import { splitInTime, type TimeSplit, type TrainingSeries } from './dataset.ts';
import { FeatureSeries } from './feature-series.ts';
import { generateMixture } from './generate/mixture.ts';
import type { JobHooks, JobSeries, TrainingJob, TrainingSettings } from './job.ts';
import { Random } from './random.ts';
import { bucketAt, closedBucket, FILE_SETTINGS, networkModel, replay } from './replay.ts';

/** Group of the generated series. */
export const GENERATED = 'generated';
/** Horizons of generated series, buckets. */
const HORIZONS = [12, 24, 24, 36, 48, 48, 60, 72, 96, 96, 144, 192];

/** The series of a job as training data. @throws GatecastError NOT_ENOUGH_DATA */
export async function jobFeatures(job: TrainingJob): Promise<readonly TrainingSeries[]> {
  const { series } = await prepare(job, new Random(job.settings.seed), { now: () => 0 });
  return series;
}

export interface PreparedData {
  readonly series: readonly TrainingSeries[];
  /** Number of buckets of each series; the network does not step in all of them. */
  readonly buckets: readonly number[];
  /** Training and validation part of each series. */
  readonly splits: readonly TimeSplit[];
}

type DataJob = Pick<TrainingJob, 'series' | 'generated' | 'settings' | 'spec' | 'live'>;

/** Called for every step of the network, after it has processed bucket `bucket` of a series. */
type Visit<T extends JobSeries> = (series: T, step: StreamStep, bucket: number) => void;

/** Features of all series, and how their time is split. @throws GatecastError NOT_ENOUGH_DATA */
export async function prepare(job: DataJob, rng: Random, hooks: JobHooks): Promise<PreparedData> {
  const { settings } = job;
  const made = new Map<JobSeries, FeatureSeries>();
  const whole = [...job.series, ...generated(job, rng)];
  for (const one of [...whole, ...coldStarts(whole, settings)]) {
    const { stride, leadsPerOrigin } = settings;
    const targets = one.targets ?? one.values;
    made.set(one, new FeatureSeries({ ...one, targets, stride, leadsPerOrigin }, rng.child()));
  }
  const all = [...made.keys()];
  const done = new Set<JobSeries>();
  await eachStep(
    all,
    job,
    hooks,
    (series, step, bucket) => made.get(series)?.add(step, bucket),
    (series) => {
      done.add(series);
      hooks.onProgress?.({
        phase: 'features',
        done: done.size / all.length,
        series: done.size,
        total: all.length,
      });
    },
  );
  if (done.size === 0) {
    throw new GatecastError('NOT_ENOUGH_DATA', 'There is no series to train on.', {
      hint: 'Name data files with --data, or generate series with --generated.',
    });
  }
  const series: FeatureSeries[] = [];
  const buckets: number[] = [];
  const splits: TimeSplit[] = [];
  for (const [one, features] of made) {
    if (!done.has(one)) continue;
    features.finish();
    series.push(features);
    buckets.push(one.values.length);
    splits.push(splitOf(features.steps, one, settings));
  }
  return { series, buckets, splits };
}

/**
 * Steps all series as live and visits every step of the network. Gaps that live filled with its forecasts are filled
 * with forecasts of the network that ran live.
 * @param finished called after each series
 */
export async function eachStep<T extends JobSeries>(
  all: readonly T[],
  { live }: Pick<TrainingJob, 'live'>,
  { stop, brake }: Pick<JobHooks, 'stop' | 'brake'>,
  visit: Visit<T>,
  finished: (series: T) => void = () => {},
): Promise<void> {
  const scratches = new Scratches();
  const played: T[] = [];
  for (const one of all) {
    if (stop?.()) return;
    await brake?.();
    if (live !== null && one.settings.fill === 'model' && hasGap(one)) {
      played.push(one);
      continue;
    }
    const step = new StreamStep(one.settings, one, { scratch: scratches.of(one.leads) });
    for (let bucket = 0; bucket < one.values.length; bucket++) {
      if (step.take(closedBucket(one, bucket)) && step.warm) visit(one, step, bucket);
    }
    finished(one);
  }
  if (played.length === 0 || live === null) return;
  const byName = new Map(played.map((one) => [one.name, one]));
  const around = { ...live, helpers: [...all, ...live.helpers] };
  const watch = {
    stepped: (name: string, step: StreamStep, startMs: number, x: Float32Array | null): void => {
      const one = byName.get(name);
      if (one !== undefined && x !== null) visit(one, step, bucketAt(one, startMs));
    },
  };
  await replay(played, around, networkModel(live.network), watch, brake);
  for (const one of played) finished(one);
}

/** Whether a bucket after the first observed one is missing. */
function hasGap({ values }: JobSeries): boolean {
  const first = values.findIndex(Number.isFinite);
  return first >= 0 && values.subarray(first).some((value) => !Number.isFinite(value));
}

function splitOf(steps: number, one: JobSeries, settings: TrainingSettings): TimeSplit {
  if (one.cold) return { train: { from: 0, to: steps }, validation: null };
  const first = Math.min(steps, one.learnFrom ?? 0);
  const split = splitInTime(steps - first, one.leads, settings.validation, 2 * settings.stride);
  const move = (range: { from: number; to: number }) => ({ from: range.from + first, to: range.to + first });
  return { train: move(split.train), validation: split.validation && move(split.validation) };
}

function generated(job: Pick<TrainingJob, 'generated' | 'spec'>, rng: Random): JobSeries[] {
  if (!job.generated) return [];
  const { count, steps, seed } = job.generated;
  const fixed = job.spec.head.kind === 'direct' ? job.spec.head.leads : null;
  return generateMixture(seed, count, steps).map((one) => ({
    ...one,
    values: Float64Array.from(one.values),
    group: GENERATED,
    leads: fixed ?? rng.pick(HORIZONS),
    settings: FILE_SETTINGS,
  }));
}
