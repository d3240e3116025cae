/**
 * Measures how far the states of two steppers of one network drift apart on the same inputs. The rounding error of a step
 * enters the next one: if the network damps it, the error stays bounded; if not, it grows with the number of steps.
 */

import type { Grid } from '../../../src/backtest/play.ts';
import type { Stepper } from '../../../src/model/stepper.ts';
import { UTC } from '../../../src/series/calendar.ts';
import { Features, I } from '../../../src/series/features.ts';

export interface DriftPoint {
  /** Steps since the zero state. */
  readonly steps: number;
  /** Of |h - h'| over the units of all layers and the steps since the previous point. */
  readonly max: number;
  readonly mean: number;
}

/** Steps between two progress reports. */
const PROGRESS_EVERY = 2000;

/**
 * @param steppers of one network and one number of leads; not released here
 * @param layers number of hidden states, the first rows of the state; memories of attention and convolution are not compared
 * @param series played one after the other, repeatedly, until `steps` are done; states carry over
 */
export async function stateDrift(
  [one, other]: readonly [Stepper, Stepper],
  layers: number,
  series: readonly Grid[],
  steps: number,
  progress?: (done: number, total: number) => void,
): Promise<DriftPoint[]> {
  const { hidden, layers: rows, leads, inputs } = one;
  const compared = layers * hidden;
  const x = new Float32Array(inputs);
  let h: Float32Array = new Float32Array(rows * hidden);
  let g: Float32Array = new Float32Array(rows * hidden);
  const points: DriftPoint[] = [];
  let sum = 0;
  let max = 0;
  let since = 0;
  let next = Math.min(100, steps);
  let done = 0;
  while (done < steps) {
    const before = done;
    for (const grid of series) {
      for (const past of pastInputs(grid, leads)) {
        x.set(past);
        h = (await one.run(1, x, h)).h;
        g = (await other.run(1, x, g)).h;
        for (let i = 0; i < compared; i++) {
          const error = Math.abs(h[i] - g[i]);
          sum += error;
          if (error > max) max = error;
        }
        done++;
        since++;
        if (done % PROGRESS_EVERY === 0) progress?.(done, steps);
        if (done < next) continue;
        points.push({ steps: done, max, mean: sum / (since * compared) });
        [sum, max, since] = [0, 0, 0];
        if (done === steps) return points;
        next = Math.min(10 * next, steps);
      }
    }
    if (done === before) break;
  }
  return points;
}

/** The network's past inputs at each bucket, [I], in one reused array. Empty buckets repeat the last value. */
function* pastInputs({ actual, startMs, intervalMs }: Grid, leads: number): Generator<Float32Array> {
  const features = new Features(intervalMs, leads, UTC);
  const past = new Float32Array(I);
  let last = Number.NaN;
  for (let i = 0; i < actual.length; i++) {
    const observed = !Number.isNaN(actual[i]);
    if (observed) last = actual[i];
    if (Number.isNaN(last)) continue;
    features.update(startMs + i * intervalMs, last, observed);
    features.past(past, 0);
    yield past;
  }
}
