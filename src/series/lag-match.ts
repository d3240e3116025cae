/**
 * How well the recent past resembles the past `lag` steps earlier, for every lag at once. The distance of a lag is an
 * exponentially weighted mean of |y(t) - y(t - lag)|, so one multiply-add a lag and step keeps it: with a long memory
 * its minimum is the period of a cycle (the average magnitude difference function, Ross et al. 1974), with a short
 * one it finds the stretch of history that looks most like now (an analogue forecast, Lorenz 1969).
 */
import type { History } from './history.ts';
import type { StateIo } from './state-io.ts';

export class LagMatch {
  readonly maxLag: number;
  readonly minLag: number;
  private readonly decay: number;
  /** [maxLag + 1] weighted sums of distances. */
  private readonly distance: Float32Array;
  private readonly weight: Float32Array;

  /**
   * @param memory steps that a distance remembers
   * @param minLag shortest lag that may be chosen
   */
  constructor(maxLag: number, minLag: number, memory: number) {
    this.maxLag = maxLag;
    this.minLag = minLag;
    this.decay = 1 - 1 / memory;
    this.distance = new Float32Array(maxLag + 1);
    this.weight = new Float32Array(maxLag + 1);
  }

  /** Takes in the newest value of `history`; call once a step. */
  update(history: History): void {
    const { values, newest } = history.ring();
    const { distance, weight, decay } = this;
    const now = values[newest];
    const reach = Math.min(history.reach, this.maxLag);
    let index = newest - this.minLag;
    if (index < 0) index += values.length;
    for (let lag = this.minLag; lag <= reach; lag++) {
      const difference = now - values[index];
      distance[lag] = distance[lag] * decay + (difference < 0 ? -difference : difference);
      weight[lag] = weight[lag] * decay + 1;
      if (--index < 0) index = values.length - 1;
    }
  }

  /**
   * Writes the best lags, best first, at least `apart` steps from each other.
   * @param minWeight effective number of compared steps a lag needs
   * @returns how many were found, at most out.length
   */
  best(out: Int32Array, apart: number, minWeight: number): number {
    let found = 0;
    for (; found < out.length; found++) {
      let bestLag = -1;
      let bestDistance = Infinity;
      for (let lag = this.minLag; lag <= this.maxLag; lag++) {
        if (this.weight[lag] < minWeight) continue;
        const d = this.distance[lag] / this.weight[lag];
        if (d < bestDistance && !near(out, found, lag, apart)) {
          bestDistance = d;
          bestLag = lag;
        }
      }
      if (bestLag < 0) break;
      out[found] = bestLag;
    }
    return found;
  }

  persist(io: StateIo): void {
    io.array(this.distance);
    io.array(this.weight);
  }
}

function near(lags: Int32Array, count: number, lag: number, apart: number): boolean {
  for (let i = 0; i < count; i++) if (Math.abs(lags[i] - lag) < apart) return true;
  return false;
}
