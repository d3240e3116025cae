/** The score of a bucket compared with its formula, worked out from the list of all buckets. */
import { describe, expect, it } from 'vitest';
import { Anomalies, alarms, type Interval } from '../../src/forecast/anomalies.ts';
import { normal, uniform } from '../support/random.ts';

const WARM_UP = 48;

interface Bucket {
  /** Excess over the edge in half widths; negative where it was inside, or on the other side. */
  readonly e: number;
  readonly deviation: number;
}

function pareto(mean: number, square: number): { shape: number; scale: number } {
  const variance = square - mean ** 2;
  const shape = Math.max(-0.1, Math.min(0.35, 0.5 * (1 - mean ** 2 / variance)));
  return { shape, scale: mean * (1 - shape) };
}

/** Share of excesses of at least `e`, and the excess that a share reaches. A shape of 0 is the exponential distribution. */
const survival = (e: number, { shape, scale }: { shape: number; scale: number }): number =>
  shape === 0 ? Math.exp(-e / scale) : Math.max(0, 1 + (shape * e) / scale) ** (-1 / shape);
const reached = (share: number, { shape, scale }: { shape: number; scale: number }): number =>
  shape === 0 ? -scale * Math.log(share) : (scale / shape) * (share ** -shape - 1);

/** Probability on one side of an excess of at least `e`, after all of `buckets`. */
function tailProbability(buckets: readonly Bucket[], e: number, deviation: number): number {
  let [share, n, mean, square] = [0.1, 0, 0.5, 0.5];
  let peaks: { e: number; deviation: number; number: number }[] = [];
  for (const [at, bucket] of buckets.entries()) {
    const number = at + 1;
    share += ((bucket.e > 0 ? 1 : 0) - share) / (50 + Math.min(number, 2000));
    peaks = peaks.filter((peak) => number - peak.number <= 8000);
    if (bucket.e <= 0) continue;
    if (number > WARM_UP) {
      peaks.push({ e: bucket.e, deviation: bucket.deviation, number });
      peaks = peaks.sort((a, b) => b.e - a.e).slice(0, 8);
    }
    const taken = Math.min(bucket.e, reached(2e-4, pareto(mean, square)));
    n = Math.min(1000, n + 1);
    mean += (taken - mean) / (16 + n);
    square += (taken ** 2 - square) / (16 + n);
  }
  const fitted = share * survival(e, pareto(mean, square));
  const alike = peaks.filter(
    (peak) => peak.e >= 0.95 * e || (peak.e >= e / 30 && peak.deviation >= 0.95 * deviation),
  ).length;
  return Math.max(fitted, alike / Math.min(buckets.length, 8000));
}

describe('the score of a bucket', () => {
  it('is -log10 of twice the probability of its tail', () => {
    const anomalies = new Anomalies();
    const [noise, chance] = [normal(1), uniform(2)];
    const sides: { below: Bucket[]; above: Bucket[] } = { below: [], above: [] };
    const intervalAt = (t: number): Interval => {
      const half = 1 + 0.5 * Math.sin(t / 30);
      return { low: 19 - half, p50: 20, high: 20 + 1.5 * half };
    };
    for (let t = 0; t < 9000; t++) {
      const interval = intervalAt(t);
      const far = chance() < 0.003 ? 12 : chance() < 0.02 ? 3 : 1;
      const value = 20 + 1.2 * far * noise();
      const above = value >= 20;
      const half = above ? interval.high - 20 : 20 - interval.low;
      const deviation = Math.abs(value - 20);
      const e = deviation / half - 1;
      sides.below.push({ e: above ? -1 : e, deviation });
      sides.above.push({ e: above ? e : -1, deviation });
      anomalies.learn(value, interval);
      if (![46, 47, 60, 300, 2500, 8500, 8999].includes(t)) continue;
      for (const [value, age] of [
        [25, 0],
        [14, 0],
        [23, 0],
        [40, 3],
        [-60, 0],
        [22.5, 8],
        [20.5, 0],
        [20, 0],
        // On the edges.
        [interval.high, 0],
        [interval.low, 0],
      ] as const) {
        const side = value < 20 ? 'below' : 'above';
        const edge = (value < 20 ? 20 - interval.low : interval.high - 20) * Math.sqrt(1 + age);
        const excess = Math.abs(value - 20) / edge - 1;
        const p = 2 * tailProbability(sides[side], excess, Math.abs(value - 20));
        const wanted = t + 1 < WARM_UP || excess <= 0 ? 0 : Math.max(0, Math.min(12, -Math.log10(p)));
        expect(anomalies.score(value, interval, age), `${value} after ${t + 1}`).toBeCloseTo(wanted, 6);
      }
    }
  });

  it('of an interval without width is the share of such buckets that were elsewhere', () => {
    const anomalies = new Anomalies();
    const still: Interval = { low: 7, p50: 7, high: 7 };
    for (let t = 1; t <= 10_000; t++) anomalies.learn(t % 100 === 0 ? 9 : 7, still);
    expect(anomalies.score(9, still)).toBeCloseTo(Math.log10(10_002 / 101), 9);
    // Then both counts are halved, so that what was long ago counts less.
    anomalies.learn(7, still);
    expect(anomalies.score(5, still)).toBeCloseTo(Math.log10((10_001 / 2 + 2) / 51), 9);
    expect(anomalies.score(7, still)).toBe(0);
    expect(anomalies.score(7 + 6e-6, still)).toBe(0);
    expect(anomalies.score(7 + 8e-6, still)).toBeGreaterThan(1);
  });
});

describe('alarms', () => {
  const anomalies = [2, 2.9, 3, 5].map((score) => ({
    timeMs: score,
    observed: 0,
    low: 0,
    p50: 0,
    high: 0,
    score,
  }));
  const scores = (stepMs: number, everyMs: number | null): number[] =>
    alarms({ anomalies, stepMs }, everyMs).map(({ score }) => score);

  it('are the anomalies at or above the score of that false alarm rate; none where they are off', () => {
    expect(scores(1000, 1_000_000)).toEqual([3, 5]);
    expect(scores(1000, 1000)).toEqual([2, 2.9, 3, 5]);
    expect(scores(1000, 1e12)).toEqual([5]);
    expect(scores(1000, null)).toEqual([]);
    expect(alarms({ stepMs: 1000 }, 1000)).toEqual([]);
  });
});
