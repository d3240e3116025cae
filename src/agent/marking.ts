/** Sets the quality marks that the engine found for a bucket on the stored readings of that bucket. */
import type { MarkedBucket } from '../forecast/engine-contract.ts';
import { TOO_FAST } from '../series/quality.ts';
import type { Store } from '../store/store-contract.ts';

export function markStored(store: Pick<Store, 'mark'>, bucket: MarkedBucket): void {
  const { stream, startMs, intervalMs, marks, tooFastMs } = bucket;
  // Times in the store are whole milliseconds.
  const timesMs = bucket.timesMs.map(Math.round);
  if (marks !== 0) store.mark(stream, { fromMs: startMs, toMs: startMs + intervalMs, marks, timesMs });
  for (const timeMs of tooFastMs) {
    const fromMs = Math.round(timeMs);
    store.mark(stream, { fromMs, toMs: fromMs + 1, marks: TOO_FAST, timesMs: [fromMs] });
  }
}
