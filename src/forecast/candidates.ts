/** The candidate forecasters of the blend, and how quantiles are derived for the simple ones. */
import { MEDIAN, Q } from '../quantiles.ts';
import { EXPERTS } from '../series/experts.ts';
import type { Features, KeptExpert } from '../series/features.ts';
import { seasonQuantiles } from '../series/recurrence.ts';
import type { ForecastKind } from './forecast.ts';

const CANDIDATES = ['gru', 'seasonal-naive', 'naive', 'climate', 'adapter', 'recurrence'] as const;
export const C = CANDIDATES.length;
export const GRU = 0;
export const SEASONAL = 1;
export const NAIVE = 2;
export const CLIMATE = 3;
/** The corrected network forecast (`adapter.ts`): exists if there is a network. */
export const ADAPTER = 4;

/** Past values at the same phase of the season: exists if the stream has a season. */
export const RECURRENCE = 5;

/** Whether a candidate needs the network. */
export function ofNetwork(candidate: number): boolean {
  return candidate === GRU || candidate === ADAPTER;
}

/**
 * At a lead of whole seasons both naive forecasts are equal, so their losses do not show which of them is better at the
 * neighbouring leads. Their total weight is therefore split there as at the previous knot.
 * @param weights [knots, C]
 * @param knot above 0
 */
export function shareAsBelow(weights: Float64Array, knot: number): void {
  const at = knot * C;
  const below = at - C;
  const pair = weights[below + SEASONAL] + weights[below + NAIVE];
  if (!(pair > 0)) return;
  const both = weights[at + SEASONAL] + weights[at + NAIVE];
  weights[at + SEASONAL] = (both * weights[below + SEASONAL]) / pair;
  weights[at + NAIVE] = (both * weights[below + NAIVE]) / pair;
}

/** The published kind of a forecast with these mean weights of candidates; the rest up to 1 is the own network's share. */
export function kindOf(weights: readonly number[], network: boolean, warm: boolean): ForecastKind {
  const simple = weights.reduce((sum, weight, c) => sum + (ofNetwork(c) ? 0 : weight), 0);
  if (network && simple <= 0.2) return 'gru';
  if (weights[SEASONAL] >= 0.8) return 'seasonal-naive';
  if (weights[NAIVE] >= 0.8 || !warm) return 'naive';
  return 'blend';
}

/** Standard normal quantiles at the nine levels. */
export const NORMAL = Float64Array.of(
  -1.2815516,
  -0.8416212,
  -0.5244005,
  -0.2533471,
  0,
  0.2533471,
  0.5244005,
  0.8416212,
  1.2815516,
);
/** Standard deviation of a normal variable whose mean absolute deviation is 1: sqrt(pi / 2). */
export const SIGMA_PER_MAD = 1.2533141;

/**
 * Quantiles of a point forecast from its own running error at each lead, assuming normal errors.
 * @param out [leads, 9]
 */
export function naiveQuantiles(features: Features, expert: KeptExpert, out: Float64Array): void {
  const { kept, leads } = features;
  const from = features.keptFrom(expert);
  for (let k = 0; k < leads; k++) {
    const point = kept[from + k];
    const sigma = SIGMA_PER_MAD * kept[from + leads + k];
    for (let q = 0; q < Q; q++) out[k * Q + q] = point + sigma * NORMAL[q];
  }
}

/** The quantiles of all past values of the stream, equal at every lead. @param out [leads, 9] */
function climateQuantiles(features: Features, out: Float64Array): void {
  const { quantiles } = features.experts.climate;
  for (let k = 0; k < features.leads; k++) for (let q = 0; q < Q; q++) out[k * Q + q] = quantiles[q];
}

/** The candidates that need no network. @param out [C] arrays [leads, 9] @returns whether RECURRENCE exists */
export function simpleQuantiles(
  features: Features,
  sorted: Float64Array,
  out: readonly Float64Array[],
): boolean {
  naiveQuantiles(features, EXPERTS.seasonalNaive, out[SEASONAL]);
  naiveQuantiles(features, EXPERTS.last, out[NAIVE]);
  climateQuantiles(features, out[CLIMATE]);
  const { history, recurring } = features.experts;
  return seasonQuantiles(history, recurring, features.leads, sorted, out[RECURRENCE]);
}

/**
 * The network's output in the stream's unit: anchor + scale * raw.
 * @param raw [leads, 9]
 * @returns false if any value is not finite or absurdly far away: the network has diverged and must not be used
 */
export function networkQuantiles(
  features: Features,
  raw: Float32Array,
  offset: number,
  out: Float64Array,
): boolean {
  for (let k = 0; k < features.leads; k++) {
    const anchor = features.anchor[k];
    const scale = features.scale[k];
    for (let q = 0; q < Q; q++) {
      const r = raw[offset + k * Q + q];
      if (!(Math.abs(r) < 2000)) return false;
      out[k * Q + q] = anchor + scale * r;
    }
    // Non-crossing holds by construction; rounding in single precision may break a tie.
    for (let q = MEDIAN + 1; q < Q; q++) out[k * Q + q] = Math.max(out[k * Q + q], out[k * Q + q - 1]);
    for (let q = MEDIAN - 1; q >= 0; q--) out[k * Q + q] = Math.min(out[k * Q + q], out[k * Q + q + 1]);
  }
  return true;
}
