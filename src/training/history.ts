/** Stored samples of one stream back on its grid, through the same buckets as live. Pure. */
import { Buckets } from '../series/buckets.ts';
import type { StreamSpec } from '../series/spec.ts';
import type { JobSeries } from './job.ts';

export interface HistorySample {
  readonly timeMs: number;
  readonly value: number;
  /** Quality mark; 0 = good. Others are not learnt from. */
  readonly mark: number;
}

/**
 * @param samples ascending by time
 * @param intervalMs as learnt live, where the spec leaves it open
 * @returns null when no bucket has closed
 */
export function bucketHistory(
  spec: StreamSpec,
  intervalMs: number,
  leads: number,
  samples: Iterable<HistorySample>,
  group: string,
): JobSeries | null {
  const buckets = new Buckets({ ...spec, intervalMs });
  const values: number[] = [];
  let startMs = Number.NaN;
  const take = () => {
    for (const bucket of buckets.close(null)) {
      if (Number.isNaN(startMs)) startMs = bucket.startMs;
      // A run of empty buckets that was shortened live is a hole of its true length here.
      const at = Math.round((bucket.startMs - startMs) / intervalMs);
      while (values.length < at) values.push(Number.NaN);
      values.push(bucket.value);
    }
  };
  for (const { timeMs, value, mark } of samples) {
    if (mark !== 0) continue;
    buckets.push({ stream: spec.name, timeMs, value, arrivalMs: Number.NaN });
    take();
  }
  if (values.length === 0) return null;
  return {
    name: spec.name,
    group,
    intervalMs,
    startMs,
    values: Float32Array.from(values),
    leads,
    timeZone: spec.timeZone,
  };
}
