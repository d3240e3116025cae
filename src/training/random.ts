/** Distributions on top of the seeded generator, for sampling windows and generating series. Pure. */
import { createRandom, type RandomState, type Random as Source } from '../network/random.ts';

export class Random {
  private source: Source;

  constructor(seed: number | RandomState) {
    this.source = createRandom(seed);
  }

  /** [0, 1) */
  uniform(): number {
    return this.source.next();
  }

  /** [from, to) */
  range(from: number, to: number): number {
    return from + (to - from) * this.uniform();
  }

  /** [from, to), even on a logarithmic scale; both positive. */
  logRange(from: number, to: number): number {
    return from * (to / from) ** this.uniform();
  }

  /** Whole numbers from..to, both inclusive. */
  int(from: number, to: number): number {
    return from + Math.floor(this.uniform() * (to - from + 1));
  }

  chance(probability: number): boolean {
    return this.uniform() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.uniform() * items.length)] as T;
  }

  /** An index with probability proportional to its weight; weights are non-negative, not all 0. */
  weighted(weights: ArrayLike<number>): number {
    let sum = 0;
    for (let i = 0; i < weights.length; i++) sum += weights[i];
    let left = this.uniform() * sum;
    for (let i = 0; i < weights.length; i++) {
      left -= weights[i];
      if (left < 0) return i;
    }
    return weights.length - 1;
  }

  /** Standard normal. */
  normal(): number {
    return this.source.normal();
  }

  /** Mean 1. */
  exponential(): number {
    return -Math.log(1 - this.uniform());
  }

  /** Heavy tails: a normal over the root of a mean of `freedom` squared normals. */
  student(freedom: number): number {
    let squares = 0;
    for (let i = 0; i < freedom; i++) squares += this.normal() ** 2;
    return this.normal() / Math.sqrt(Math.max(1e-12, squares / freedom));
  }

  /** Poisson counts; above 30 by its normal limit. */
  poisson(mean: number): number {
    if (!(mean > 0)) return 0;
    if (mean > 30) return Math.max(0, Math.round(mean + Math.sqrt(mean) * this.normal()));
    const limit = Math.exp(-mean);
    let product = this.uniform();
    let count = 0;
    while (product > limit) {
      product *= this.uniform();
      count++;
    }
    return count;
  }

  /** An independent generator: children of one seed do not repeat each other. */
  child(): Random {
    const word = () => this.source.integer(2 ** 32);
    return new Random([word(), word(), word(), word() | 1]);
  }

  /** State for `restore`. */
  save(): RandomState {
    return this.source.state();
  }

  restore(state: RandomState): void {
    this.source = createRandom(state);
  }
}
