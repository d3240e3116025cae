/**
 * How the public protocols split a file in time, which windows they score, and how they scale the values.
 * `ltsf`: Zhou et al. 2021 (Informer, arXiv:2012.07436), as in the ETT tables of papers: months of 30 days, 12 to
 * train, 4 to validate, 4 to test. `online`: 4, 1 and 15 months of the same file, with training during the test. Pure.
 */
import { GatecastError } from '../../errors.ts';
import type { Range } from '../../training/dataset.ts';
import type { Grid } from '../play.ts';

export const PROTOCOLS = ['ltsf', 'online'] as const;
export type ProtocolName = (typeof PROTOCOLS)[number];

const MONTH_MS = 30 * 86_400_000;

const RULES: Readonly<Record<ProtocolName, { months: readonly number[]; horizons: readonly number[] }>> = {
  ltsf: { months: [12, 4, 4], horizons: [96, 192, 336, 720] },
  online: { months: [4, 1, 15], horizons: [1, 24, 48] },
};

export interface ProtocolPlan {
  readonly name: ProtocolName;
  readonly train: Range;
  readonly validation: Range;
  /** All targets of a scored window lie in it; the first origin is the bucket before it. */
  readonly test: Range;
  /** In buckets, ascending. */
  readonly horizons: readonly number[];
}

/** @throws GatecastError NOT_ENOUGH_DATA when the file is shorter than the protocol */
export function planProtocol(name: ProtocolName, intervalMs: number, buckets: number): ProtocolPlan {
  const { months, horizons } = RULES[name];
  const [train, validation, test] = months.map((count) => Math.round((count * MONTH_MS) / intervalMs));
  const total = train + validation + test;
  const longest = horizons[horizons.length - 1];
  if (buckets < total || test < longest) {
    throw new GatecastError(
      'NOT_ENOUGH_DATA',
      `The protocol '${name}' needs ${total} buckets (${months.join(', ')} months of 30 days), the file has ${buckets}.`,
      { hint: 'Use the ETT files (ETTh1, ETTh2: 1h; ETTm1, ETTm2: 15m).' },
    );
  }
  return {
    name,
    train: { from: 0, to: train },
    validation: { from: train, to: train + validation },
    test: { from: train + validation, to: total },
    horizons,
  };
}

/** Number of windows of one series whose `horizon` targets all lie in `range`, with an origin at every bucket. */
export function windowsIn(range: Range, horizon: number): number {
  return Math.max(0, range.to - range.from - horizon + 1);
}

/** One column on the scale of the training part. */
export interface ScaledSeries {
  readonly name: string;
  readonly startMs: number;
  readonly intervalMs: number;
  /** [buckets] NaN without a reading. */
  readonly values: Float64Array;
  /** Of the training part, in the column's unit; the population standard deviation, as in the published code. */
  readonly mean: number;
  readonly deviation: number;
}

/**
 * z-scores a column with the mean and standard deviation of its training part, and drops buckets after the test part.
 * @throws GatecastError NOT_ENOUGH_DATA if the training part has no readings or is constant
 */
export function zScored(grid: Grid, plan: ProtocolPlan): ScaledSeries {
  const { from, to } = plan.train;
  const known = grid.actual.slice(from, to).filter(Number.isFinite);
  const mean = known.reduce((sum, one) => sum + one, 0) / known.length;
  const deviation = Math.sqrt(known.reduce((sum, one) => sum + (one - mean) ** 2, 0) / known.length);
  if (!(deviation > 0)) {
    throw new GatecastError(
      'NOT_ENOUGH_DATA',
      `Column '${grid.name}' cannot be scaled: its training part is ${known.length > 0 ? 'constant' : 'empty'}.`,
      { hint: 'Leave it out with --columns.' },
    );
  }
  const values = grid.actual.slice(0, plan.test.to).map((one) => (one - mean) / deviation);
  return { name: grid.name, startMs: grid.startMs, intervalMs: grid.intervalMs, values, mean, deviation };
}
