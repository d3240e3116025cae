/** Series of every kind that a stream may meet, for tests of what must hold on all of them. */
import { normal, uniform } from './random.ts';

/** One value a bucket; NaN is a gap. */
export type Shape = (steps: number) => Float64Array;

const from =
  (value: (t: number) => number): Shape =>
  (steps) =>
    Float64Array.from({ length: steps }, (_, t) => value(t));

/** A day of `period` buckets with noise: an ordinary sensor. The same series on every call. */
export const ordinary =
  (seed = 1, period = 48): Shape =>
  (steps) => {
    const noise = normal(seed);
    return from((t) => 20 + 5 * Math.sin((2 * Math.PI * t) / period) + 0.5 * noise())(steps);
  };

/**
 * A machine whose pause depends on how hard it worked: 4 steps at 3 are followed by 11 of rest, 4 at 1.5 by 4. Which of both
 * comes next is random, so there is no season to find; a network learns when a pause ends.
 * @param noise standard normal
 */
export function machine(noise: () => number): () => number {
  let left = 0;
  let height = 3;
  return () => {
    if (left === 0) {
      height = noise() > 0 ? 3 : 1.5;
      left = height === 3 ? 15 : 8;
    }
    left--;
    const works = left >= (height === 3 ? 11 : 4);
    return (works ? height : 0) + 0.1 * noise();
  };
}

export const SHAPES: Readonly<Record<string, Shape>> = {
  ordinary: ordinary(),
  constant: from(() => 21.5),
  zero: from(() => 0),
  huge: scaled(ordinary(2), 1e12),
  tiny: scaled(ordinary(3), 1e-9),
  'largest allowed': scaled(ordinary(4), 4e28),
  spiky: (steps) => {
    const next = uniform(5);
    return ordinary(5)(steps).map((y) => (next() < 0.02 ? y + 1e6 * (next() - 0.5) : y));
  },
  gappy: (steps) => {
    const next = uniform(6);
    return ordinary(6)(steps).map((y) => (next() < 0.6 ? Number.NaN : y));
  },
  'one long gap': (steps) =>
    ordinary(7)(steps).map((y, t) => (t > steps / 3 && t < (2 * steps) / 3 ? Number.NaN : y)),
  steps: from((t) => 100 * Math.floor(t / 150)),
  integers: (steps) => {
    const next = uniform(8);
    return Float64Array.from({ length: steps }, () => Math.floor(4 * next()));
  },
  'on and off': from((t) => (t % 37 < 12 ? 1 : 0)),
  alternating: from((t) => (t % 2 === 0 ? 1e12 : -1e12)),
  'rare events': from((t) => (t % 101 === 100 ? 7 : 0)),
  growing: from((t) => Math.exp(t / 20)),
  'constant, then alive': (steps) => ordinary(9)(steps).map((y, t) => (t < steps / 2 ? 3 : y)),
};

function scaled(shape: Shape, by: number): Shape {
  return (steps) => shape(steps).map((y) => y * by);
}
