/** A gateway's own network beside the blend: forecasters of noise that say what a test wants, through one track. */
import { C } from '../../src/forecast/candidates.ts';
import { Track } from '../../src/forecast/track.ts';
import { Q, quantileLoss } from '../../src/quantiles.ts';
import { normal } from '../support/random.ts';

export const LEADS = 12;
/** Standard normal quantiles at 0.1 ... 0.9. */
const Z = [-1.2815516, -0.8416212, -0.5244005, -0.2533471, 0, 0.2533471, 0.5244005, 0.8416212, 1.2815516];
/** Steps of fifteen minutes. */
export const DAY = 96;
export const MONTH = 30 * DAY;

/** What a forecaster says at every step of the bucket `lead` steps ahead: the centre of a standard normal variable. */
export type Forecaster = (step: number, lead: number) => number;

function quantiles(said: Forecaster, step: number): Float64Array {
  return Float64Array.from({ length: LEADS * Q }, (_, i) => said(step, Math.floor(i / Q) + 1) + Z[i % Q]!);
}

interface Run {
  readonly track: Track;
  /** Mean loss over all steps and leads. */
  readonly loss: number;
  /** The own network's share in the medians, by step, at the last lead. */
  readonly shares: number[];
}

/** Plays values through a track whose candidates all say `blend`, with the own network saying `own`. */
export function play(
  values: Float64Array,
  blend: Forecaster,
  own: Forecaster | null,
  track = new Track(LEADS),
  /** Steps from one own network to the next. */
  replaced = Number.POSITIVE_INFINITY,
): Run {
  const out = new Float64Array(LEADS * Q);
  const shares: number[] = [];
  let sum = 0;
  let n = 0;
  for (let t = 0; t < values.length - LEADS; t++) {
    if (t > 0 && t % replaced === 0) track.beginOwn(true);
    track.observe(values[t]!, true);
    const said = quantiles(blend, t);
    track.combine(
      new Array<Float64Array>(C).fill(said),
      () => {},
      out,
      undefined,
      own === null ? null : quantiles(own, t),
    );
    shares.push(1 - track.meanWeights().reduce((a, b) => a + b));
    for (let k = 0; k < LEADS; k++, n++) sum += quantileLoss(values[t + k + 1]!, out, k * Q);
  }
  return { track, loss: sum / n, shares };
}

export const noise = (seed: number, n = MONTH): Float64Array => {
  const draw = normal(seed);
  return Float64Array.from({ length: n }, () => draw());
};
export const right: Forecaster = () => 0;
