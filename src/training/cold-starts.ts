/**
 * Starts of streams as training data: parts of the series, each played from nothing, so that the network learns what to
 * forecast while scales, errors and seasons are hardly known. Pure.
 */
import { splitInTime } from './dataset.ts';
import type { JobSeries, TrainingSettings } from './job.ts';
import { Random } from './random.ts';

/** Buckets of a series for each start. */
const BUCKETS_PER_START = 1500;
/** Origins are in the first buckets of a start, this many; the targets of the last ones are later. */
const START_BUCKETS = 192;
/** Starts with fewer readings are left out. */
const LEAST_READINGS = 64;

/** Starts at random readings of the training part of each series; none if no windows are to follow one. */
export function coldStarts(all: readonly JobSeries[], settings: TrainingSettings): JobSeries[] {
  if (settings.coldShare === 0) return [];
  // An own generator: the draws of the other series stay the same.
  const rng = new Random(settings.seed + 1);
  const starts: JobSeries[] = [];
  for (const one of all) {
    // Buckets of a series with shortened gaps are not on one grid.
    if (one.jumps?.length) continue;
    const first = one.learnFrom ?? 0;
    const { train } = splitInTime(
      one.values.length - first,
      one.leads,
      settings.validation,
      2 * settings.stride,
    );
    const end = first + train.to;
    const length = START_BUCKETS + one.leads;
    for (let i = 0; i * BUCKETS_PER_START < train.to; i++) {
      const drawn = rng.int(first, Math.max(first, end - length));
      const from = one.values.findIndex((value, bucket) => bucket >= drawn && Number.isFinite(value));
      const to = Math.min(end, from + length);
      if (from < 0 || one.values.subarray(from, to).filter(Number.isFinite).length < LEAST_READINGS) continue;
      starts.push({
        ...one,
        name: `${one.name} from ${from}`,
        startMs: one.startMs + from * one.intervalMs,
        values: one.values.slice(from, to),
        targets: one.targets?.slice(from, to),
        masked: undefined,
        learnFrom: 0,
        cold: true,
      });
    }
  }
  return starts;
}
