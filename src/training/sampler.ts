/**
 * Batches of windows for the training graph: truncated back-propagation through time with carried state.
 * Each row of the batch walks through one series in chunks of T steps; h0 of a chunk is the final state of the previous
 * chunk, so that the network is trained on states as old as those in use. After a random number of chunks the row jumps to
 * another place. Rows jump at different times. Allocates nothing after construction. Pure.
 */
import { GatecastError } from '../errors.ts';
import { checkSeries, type OriginBuffers, type Range, type TrainingSeries } from './dataset.ts';
import type { Random } from './random.ts';

/** One batch, in the shapes of the training graph; P = T / stride origins, at steps stride-1, 2 stride-1, ... */
export interface TrainingBatch extends OriginBuffers {
  /** [T, B, I] */
  readonly x: Float32Array;
  /** [S, B, H] S: state layers */
  readonly h0: Float32Array;
  /** [P, B, M, zWidth] */
  readonly z: Float32Array;
  /** [P, B, M] */
  readonly target: Float32Array;
  /** [P, B, M] */
  readonly weight: Float32Array;
}

export interface BatchShape {
  /** T, steps of a chunk; a multiple of `stride`. */
  readonly steps: number;
  /** Steps from one origin to the next. */
  readonly stride: number;
  /** M, leads used per origin. */
  readonly leads: number;
  /** B */
  readonly batch: number;
}

export interface SamplerOptions extends BatchShape {
  /** S, state layers (an LSTM has two per layer). */
  readonly stateLayers: number;
  readonly hidden: number;
  /** Maximum number of successive chunks before a row jumps; 1: every window starts from a zero state. */
  readonly chunks: number;
  /** Steps after a zero state that do not contribute to the loss. */
  readonly burnIn: number;
  /** Share of the rows that jump to the first reading of a cold series; default 0. */
  readonly coldShare?: number;
  /** Weight of each group of series (data set); default 1. */
  readonly groupWeights?: Readonly<Record<string, number>>;
}

interface Row {
  series: TrainingSeries;
  range: Range;
  /** First bucket of the next chunk. */
  next: number;
  /** Chunks left before the row jumps; 0: jumps now. */
  left: number;
  /** Steps since the state was zero. */
  age: number;
}

export function makeBatch(
  shape: BatchShape,
  stateLayers: number,
  hidden: number,
  inputs: number,
  zWidth: number,
): TrainingBatch {
  const origins = shape.steps / shape.stride;
  const cells = origins * shape.batch * shape.leads;
  if (!Number.isInteger(origins) || origins < 1 || shape.leads < 1 || shape.batch < 1) {
    throw new GatecastError(
      'USAGE',
      `A window of ${shape.steps} steps cannot have an origin every ${shape.stride} steps with ${shape.leads} leads.`,
      { hint: 'The number of steps must be a multiple of the origin stride.' },
    );
  }
  return {
    x: new Float32Array(shape.steps * shape.batch * inputs),
    h0: new Float32Array(stateLayers * shape.batch * hidden),
    z: new Float32Array(cells * zWidth),
    target: new Float32Array(cells),
    weight: new Float32Array(cells),
  };
}

/** Copies T steps of a series from bucket `from` into column `row` of x; buckets past the end repeat the last. */
export function copyInputs(
  batch: TrainingBatch,
  shape: BatchShape,
  row: number,
  series: TrainingSeries,
  from: number,
): void {
  const { inputs, steps } = series;
  for (let t = 0; t < shape.steps; t++) {
    series.input(Math.min(from + t, steps - 1), batch.x, (t * shape.batch + row) * inputs);
  }
}

/** Sets the weight of every target outside `range` to 0. Rows `offset ..` are the leads of the origin at `step`. */
export function keepInside(
  batch: TrainingBatch,
  range: Range,
  step: number,
  leads: Int32Array,
  offset: number,
): void {
  for (let m = 0; m < leads.length; m++) {
    const at = step + leads[m];
    if (at < range.from || at >= range.to) batch.weight[offset + m] = 0;
  }
}

export class WindowSampler {
  readonly batch: TrainingBatch;
  private readonly rows: Row[];
  private readonly weights: Float64Array;
  /** Weights of the cold series; null without any. */
  private readonly coldWeights: Float64Array | null;
  private readonly leads: Int32Array;

  /**
   * @param series all with the same inputs and zWidth
   * @param ranges usable part of each series, for inputs and targets
   */
  constructor(
    private readonly series: readonly TrainingSeries[],
    private readonly ranges: readonly Range[],
    private readonly options: SamplerOptions,
    private readonly rng: Random,
  ) {
    const { inputs, zWidth } = checkSeries(series, options);
    this.batch = makeBatch(options, options.stateLayers, options.hidden, inputs, zWidth);
    this.leads = new Int32Array(options.leads);
    this.weights = seriesWeights(series, ranges, options, false);
    const cold = (options.coldShare ?? 0) > 0 && series.some((one) => one.cold);
    this.coldWeights = cold ? seriesWeights(series, ranges, options, true) : null;
    this.rows = Array.from({ length: options.batch }, () => this.place());
    // Random remaining chunks, so that the rows do not all jump in the same batch.
    for (const row of this.rows) row.left = rng.int(1, row.left);
  }

  /** Uses the final states of the last batch as initial states of the next. hT [S, B, H] */
  carry(hT: Float32Array): void {
    this.batch.h0.set(hT);
  }

  /** Fills `batch` with the next chunk of every row. Rows that jump start from a zero state. */
  next(): TrainingBatch {
    const { batch, options } = this;
    for (let b = 0; b < options.batch; b++) {
      const row = this.turn(b);
      if (row.age === 0) this.forget(b);
      copyInputs(batch, options, b, row.series, row.next);
      for (let p = 0; p * options.stride < options.steps; p++) {
        const within = (p + 1) * options.stride - 1;
        const step = row.next + within;
        const offset = (p * options.batch + b) * options.leads;
        if (step >= row.range.to - 1) {
          this.blank(offset);
          continue;
        }
        row.series.origin(step, batch, offset, this.leads);
        if (!row.series.cold && row.age + within < options.burnIn)
          batch.weight.fill(0, offset, offset + options.leads);
        else keepInside(batch, row.range, step, this.leads, offset);
      }
      this.advance(row);
    }
    return batch;
  }

  /** Moves on as `next` does, without filling the batch. */
  skip(): void {
    for (let b = 0; b < this.options.batch; b++) this.advance(this.turn(b));
  }

  /** The row of the next chunk, after a jump if one is due. */
  private turn(b: number): Row {
    const row = this.rows[b];
    if (row.left > 0 && row.next + this.options.stride < row.range.to) return row;
    const placed = this.place();
    this.rows[b] = placed;
    return placed;
  }

  private advance(row: Row): void {
    row.next += this.options.steps;
    row.age += this.options.steps;
    row.left -= 1;
  }

  /** A random place in a random series, with room for at least one chunk if the range allows it. */
  private place(): Row {
    const { coldWeights, weights, options } = this;
    const cold = coldWeights !== null && this.rng.chance(options.coldShare ?? 0);
    const k = this.rng.weighted(cold ? coldWeights : weights);
    const range = this.ranges[k];
    const { stride, steps } = this.options;
    // Origins lie on the grid of the stride.
    const from = Math.ceil(range.from / stride);
    const room = Math.max(0, Math.floor((range.to - steps - 1) / stride) - from);
    // One in eight starts at the beginning of the series, where its seasons are not known yet.
    const next =
      (from + (cold || this.rng.chance(1 / 8) ? 0 : Math.floor(this.rng.uniform() * (room + 1)))) * stride;
    const left = this.rng.int(1, Math.max(1, this.options.chunks));
    return { series: this.series[k], range, next, left, age: 0 };
  }

  private forget(b: number): void {
    const { stateLayers, batch, hidden } = this.options;
    for (let s = 0; s < stateLayers; s++) {
      const from = (s * batch + b) * hidden;
      this.batch.h0.fill(0, from, from + hidden);
    }
  }

  private blank(offset: number): void {
    const { leads } = this.options;
    const zWidth = this.batch.z.length / this.batch.target.length;
    this.batch.z.fill(0, offset * zWidth, (offset + leads) * zWidth);
    this.batch.target.fill(0, offset, offset + leads);
    this.batch.weight.fill(0, offset, offset + leads);
  }
}

function seriesWeights(
  series: readonly TrainingSeries[],
  ranges: readonly Range[],
  options: SamplerOptions,
  cold: boolean,
): Float64Array {
  const raw = series.map((one, k) => {
    if ((one.cold ?? false) !== cold) return 0;
    const length = ranges[k].to - ranges[k].from;
    // too short for an origin and its target
    return length > options.stride ? Math.sqrt(length) : 0;
  });
  const groups = new Map<string, number>();
  series.forEach((one, k) => {
    groups.set(one.group, (groups.get(one.group) ?? 0) + raw[k]);
  });
  const weights = Float64Array.from(series, (one, k) => {
    const sum = groups.get(one.group)!;
    const share = options.groupWeights?.[one.group] ?? 1;
    return sum > 0 && Number.isFinite(share) ? (raw[k] / sum) * Math.max(0, share) : 0;
  });
  if (!weights.some((weight) => weight > 0)) {
    throw new GatecastError('NOT_ENOUGH_DATA', 'No series is long enough to train on.', {
      hint: `At least ${options.stride + 1} buckets are needed, better ${4 * options.steps}.`,
    });
  }
  return weights;
}
