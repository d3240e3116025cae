/**
 * Seeded randomness for sampling and generated series: the small fast counting generator sfc32 (Chris Doty-Humphrey,
 * PractRand), and the distributions the room needs. Same seed, same numbers, on every machine. Pure.
 */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private counter: number;
  /** Second value of the last Box-Muller pair; NaN when used up. */
  private spare = Number.NaN;

  constructor(seed: number) {
    this.a = seed | 0;
    this.b = Math.floor(seed / 2 ** 32) | 0;
    this.c = 0x9e3779b9 | 0;
    this.counter = 1;
    for (let i = 0; i < 15; i++) this.bits();
  }

  /** 32 random bits as a signed integer. */
  private bits(): number {
    const t = (((this.a + this.b) | 0) + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) + t;
    this.c |= 0;
    return t;
  }

  /** [0, 1) */
  uniform(): number {
    return (this.bits() >>> 0) / 2 ** 32;
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
    for (let i = 0; i < weights.length; i++) sum += weights[i]!;
    let left = this.uniform() * sum;
    for (let i = 0; i < weights.length; i++) {
      left -= weights[i]!;
      if (left < 0) return i;
    }
    return weights.length - 1;
  }

  /** Standard normal (Box-Muller). */
  normal(): number {
    if (!Number.isNaN(this.spare)) {
      const value = this.spare;
      this.spare = Number.NaN;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
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
    return new Random((this.bits() >>> 0) + (this.bits() & 0xfffff) * 2 ** 32);
  }

  /** All state as numbers, to go on later. */
  save(): number[] {
    return [this.a, this.b, this.c, this.counter, Number.isNaN(this.spare) ? 0 : 1, this.spare || 0];
  }

  restore(state: readonly number[]): void {
    const [a = 0, b = 0, c = 0, counter = 0, has = 0, spare = 0] = state;
    this.a = a;
    this.b = b;
    this.c = c;
    this.counter = counter;
    this.spare = has ? spare : Number.NaN;
  }
}
