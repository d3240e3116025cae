/**
 * Training data of one column for the protocols. Features are computed once, bucket by bucket, and the network's inputs
 * are kept. Only windows whose last target has been observed are used for training; `until(limit)` says by which bucket.
 */
import { Scratch } from '../../forecast/scratch.ts';
import { StreamStep } from '../../forecast/stream-step.ts';
import { AHEAD, I } from '../../series/features.ts';
import type { OriginBuffers, TrainingSeries } from '../../training/dataset.ts';
import type { Random } from '../../training/random.ts';
import { FILE_SETTINGS } from '../../training/replay.ts';
import type { ScaledSeries } from './split.ts';

/** Targets further than this many scales from the anchor are clipped. */
const MAX_TARGET = 50;
/** Buckets after the start that are not used for training, because the scales are not yet known. */
const SETTLING = 168;

export interface MemoryOptions {
  /** Leads of a window. */
  readonly horizon: number;
  /** Origins are kept at steps stride - 1, 2 stride - 1, ... */
  readonly stride: number;
  /** Leads kept at an origin. */
  readonly leadsPerOrigin: number;
}

export class ProtocolMemory {
  readonly step: StreamStep;
  /** Buckets read so far. */
  known = 0;
  /** [buckets, I] */
  private readonly x: Float32Array;
  /** [origins, leadsPerOrigin, AHEAD] */
  private readonly z: Float32Array;
  /** [origins, leadsPerOrigin] each of these three; leads are 1-based */
  private readonly lead: Uint16Array;
  private readonly anchor: Float32Array;
  private readonly scale: Float32Array;

  constructor(
    readonly series: ScaledSeries,
    readonly options: MemoryOptions,
    private readonly rng: Random,
  ) {
    const buckets = series.values.length;
    const grid = { intervalMs: series.intervalMs, leads: options.horizon };
    this.step = new StreamStep(FILE_SETTINGS, grid, { scratch: new Scratch(options.horizon) });
    const rows = Math.floor(buckets / options.stride) * options.leadsPerOrigin;
    this.x = new Float32Array(buckets * I);
    this.z = new Float32Array(rows * AHEAD);
    this.lead = new Uint16Array(rows);
    this.anchor = new Float32Array(rows);
    this.scale = new Float32Array(rows);
  }

  /** Reads the next bucket. */
  advance(): void {
    const { series, rng } = this;
    const { features } = this.step;
    const { horizon, stride, leadsPerOrigin } = this.options;
    const step = this.known++;
    this.step.take({ startMs: series.startMs + step * series.intervalMs, value: series.values[step] });
    features.past(this.x, step * I);
    if (step % stride !== stride - 1) return;
    const first = ((step + 1) / stride - 1) * leadsPerOrigin;
    for (let m = 0; m < leadsPerOrigin; m++) {
      // one random lead from each of equal parts of the horizon
      const lead = Math.min(horizon, 1 + Math.floor(((m + rng.uniform()) * horizon) / leadsPerOrigin));
      this.lead[first + m] = lead;
      features.ahead(lead - 1, this.z, (first + m) * AHEAD);
      this.anchor[first + m] = this.step.toUnit(features.anchor[lead - 1]);
      this.scale[first + m] = features.line.sizeInUnit(features.scale[lead - 1]);
    }
  }

  /** Writes the network's past inputs after bucket `step` to `out`, [I] from `offset`. */
  past(step: number, out: Float32Array, offset: number): void {
    out.set(this.x.subarray(step * I, (step + 1) * I), offset);
  }

  /** The column for the trainer, as known after `limit` buckets. */
  until(limit: number): TrainingSeries {
    const { horizon, stride, leadsPerOrigin } = this.options;
    return {
      name: this.series.name,
      group: 'protocol',
      steps: limit,
      inputs: I,
      zWidth: AHEAD,
      leads: horizon,
      stride,
      leadsPerOrigin,
      input: (step, out, offset) => this.past(step, out, offset),
      origin: (step, out, offset, leads) => this.origin(step, out, offset, leads, limit),
    };
  }

  private origin(step: number, out: OriginBuffers, offset: number, leads: Int32Array, limit: number): void {
    const { horizon, stride, leadsPerOrigin } = this.options;
    const first = ((step + 1) / stride - 1) * leadsPerOrigin;
    const mature = step + horizon < limit && step >= SETTLING;
    for (let m = 0; m < leadsPerOrigin; m++) {
      const row = first + m;
      const lead = this.lead[row];
      leads[m] = lead;
      out.z.set(this.z.subarray(row * AHEAD, (row + 1) * AHEAD), (offset + m) * AHEAD);
      const actual = mature ? this.series.values[step + lead] : Number.NaN;
      const usable = !Number.isNaN(actual);
      const target = usable ? (actual - this.anchor[row]) / this.scale[row] : 0;
      out.target[offset + m] = Math.max(-MAX_TARGET, Math.min(MAX_TARGET, target));
      // The target is in units of the scale; this weight turns its error back into z-scores, the same for all columns.
      out.weight[offset + m] = usable ? this.scale[row] : 0;
    }
  }
}
