/**
 * A stream's history as training data: its values run through the same features as live, and what the network would
 * have seen is kept. Leads are drawn when the series is built, a few for every kept origin, and everything is kept in
 * 8 bits, so that a month of fifty sensors fits beside a running agent. Pure.
 */
import type { ZoneOffset } from '../series/calendar.ts';
import { compress, expand } from '../series/companding.ts';
import { E } from '../series/experts.ts';
import { AHEAD, Features, I, unsquash } from '../series/features.ts';
import type { OriginBuffers, TrainingSeries } from './dataset.ts';
import type { Random } from './random.ts';

/** A target this many scales from the anchor is an outlier; it still pulls, but not further. */
const MAX_TARGET = 50;
const MAX_WEIGHT = 20;
/** Buckets after the start from which nothing is learnt: the scales are not yet known. */
const SETTLING = 20;
/** Numbers kept of z: compressed offsets [E], prior log-weights [E], the rest; the offsets are restored from the compressed. */
const KEPT = AHEAD - E;

export interface FeatureSeriesOptions {
  readonly name: string;
  readonly group: string;
  readonly intervalMs: number;
  readonly startMs: number;
  /** [steps], NaN where nothing was observed, or what was observed must not be learnt. */
  readonly values: ArrayLike<number>;
  readonly leads: number;
  readonly zone: ZoneOffset;
  /** Origins are kept at steps stride - 1, 2 stride - 1, ... */
  readonly stride: number;
  /** Leads kept for an origin. */
  readonly leadsPerOrigin: number;
}

/** One lead from each of M equal parts of 1..most, so that near and far leads are seen at every origin; ascending. */
function drawLeads(out: Int32Array, most: number, rng: Random): void {
  for (let m = 0; m < out.length; m++) {
    out[m] = Math.min(most, 1 + Math.floor(((m + rng.uniform()) * most) / out.length));
  }
}

export class FeatureSeries implements TrainingSeries {
  readonly name: string;
  readonly group: string;
  readonly steps: number;
  readonly inputs = I;
  readonly zWidth = AHEAD;
  readonly leads: number;
  readonly stride: number;
  readonly leadsPerOrigin: number;
  /** [steps, I] */
  private readonly x: Int8Array;
  /** [origins, kept, KEPT] */
  private readonly z: Int8Array;
  /** [origins, kept] */
  private readonly lead: Uint16Array;
  private readonly target: Float32Array;
  private readonly weight: Float32Array;

  constructor(options: FeatureSeriesOptions, rng: Random) {
    const { values, leads, stride, leadsPerOrigin, intervalMs, startMs } = options;
    this.name = options.name;
    this.group = options.group;
    this.steps = values.length;
    this.leads = leads;
    this.stride = stride;
    this.leadsPerOrigin = leadsPerOrigin;
    const origins = Math.floor(this.steps / stride);
    this.x = new Int8Array(this.steps * I);
    this.z = new Int8Array(origins * leadsPerOrigin * KEPT);
    this.lead = new Uint16Array(origins * leadsPerOrigin);
    this.target = new Float32Array(origins * leadsPerOrigin);
    this.weight = new Float32Array(origins * leadsPerOrigin);

    const features = new Features(intervalMs, leads, options.zone);
    const past = new Float32Array(I);
    const ahead = new Float32Array(AHEAD);
    const drawn = new Int32Array(leadsPerOrigin);
    let misses = 0;
    let scored = 0;
    for (let step = 0; step < this.steps; step++) {
      const value = values[step];
      const observed = !Number.isNaN(value);
      features.update(
        startMs + step * intervalMs,
        observed ? value : features.steps > 0 ? features.anchor[0] : 0,
        observed,
      );
      features.past(past, 0);
      for (let i = 0; i < I; i++) this.x[step * I + i] = compress(past[i]);
      if (step % stride !== stride - 1) continue;
      const origin = (step + 1) / stride - 1;
      drawLeads(drawn, leads, rng);
      for (let m = 0; m < leadsPerOrigin; m++) {
        const row = origin * leadsPerOrigin + m;
        const k = drawn[m] - 1;
        this.lead[row] = drawn[m];
        features.ahead(k, ahead, 0);
        const base = row * KEPT;
        for (let e = 0; e < E; e++) this.z[base + e] = compress(ahead[2 * E + e]);
        for (let e = 0; e < E; e++) this.z[base + E + e] = compress(ahead[E + e] / 4);
        for (let f = 3 * E; f < AHEAD; f++) this.z[base + f - E] = compress(ahead[f]);
        const actual = step + drawn[m] < this.steps ? values[step + drawn[m]] : Number.NaN;
        if (Number.isNaN(actual) || step < SETTLING) continue;
        const miss = actual - features.anchor[k];
        this.target[row] = Math.max(-MAX_TARGET, Math.min(MAX_TARGET, miss / features.scale[k]));
        this.weight[row] = features.scale[k];
        misses += Math.abs(miss);
        scored++;
      }
    }
    // Every series counts alike, whatever its unit and however predictable it is: errors are taken relative to the anchor's.
    const norm = scored > 0 ? misses / scored : 0;
    for (let row = 0; row < this.weight.length; row++) {
      this.weight[row] = norm > 0 ? Math.min(MAX_WEIGHT, this.weight[row] / norm) : 0;
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
