/** The past of a stream for its chart, from stored samples: so that a restart does not leave the page empty. */
import type { StreamView } from '../forecast/engine-contract.ts';
import { markNames, REFUSED } from '../series/quality.ts';
import { isCounter } from '../series/spec.ts';
import type { Store } from '../store/store-contract.ts';
import type { ChartPoint } from '../web/ring.ts';

/**
 * Buckets before `beforeMs`, at most `buckets` of them, ascending; empty ones in between have no reading. The value is
 * the mean of a bucket's readings (their sum where the stream is one of sums): near enough for a picture. Counters,
 * whose values are increases, have no past here.
 */
export function chartPast(
  store: Pick<Store, 'samples'>,
  { spec, intervalMs }: Pick<StreamView, 'spec' | 'intervalMs'>,
  beforeMs: number,
  buckets: number,
): ChartPoint[] {
  if (intervalMs === null || isCounter(spec.aggregate)) return [];
  const endMs = Math.floor(beforeMs / intervalMs) * intervalMs;
  const found = new Map<number, { sum: number; count: number; marks: number }>();
  for (const { timeMs, value, mark } of store.samples(spec.name, endMs - buckets * intervalMs, endMs)) {
    const startMs = Math.floor(timeMs / intervalMs) * intervalMs;
    const bucket = found.get(startMs) ?? { sum: 0, count: 0, marks: 0 };
    found.set(startMs, bucket);
    bucket.marks |= mark;
    if ((mark & REFUSED) !== 0) continue;
    bucket.sum += value;
    bucket.count++;
  }
  const first = found.keys().next();
  if (first.done) return [];
  const points: ChartPoint[] = [];
  for (let timeMs = first.value; timeMs < endMs; timeMs += intervalMs) {
    const bucket = found.get(timeMs);
    const has = bucket !== undefined && bucket.count > 0;
    const observed = has ? bucket.sum / (spec.aggregate === 'sum' ? 1 : bucket.count) : null;
    const marks = bucket === undefined || bucket.marks === 0 ? {} : { marks: markNames(bucket.marks) };
    points.push({ timeMs, observed, low: null, p50: null, high: null, ...marks });
  }
  return points;
}
