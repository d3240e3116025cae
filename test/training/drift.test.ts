import { describe, expect, it } from 'vitest';
import { DriftDetector } from '../../src/training/drift.ts';
import { Random } from '../../src/training/random.ts';

/** Errors until drift is found; Infinity when it is not. */
function until(detector: DriftDetector, errors: Iterable<number>): number {
  let n = 0;
  for (const error of errors) {
    n++;
    if (detector.add(error)) return n;
  }
  return Number.POSITIVE_INFINITY;
}
const errors = (seed: number, n: number, level: (t: number) => number) => {
  const rng = new Random(seed);
  return Array.from({ length: n }, (_, t) => level(t) * Math.abs(rng.normal()));
};

describe('DriftDetector', () => {
  it('detects doubled errors soon', () => {
    for (let seed = 0; seed < 20; seed++) {
      const found = until(
        new DriftDetector(),
        errors(seed, 1000, (t) => (t < 400 ? 1 : 2)),
      );
      expect(found).toBeGreaterThan(400);
      expect(found).toBeLessThan(520);
    }
  });

  it('does not react to stationary errors of any size', () => {
    for (let seed = 0; seed < 20; seed++) {
      expect(
        until(
          new DriftDetector(),
          errors(seed, 5000, () => 1e6),
        ),
      ).toBe(Number.POSITIVE_INFINITY);
    }
  });

  it('does not react to a few spikes, better forecasts or invalid numbers', () => {
    expect(
      until(
        new DriftDetector(),
        errors(1, 2000, (t) => (t % 500 === 499 ? 1000 : 1)),
      ),
    ).toBe(Number.POSITIVE_INFINITY);
    expect(
      until(
        new DriftDetector(),
        errors(1, 2000, (t) => (t < 500 ? 1 : 0.3)),
      ),
    ).toBe(Number.POSITIVE_INFINITY);
    expect(until(new DriftDetector(), [Number.NaN, Number.POSITIVE_INFINITY, -1])).toBe(
      Number.POSITIVE_INFINITY,
    );
    expect(until(new DriftDetector(), new Array(1000).fill(0))).toBe(Number.POSITIVE_INFINITY);
  });

  it('starts again after a detection', () => {
    const stream = errors(4, 1000, (t) => (t < 400 ? 1 : 3));
    const whole = new DriftDetector();
    until(whole, stream);
    expect(
      until(
        whole,
        errors(5, 300, () => 3),
      ),
    ).toBe(Number.POSITIVE_INFINITY);
  });
});
