/**
 * The interface between features and training: a training series, and how its time is split. Pure. `src/series` computes
 * the features; the trainer sees only arrays.
 */
import { GatecastError } from '../errors.ts';

/** Buffers that `TrainingSeries.origin` writes to; shared by all rows of a batch. */
export interface OriginBuffers {
  /** [rows, zWidth] features of one lead at one origin. */
  readonly z: Float32Array;
  /** [rows] value observed at that lead, in the (scaled, anchored) unit of the network's output. */
  readonly target: Float32Array;
  /** [rows] weight in the loss; 0: not observed, or excluded from training. */
  readonly weight: Float32Array;
}

/** Features of one stream on its grid. Step t is what is known after bucket t has closed. */
export interface TrainingSeries {
  readonly name: string;
  /** Data set or model group; the sampler's weights are per group. */
  readonly group: string;
  /** Whether it is the start of a stream: read from the first step on, and every step counts. Default: false. */
  readonly cold?: boolean;
  /** Number of buckets. */
  readonly steps: number;
  /** I, width of x. */
  readonly inputs: number;
  /** Width of z (experts + features of the 'lead' head). */
  readonly zWidth: number;
  /** The series is forecast for leads 1..leads. */
  readonly leads: number;
  /** Origins are the steps t with (t + 1) % stride = 0. */
  readonly stride: number;
  /** M, leads used per origin. */
  readonly leadsPerOrigin: number;
  /** Writes x of bucket `step`, [inputs] from `offset`. Uses no later bucket. Allocates nothing. */
  input(step: number, out: Float32Array, offset: number): void;
  /**
   * Writes the M rows of one origin from row `offset` on, and their leads (1-based, ascending) to `leads`. `z` uses no
   * bucket later than `step`. A lead past the end or not observed gets weight 0 and target 0, never NaN. An origin always
   * has the same leads. Allocates nothing.
   */
  origin(step: number, out: OriginBuffers, offset: number, leads: Int32Array): void;
}

/** Buckets `from` (inclusive) to `to` (exclusive) of one series. Targets outside are not used for training. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

export interface TimeSplit {
  readonly train: Range;
  /** null: the series is too short for validation. */
  readonly validation: Range | null;
}

/**
 * Splits a series in time: the last `fraction` is for validation, after a gap of `leads` buckets, so that no training
 * target lies within the horizon of a validation origin and no bucket is in both parts.
 * @param minimum minimum length of either part, buckets
 */
export function splitInTime(steps: number, leads: number, fraction: number, minimum = leads): TimeSplit {
  if (!(fraction >= 0 && fraction < 1)) {
    throw new GatecastError(
      'USAGE',
      `The validation fraction must be at least 0 and below 1, got ${fraction}.`,
    );
  }
  const size = Math.floor(steps * fraction);
  const cut = steps - size - leads;
  if (size < Math.max(1, minimum) || cut < Math.max(1, minimum)) {
    return { train: { from: 0, to: steps }, validation: null };
  }
  return { train: { from: 0, to: cut }, validation: { from: cut + leads, to: steps } };
}

/** Throws NOT_ENOUGH_DATA without series, TRAINING_FAILED if the series do not fit into one batch of this shape. */
export function checkSeries(
  series: readonly TrainingSeries[],
  shape: { readonly stride: number; readonly leads: number },
): { inputs: number; zWidth: number } {
  const first = series[0];
  if (!first) {
    throw new GatecastError('NOT_ENOUGH_DATA', 'There is no series to train on.', {
      hint: 'Name data files with --data, or generate series with --generated.',
    });
  }
  for (const one of series) {
    if (one.inputs !== first.inputs || one.zWidth !== first.zWidth) {
      throw new GatecastError(
        'TRAINING_FAILED',
        `Series '${one.name}' has ${one.inputs} inputs and ${one.zWidth} lead features, '${first.name}' has ${first.inputs} and ${first.zWidth}.`,
      );
    }
    if (one.stride !== shape.stride || one.leadsPerOrigin !== shape.leads) {
      throw new GatecastError(
        'TRAINING_FAILED',
        `Series '${one.name}' has ${one.leadsPerOrigin} leads every ${one.stride} steps; the batch needs ${shape.leads} every ${shape.stride}.`,
      );
    }
  }
  return { inputs: first.inputs, zWidth: first.zWidth };
}
