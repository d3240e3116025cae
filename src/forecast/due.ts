/** Selects the closed buckets of a tick that are stepped together, and their order. */
import type { ClosedBucket } from '../series/buckets.ts';
import type { CovariateBook } from './covariate-book.ts';
import { MAX_BATCH } from './step-batches.ts';
import type { Stream } from './stream.ts';

/** A stream with buckets to step, oldest first. */
export interface Due {
  readonly stream: Stream;
  readonly closed: readonly ClosedBucket[];
  /** Index of the next bucket. */
  at: number;
}

export interface DueGroup {
  readonly due: Due[];
  /** Whether each round steps only the buckets that ended first; otherwise it steps the next bucket of every stream. */
  readonly inTime: boolean;
}

/**
 * Groups are processed one after the other, so that the first forecasts do not wait for the last stream. Streams linked by covariates
 * form one group.
 */
export function groupsOf(due: readonly Due[], covariates: CovariateBook): DueGroup[] {
  const linked: Due[] = [];
  const independent: Due[] = [];
  for (const one of due) (covariates.joins(one.stream.spec) ? linked : independent).push(one);
  independent.sort((a, b) => a.stream.leads - b.stream.leads);
  const groups: DueGroup[] = [];
  for (let from = 0; from < independent.length; from += MAX_BATCH)
    groups.push({ due: independent.slice(from, from + MAX_BATCH), inTime: false });
  if (linked.length > 0) groups.push({ due: linked, inTime: true });
  return groups;
}

/** The streams whose next bucket ended first. */
export function earliest(round: readonly Due[]): Due[] {
  const ends = round.map(({ closed, at }) => closed[at].startMs + closed[at].intervalMs);
  const first = ends.reduce((a, b) => Math.min(a, b));
  return round.filter((_, i) => ends[i] === first);
}
