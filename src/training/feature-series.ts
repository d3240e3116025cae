/**
 * A stream's history as training data: the network's inputs at every step, compressed to 8 bits per number
 * (`companding.ts`), so that a month of fifty sensors fits into memory next to a running agent. A few random leads are
 * drawn per origin when the series is built. Before compression the inputs equal the live ones exactly; compression clips
 * numbers beyond +-8 and rounds the others by at most 0.0004 around zero and 2.5 % further out. Pure.
 */
import type { StreamStep } from '../forecast/stream-step.ts';
import { compress, expand } from '../series/companding.ts';
import { E } from '../series/experts.ts';
import { AHEAD, I, unsquash } from '../series/features.ts';
import type { OriginBuffers, TrainingSeries } from './dataset.ts';
import type { Random } from './random.ts';

/** Targets further than this many scales from the anchor are clipped. */
const MAX_TARGET = 50;
const MAX_WEIGHT = 20;
/** Steps after the start that are used for training in cold series only, because the scales are not yet known. */
const SETTLING = 20;
/** Numbers kept of z: squashed offsets [E], prior log-weights [E], the rest. Offsets are restored from the squashed ones. */
const KEPT = AHEAD - E;

export interface FeatureSeriesOptions
  extends Pick<TrainingSeries, 'name' | 'group' | 'cold' | 'leads' | 'stride' | 'leadsPerOrigin'> {
  /** [buckets] values usable as targets; NaN elsewhere. */
  readonly targets: ArrayLike<number>;
}

/** Draws one lead from each of M equal parts of 1..most, ascending, so that each origin has near and far leads. */
function drawLeads(out: Int32Array, most: number, rng: Random): void {
  for (let m = 0; m < out.length; m++) {
    out[m] = Math.min(most, 1 + Math.floor(((m + rng.uniform()) * most) / out.length));
  }
}

/** Call `add` for each step, then `finish`. */
export class FeatureSeries implements TrainingSeries {
  readonly name: string;
  readonly group: string;
  readonly cold: boolean;
  /** Network steps so far. Buckets that the agent skips in a gap do not count. */
  steps = 0;
  readonly inputs = I;
  readonly zWidth = AHEAD;
  readonly leads: number;
  readonly stride: number;
  readonly leadsPerOrigin: number;
  private readonly targets: ArrayLike<number>;
  /** [steps, I] */
  private readonly x: Int8Array;
  /** [origins, kept, KEPT] */
  private readonly z: Int8Array;
  /** [origins, kept] */
  private readonly lead: Uint16Array;
  private readonly target: Float32Array;
  private readonly weight: Float32Array;
  private readonly past = new Float32Array(I);
  private readonly ahead = new Float32Array(AHEAD);
  private readonly drawn: Int32Array;
  private misses = 0;
  private scored = 0;

  constructor(
    options: FeatureSeriesOptions,
    private readonly rng: Random,
  ) {
    const { targets, leads, stride, leadsPerOrigin } = options;
    this.name = options.name;
    this.group = options.group;
    this.cold = options.cold ?? false;
    this.targets = targets;
    this.leads = leads;
    this.stride = stride;
    this.leadsPerOrigin = leadsPerOrigin;
    const rows = Math.floor(targets.length / stride) * leadsPerOrigin;
    this.x = new Int8Array(targets.length * I);
    this.z = new Int8Array(rows * KEPT);
    this.lead = new Uint16Array(rows);
    this.target = new Float32Array(rows);
    this.weight = new Float32Array(rows);
    this.drawn = new Int32Array(leadsPerOrigin);
  }

  /** Adds the network's next step. @param bucket index of the bucket that `step` has just processed */
  add(step: StreamStep, bucket: number): void {
    const { features } = step;
    const { past, ahead, drawn, stride, leadsPerOrigin, x, z, targets } = this;
    const at = this.steps++;
    features.past(past, 0);
    for (const [i, value] of past.entries()) x[at * I + i] = compress(value);
    if (at % stride !== stride - 1) return;
    const origin = (at + 1) / stride - 1;
    drawLeads(drawn, this.leads, this.rng);
    for (const [m, lead] of drawn.entries()) {
      const row = origin * leadsPerOrigin + m;
      const k = lead - 1;
      this.lead[row] = lead;
      features.ahead(k, ahead, 0);
      const base = row * KEPT;
      for (let e = 0; e < E; e++) z[base + e] = compress(ahead[2 * E + e]);
      for (let e = 0; e < E; e++) z[base + E + e] = compress(ahead[E + e] / 4);
      for (let f = 3 * E; f < AHEAD; f++) z[base + f - E] = compress(ahead[f]);
      const actual = bucket + lead < targets.length ? targets[bucket + lead] : Number.NaN;
      if (!Number.isFinite(actual) || (!this.cold && at < SETTLING)) continue;
      const miss = step.missAt(k, actual);
      this.target[row] = Math.max(-MAX_TARGET, Math.min(MAX_TARGET, miss / features.scale[k]));
      this.weight[row] = features.line.sizeInUnit(features.scale[k]);
      this.misses += features.line.sizeInUnit(Math.abs(miss));
      this.scored++;
    }
  }

  /** Normalises weights by the anchor's mean error, so that every series counts equally, whatever its unit or difficulty. */
  finish(): void {
    const norm = this.scored > 0 ? this.misses / this.scored : 0;
    for (const [row, weight] of this.weight.entries()) {
      this.weight[row] = norm > 0 ? Math.min(MAX_WEIGHT, weight / norm) : 0;
    }
  }

  input(step: number, out: Float32Array, offset: number): void {
    for (let i = 0; i < I; i++) out[offset + i] = expand(this.x[step * I + i]);
  }

  origin(step: number, out: OriginBuffers, offset: number, leads: Int32Array): void {
    const origin = (step + 1) / this.stride - 1;
    for (let m = 0; m < this.leadsPerOrigin; m++) {
      const at = (offset + m) * AHEAD;
      const row = origin * this.leadsPerOrigin + m;
      const base = row * KEPT;
      leads[m] = this.lead[row];
      for (let e = 0; e < E; e++) {
        const squashed = expand(this.z[base + e]);
        out.z[at + e] = unsquash(squashed);
        out.z[at + E + e] = 4 * expand(this.z[base + E + e]);
        out.z[at + 2 * E + e] = squashed;
      }
      for (let f = 2 * E; f < KEPT; f++) out.z[at + E + f] = expand(this.z[base + f]);
      out.target[offset + m] = this.target[row];
      out.weight[offset + m] = this.weight[row];
    }
  }
}
