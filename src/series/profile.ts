/**
 * A streaming seasonal profile: an exponential mean, and a mean absolute deviation, for each phase of a season.
 * Seasons longer than `MAX_BINS` steps share a bin among neighbouring steps; reading interpolates between bins.
 */
import { ArrayBlock } from './array-block.ts';
import type { StateIo } from './state-io.ts';

export const MAX_BINS = 288;
const MOST_VISITS = 65_535;

export class Profile {
  readonly bins: number;
  private readonly memory: number;
  /** [2, bins]: means, then mean absolute deviations. */
  private readonly moments: Float32Array;
  /** Counted up to `MOST_VISITS`. */
  private readonly visits: Uint16Array;
  private readonly interpolate: boolean;

  /**
   * @param stepsPerSeason may be fractional
   * @param memory time constant of a bin, in seasons
   */
  constructor(stepsPerSeason: number, memory: number, maxBins = MAX_BINS, place = new ArrayBlock()) {
    this.bins = Math.max(1, Math.min(maxBins, Math.round(stepsPerSeason)));
    const stepsPerBin = Math.max(1, stepsPerSeason / this.bins);
    this.memory = Math.min(MOST_VISITS, memory * stepsPerBin);
    this.interpolate = stepsPerBin > 1.5;
    this.moments = place.float32(2 * this.bins);
    this.visits = place.uint16(this.bins);
  }

  /** @param phase in [0, 1) */
  private bin(phase: number): number {
    return Math.min(this.bins - 1, Math.floor(phase * this.bins + 1e-6));
  }

  add(phase: number, value: number): void {
    const { moments } = this;
    const at = this.bin(phase);
    const deviationAt = this.bins + at;
    this.visits[at] = Math.min(MOST_VISITS, this.visits[at] + 1);
    const visits = Math.min(this.visits[at], this.memory);
    if (visits > 1) {
      const error = Math.abs(value - moments[at]);
      const cap = moments[deviationAt] > 0 && visits > 4 ? 10 * moments[deviationAt] : error;
      moments[deviationAt] += (Math.min(error, cap) - moments[deviationAt]) / (visits - 1);
      const step = visits > 4 ? Math.max(-cap, Math.min(cap, value - moments[at])) : value - moments[at];
      moments[at] += step / visits;
    } else {
      moments[at] = value;
    }
  }

  /** Mean at a phase in [0, 1), or `fallback` if the phase has no observations. */
  at(phase: number, fallback: number): number {
    const { moments } = this;
    const here = this.bin(phase);
    if (this.visits[here] === 0) return fallback;
    if (!this.interpolate) return moments[here];
    const position = phase * this.bins - 0.5;
    const low = Math.floor(position);
    const a = (low + this.bins) % this.bins;
    const b = (low + 1) % this.bins;
    if (this.visits[a] === 0 || this.visits[b] === 0) return moments[here];
    return moments[a] + (position - low) * (moments[b] - moments[a]);
  }

  /** Mean absolute deviation around the profile at a phase, smoothed over its neighbours; NaN while unknown. */
  spread(phase: number): number {
    const here = this.bin(phase);
    let sum = 0;
    let weight = 0;
    for (let d = -1; d <= 1; d++) {
      const at = (here + d + this.bins) % this.bins;
      if (this.visits[at] > 1) {
        const w = d === 0 ? 2 : 1;
        sum += w * this.moments[this.bins + at];
        weight += w;
      }
    }
    return weight > 0 ? sum / weight : Number.NaN;
  }

  persist(io: StateIo): void {
    io.array(this.moments);
    io.array(this.visits);
  }
}
