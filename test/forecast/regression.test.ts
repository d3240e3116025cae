import { describe, expect, it } from 'vitest';
import { Regression } from '../../src/forecast/regression.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';
import { normal, uniform } from '../support/random.ts';

const TRUE = [0.5, -0.25, 0, 0.1];
const D = TRUE.length;

type Draw = () => Float32Array;

const standard = (seed: number, inputs = D): Draw => {
  const noise = normal(seed);
  return () => Float32Array.from({ length: inputs }, () => 0.5 * noise());
};

const product = (x: Float32Array, w: readonly number[]): number => w.reduce((sum, v, i) => sum + v * x[i], 0);

/** Weights of one output, read off by asking for what each input alone gives. */
const weights = (regression: Regression, output = 0): number[] =>
  Array.from({ length: regression.inputs }, (_, i) =>
    regression.predict(
      output,
      Float32Array.from({ length: regression.inputs }, (_, m) => (m === i ? 1 : 0)),
    ),
  );

function teach(
  regression: Regression,
  steps: number,
  draw: Draw,
  value: (x: Float32Array, t: number) => number,
): void {
  for (let t = 0; t < steps; t++) {
    const x = draw();
    regression.see(x);
    regression.learn(0, x, value(x, t));
  }
}

describe('a regression', () => {
  it('finds what outputs depend on, each its own, from the same inputs', () => {
    const regression = new Regression(D, 2);
    const draw = standard(1);
    const noise = normal(2);
    for (let t = 0; t < 3000; t++) {
      const x = draw();
      regression.see(x);
      regression.learn(0, x, product(x, TRUE) + 0.1 * noise());
      regression.learn(1, x, -product(x, TRUE) + 0.1 * noise());
    }
    weights(regression).forEach((w, i) => {
      expect(w).toBeCloseTo(TRUE[i], 1);
    });
    weights(regression, 1).forEach((w, i) => {
      expect(w).toBeCloseTo(-TRUE[i], 1);
    });
  });

  it('agrees with the solution of the weighted normal equations', () => {
    // One input, so that the equation is a fraction: sum of forgotten x y over sum of forgotten x x plus the ridge.
    const regression = new Regression(1, 1);
    const draw = standard(3, 1);
    const noise = normal(4);
    const keep = 1 - 1 / 4000;
    let xx = 5;
    let xy = 0;
    teach(regression, 9000, draw, ([x]) => {
      const y = 0.3 * x + 0.2 * noise();
      xx = keep * xx + x * x + (1 - keep) * 5;
      xy = keep * xy + x * y;
      return y;
    });
    expect(weights(regression)[0]).toBeCloseTo(xy / xx, 3);
  });

  it('follows when what it depends on changes', () => {
    const regression = new Regression(D, 1);
    teach(regression, 4000, standard(5), (x) => product(x, TRUE));
    teach(regression, 20_000, standard(6), (x) => 0.4 * x[2]);
    weights(regression).forEach((w, i) => {
      expect(w).toBeCloseTo(i === 2 ? 0.4 : 0, 1);
    });
  });

  it('is not affected by outliers', () => {
    const regression = new Regression(D, 1);
    const next = uniform(7);
    const noise = normal(8);
    teach(regression, 5000, standard(9), (x) =>
      next() < 0.01 ? 1e12 * noise() : product(x, TRUE) + 0.1 * noise(),
    );
    weights(regression).forEach((w, i) => {
      expect(Math.abs(w - TRUE[i])).toBeLessThan(0.1);
    });
  });

  it('forgets a weight whose input has gone, and learns at once when it is back, after very long', () => {
    const regression = new Regression(D, 1);
    teach(regression, 3000, standard(10), (x) => product(x, TRUE));
    const draw = standard(11);
    const without: Draw = () => draw().map((x, i) => (i === 0 ? 0 : x));
    teach(regression, 200_000, without, (x) => product(x, TRUE));
    expect(Math.abs(weights(regression)[0])).toBeLessThan(0.05);
    teach(regression, 300, standard(12), (x) => product(x, TRUE));
    expect(weights(regression)[0]).toBeCloseTo(TRUE[0], 1);
  });

  for (const [name, draw] of [
    ['nothing', () => new Float32Array(D)],
    ['the same', () => new Float32Array(D).fill(4)],
    [
      'one direction',
      (
        (noise) => () =>
          new Float32Array(D).fill(4 * Math.tanh(noise()))
      )(normal(13)),
    ],
  ] as const satisfies readonly (readonly [string, Draw])[]) {
    it(`stays bounded where the inputs show ${name} for long, and can learn after it`, () => {
      const regression = new Regression(D, 1);
      teach(regression, 200_000, draw, (_, t) => (t % 2 === 0 ? 1 : -1));
      for (const w of weights(regression)) expect(Math.abs(w)).toBeLessThan(1);
      teach(regression, 20_000, standard(14), (x) => product(x, TRUE));
      weights(regression).forEach((w, i) => {
        expect(Math.abs(w - TRUE[i])).toBeLessThan(0.1);
      });
    });
  }

  it('goes on from a restored state as if it had never stopped', () => {
    const one = new Regression(D, 1);
    teach(one, 500, standard(15), (x) => product(x, TRUE));
    const writer = new StateWriter();
    one.persist(writer);
    const two = new Regression(D, 1);
    const reader = new StateReader(writer.finish());
    two.persist(reader);
    reader.finish();
    for (const each of [one, two]) teach(each, 50, standard(16), (x) => product(x, TRUE));
    expect(weights(two)).toEqual(weights(one));
  });
});
