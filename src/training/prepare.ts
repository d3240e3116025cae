/** The data of a training: its series run through the features, generated ones beside them, each split in time. */
import { GatecastError } from '../errors.ts';
import { UTC, zoneOffset } from '../series/calendar.ts';
import { splitInTime, type TimeSplit, type TrainingSeries } from './dataset.ts';
import { FeatureSeries } from './feature-series.ts';
import { generateMixture } from './generate/mixture.ts';
import type { JobHooks, JobSeries, TrainingJob, TrainingSettings } from './job.ts';
import { Random } from './random.ts';

/** Group of the generated series. */
export const GENERATED = 'generated';
/** Horizons, in buckets, that generated series are forecast for. */
const HORIZONS = [12, 24, 24, 36, 48, 48, 60, 72, 96, 96, 144, 192];

/** The series of a job as the trainer reads them. @throws GatecastError NOT_ENOUGH_DATA */
export async function jobFeatures(job: TrainingJob): Promise<readonly TrainingSeries[]> {
  const { series } = await prepare(job, new Random(job.settings.seed), { now: () => 0 });
  return series;
}

export interface PreparedData {
  readonly series: readonly TrainingSeries[];
  /** Where of each may be learnt from, and what validates. */
  readonly splits: readonly TimeSplit[];
}

/** Features of all series, and how their time is split. @throws GatecastError NOT_ENOUGH_DATA */
export async function prepare(
  job: Pick<TrainingJob, 'series' | 'generated' | 'settings' | 'spec'>,
  rng: Random,
  hooks: JobHooks,
): Promise<PreparedData> {
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

function generated(job: Pick<TrainingJob, 'generated' | 'spec'>, rng: Random): JobSeries[] {
  if (!job.generated) return [];
  const { count, steps, seed } = job.generated;
  const fixed = job.spec.head.kind === 'direct' ? job.spec.head.leads : null;
  return generateMixture(seed, count, steps).map((one) => ({
    ...one,
    group: GENERATED,
    leads: fixed ?? rng.pick(HORIZONS),
  }));
}
