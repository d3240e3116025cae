/** The past of a stream for its chart, from stored samples: so that a restart does not leave the page empty. */
import type { StreamView } from '../forecast/engine-contract.ts';
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
  if (intervalMs === null || spec.aggregate === 'delta') return [];
  const endMs = Math.floor(beforeMs / intervalMs) * intervalMs;
  const found = new Map<number, { sum: number; count: number }>();
  for (const { timeMs, value } of store.samples(spec.name, endMs - buckets * intervalMs, endMs)) {
    const startMs = Math.floor(timeMs / intervalMs) * intervalMs;
    const bucket = found.get(startMs);
    if (bucket === undefined) found.set(startMs, { sum: value, count: 1 });
    else {
      bucket.sum += value;
      bucket.count++;
    }
  }
  const first = found.keys().next();
  if (first.done) return [];
  const points: ChartPoint[] = [];
  for (let timeMs = first.value; timeMs < endMs; timeMs += intervalMs) {
    const bucket = found.get(timeMs);
    const observed = bucket ? bucket.sum / (spec.aggregate === 'sum' ? 1 : bucket.count) : null;
    points.push({ timeMs, observed, low: null, p50: null, high: null });
  }
  return points;
}
