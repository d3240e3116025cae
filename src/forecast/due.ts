/** Selects the closed buckets of a tick that are stepped together, and their order. */
import type { ClosedBucket } from '../series/buckets.ts';
import type { CovariateBook } from './covariate-book.ts';
import { MAX_BATCH } from './step-batches.ts';
import type { Stream } from './stream.ts';

/** A stream with buckets to step, oldest first. */
export interface Due {
  readonly stream: Stream;
  readonly closed: readonly ClosedBucket[];
  /** Number of the next one. */
  at: number;
}

export interface DueGroup {
  readonly due: Due[];
  /** Of all the streams in the order in which the buckets ended; otherwise each stream's next one, whenever that was. */
  readonly inTime: boolean;
}

/**
 * Group by group, not bucket by bucket: so the first forecasts need not wait for the last stream. Streams that see each other
 * go together.
 */
export function groupsOf(due: readonly Due[], covariates: CovariateBook): DueGroup[] {
  const linked: Due[] = [];
  const alone: Due[] = [];
  for (const one of due) (covariates.joins(one.stream.spec) ? linked : alone).push(one);
  alone.sort((a, b) => a.stream.leads - b.stream.leads);
  const groups: DueGroup[] = [];
  for (let from = 0; from < alone.length; from += MAX_BATCH)
    groups.push({ due: alone.slice(from, from + MAX_BATCH), inTime: false });
  if (linked.length > 0) groups.push({ due: linked, inTime: true });
  return groups;
}

/** Those whose next bucket ended first. */
export function earliest(round: readonly Due[]): Due[] {
  const ends = round.map(({ closed, at }) => closed[at].startMs + closed[at].intervalMs);
  const first = ends.reduce((a, b) => Math.min(a, b));
  return round.filter((_, i) => ends[i] === first);
}
