/**
 * The interface between features and training: what a training series is, and how its time is split.
 * Pure. The features live in `src/series`; the trainer sees arrays only.
 */
import { GatecastError } from '../errors.ts';

/** Where `TrainingSeries.origin` writes; shared by all rows of a batch. */
export interface OriginBuffers {
  /** [rows, zWidth] features of one lead at one origin. */
  readonly z: Float32Array;
  /** [rows] what was observed at that lead, in the same (scaled, anchored) unit as the network's output. */
  readonly target: Float32Array;
  /** [rows] 0: not observed, or not to be learnt from; otherwise the weight in the loss. */
  readonly weight: Float32Array;
}

/** One stream on its grid, turned into features. Step t is the state of knowledge after bucket t has closed. */
export interface TrainingSeries {
  readonly name: string;
  /** Data set or model group: unit of the sampler's weights. */
  readonly group: string;
  /** Number of buckets. */
  readonly steps: number;
  /** I, width of x. */
  readonly inputs: number;
  /** Width of z (experts + features of the 'lead' head). */
  readonly zWidth: number;
  /** Leads this series is forecast for are 1..leads. */
  readonly leads: number;
  /** Origins are the steps t with (t + 1) % stride = 0. */
  readonly stride: number;
  /** M, leads an origin is learnt from. */
  readonly leadsPerOrigin: number;
  /** Writes x of bucket `step`, [inputs] from `offset`. It uses nothing later than that bucket. Allocates nothing. */
  input(step: number, out: Float32Array, offset: number): void;
  /**
   * Writes the M rows of one origin from row `offset` on, and their leads (1-based, ascending) to `leads`. `z` uses
   * nothing later than bucket `step`. A lead past the end or never observed: weight 0 and target 0, never NaN. The same
   * origin always has the same leads. Allocates nothing.
   */
  origin(step: number, out: OriginBuffers, offset: number, leads: Int32Array): void;
}

/** Buckets `from` (inclusive) to `to` (exclusive) of one series. Targets outside are not learnt from. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

export interface TimeSplit {
  readonly train: Range;
  /** null: the series is too short to validate on. */
  readonly validation: Range | null;
}

/**
 * Splits one series in time: the last `fraction` of it validates, with a gap of `leads` buckets between, so that no
 * training target lies within the horizon of a validation origin and neighbouring windows share no bucket.
 * @param minimum buckets either part needs to be used at all
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

/** Throws NOT_ENOUGH_DATA for none, TRAINING_FAILED when the series cannot be batched together in this shape. */
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
        `Series '${one.name}' has ${one.leadsPerOrigin} leads every ${one.stride} steps; windows want ${shape.leads} every ${shape.stride}.`,
      );
    }
  }
  return { inputs: first.inputs, zWidth: first.zWidth };
}
