/**
 * Measures how well the recent past resembles the past `lag` steps earlier, for every lag at once. The distance of a
 * lag is an exponentially weighted mean of |y(t) - y(t - lag)|, updated with one multiply-add per lag and step. With
 * a long memory, its minimum is the period of a cycle (the average magnitude difference function, Ross et al. 1974);
 * with a short memory, its minimum is the part of the history most similar to the present (an analogue forecast,
 * Lorenz 1969).
 */

import { ArrayBlock } from './array-block.ts';
import type { History } from './history.ts';
import type { StateIo } from './state-io.ts';

/**
 * Total weights of 1, 2, ... compared steps, in single precision like the distances. They are equal for all lags and streams,
 * so they are computed once, on demand. The list ends where a further step changes nothing.
 */
class Weights {
  private values = new Float32Array(64);
  private known = 1;
  private settled = false;

  constructor(private readonly decay: number) {}

  /** [steps + 1] or fewer: weight of 0, 1, ... compared steps; for more steps than its length, use the last one. */
  upTo(steps: number): Float32Array {
    while (this.known <= steps && !this.settled) this.next();
    return this.values.subarray(0, this.known);
  }

  private next(): void {
    const before = this.values[this.known - 1];
    const weight = Math.fround(before * this.decay + 1);
    this.settled = weight === before;
    if (this.settled) return;
    if (this.known === this.values.length) {
      const longer = new Float32Array(2 * this.known);
      longer.set(this.values);
      this.values = longer;
    }
    this.values[this.known++] = weight;
  }
}

const weightsByMemory = new Map<number, Weights>();

function weightsOf(memory: number): Weights {
  const known = weightsByMemory.get(memory);
  if (known !== undefined) return known;
  const made = new Weights(1 - 1 / memory);
  weightsByMemory.set(memory, made);
  return made;
}

/** A lag is a season if its distance is below this share of the mean distance. */
const CLEARLY_BETTER = 0.6;
/** Lags within this share of the way from the best distance to the mean distance count as equally good. */
const ALMOST = 0.15;

export class LagMatch {
  private readonly decay: number;
  /** [maxLag + 1] weighted sums of distances. */
  private readonly distance: Float32Array;
  private readonly weights: Weights;
  /** Number of steps so far. */
  private steps = 0;

  /**
   * @param memory time constant of the distances, in steps
   * @param minLag shortest lag that may be chosen
   */
  constructor(
    readonly maxLag: number,
    readonly minLag: number,
    memory: number,
    place = new ArrayBlock(),
  ) {
    this.decay = 1 - 1 / memory;
    this.weights = weightsOf(memory);
    this.distance = place.float32(maxLag + 1);
  }

  /** Updates the distances with the newest value of `history`. Call once per step. */
  update(history: History): void {
    const { values, newest } = history.ring();
    const { distance, decay } = this;
    this.steps = history.steps;
    const now = values[newest];
    const reach = Math.min(history.reach, this.maxLag);
    let index = newest - this.minLag;
    if (index < 0) index += values.length;
    for (let lag = this.minLag; lag <= reach; lag++) {
      const difference = now - values[index];
      distance[lag] = distance[lag] * decay + (difference < 0 ? -difference : difference);
      if (--index < 0) index = values.length - 1;
    }
  }

  /**
   * Writes the best lags, best first, at least `apart` steps from each other.
   * @param minWeight minimum effective number of compared steps of a lag
   * @returns the number of lags found, at most out.length
   */
  best(out: Int32Array, apart: number, minWeight: number): number {
    // Comparison of a lag starts at the first step with a value that many steps before.
    const last = Math.min(this.maxLag, this.steps - 1);
    const weights = this.weights.upTo(this.steps);
    const most = weights.length - 1;
    let found = 0;
    for (; found < out.length; found++) {
      let bestLag = -1;
      let bestDistance = Infinity;
      for (let lag = this.minLag; lag <= last; lag++) {
        const weight = weights[Math.min(this.steps - lag, most)];
        // Longer lags have been compared less.
        if (weight < minWeight) break;
        const d = this.distance[lag] / weight;
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

  /**
   * The shortest season: the shortest lag that is almost as good as the best one. 0 if the best is not much
   * better than lags are on average.
   * @param repeats number of full periods that must have been compared
   */
  season(repeats: number): number {
    const last = Math.min(this.maxLag, Math.floor((this.steps - 1) / (repeats + 1)));
    const weights = this.weights.upTo(this.steps);
    const most = weights.length - 1;
    const at = (lag: number): number => this.distance[lag] / weights[Math.min(this.steps - lag, most)];
    let sum = 0;
    let best = Infinity;
    for (let lag = this.minLag; lag <= last; lag++) {
      const distance = at(lag);
      sum += distance;
      best = Math.min(best, distance);
    }
    const mean = sum / (last + 1 - this.minLag);
    if (!(best < CLEARLY_BETTER * mean)) return 0;
    const almost = best + ALMOST * (mean - best);
    for (let lag = this.minLag; lag <= last; lag++) if (at(lag) <= almost) return lag;
    return 0;
  }

  persist(io: StateIo): void {
    io.array(this.distance);
    this.steps = io.number(this.steps);
  }
}

function near(lags: Int32Array, count: number, lag: number, apart: number): boolean {
  for (let i = 0; i < count; i++) if (Math.abs(lags[i] - lag) < apart) return true;
  return false;
}
