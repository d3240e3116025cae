/**
 * A FAKE network for tests of the pipeline that are not about numbers: its answer for a row is a fixed function of that
 * row alone, as the contract of a stepper demands, and its state depends on everything the row has ever shown, so that
 * a lost, doubled or swapped step changes every forecast that follows.
 */
import type { Model } from '../../src/forecast/model.ts';
import type { Stepper } from '../../src/model/stepper.ts';
import { AHEAD, I } from '../../src/series/features.ts';

const HIDDEN = 4;
const Q = 9;

export interface FakeModelOptions {
  readonly hash?: string;
  /** Quantile distances in scales; 1 fits the data of most tests. */
  readonly width?: number;
  /** Rows of one run, for tests of batching. */
  readonly ran?: (rows: number, leads: number) => void;
  /** Changes what the network answers, for tests of a network gone wrong. [n, leads, 9] */
  readonly spoil?: (quantiles: Float32Array) => void;
}

export function fakeModel({ hash = 'fake', width = 1, ran, spoil }: FakeModelOptions = {}): Model {
  return {
    id: 'fake',
    version: '1',
    hash,
    stateRows: 1,
    hidden: HIDDEN,
    stepper: (leads) => Promise.resolve(fakeStepper(leads, width, ran, spoil)),
  };
}

function fakeStepper(
  leads: number,
  width: number,
  ran?: FakeModelOptions['ran'],
  spoil?: FakeModelOptions['spoil'],
): Stepper {
  const inputs = I + leads * AHEAD;
  const weights = Float64Array.from({ length: inputs }, (_, c) => Math.sin(1 + c));
  return {
    inputs,
    leads,
    layers: 1,
    hidden: HIDDEN,
    run: (n, x, h) => {
      ran?.(n, leads);
      const quantiles = new Float32Array(n * leads * Q);
      const next = new Float32Array(n * HIDDEN);
      for (let row = 0; row < n; row++) {
        for (let i = 0; i < HIDDEN; i++) {
          let sum = 0.5 * h[row * HIDDEN + i];
          for (let c = i; c < inputs; c += HIDDEN) sum += weights[c] * x[row * inputs + c];
          next[row * HIDDEN + i] = Math.tanh(0.05 * sum);
        }
        for (let k = 0; k < leads; k++) {
          // A tenth of a scale of the recurrent state: visible in every forecast, and never far from the anchor.
          const shift = 0.1 * next[row * HIDDEN + (k % HIDDEN)];
          for (let q = 0; q < Q; q++)
            quantiles[(row * leads + k) * Q + q] = shift + ((q - 4) / 4) * 1.6 * width;
        }
      }
      spoil?.(quantiles);
      return Promise.resolve({ quantiles, h: next });
    },
    release: () => Promise.resolve(),
  };
}
