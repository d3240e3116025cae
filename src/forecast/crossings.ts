/** Computes the time at which a forecast crosses a threshold, from the quantiles of each lead. */
import { MEDIAN, Q, QUANTILES } from '../quantiles.ts';
import type { Threshold } from '../series/spec.ts';
import type { Crossing } from './forecast.ts';

const NEGLIGIBLE = 0.01;
/** Number of scored forecasts of a lead before a crossing at that lead gets a time. */
const SCORED = 16;
/** Nominal coverage of the interval between the outer levels. */
const NOMINAL = 0.8;

/** The actual levels of the nine quantiles if the interval is calibrated to a coverage other than 0.8. */
function levelsFor(coverage: number): readonly number[] {
  return coverage === NOMINAL ? QUANTILES : QUANTILES.map((q) => 0.5 + ((q - 0.5) * coverage) / NOMINAL);
}

/**
 * Probability that the lead's value is at or below `value`: the quantile function inverted, linear between levels;
 * beyond the outer levels the tail halves with every further distance of p10..p50 (or p50..p90).
 */
export function probabilityBelow(
  quantiles: Float64Array,
  offset: number,
  value: number,
  levels: readonly number[] = QUANTILES,
): number {
  const first = quantiles[offset];
  const last = quantiles[offset + Q - 1];
  const median = quantiles[offset + MEDIAN];
  if (value < first) return median > first ? levels[0] * 0.5 ** ((first - value) / (median - first)) : 0;
  if (value > last)
    return last > median ? 1 - (1 - levels[Q - 1]) * 0.5 ** ((value - last) / (last - median)) : 1;
  for (let q = 1; q < Q; q++) {
    const low = quantiles[offset + q - 1];
    const high = quantiles[offset + q];
    if (value <= high) {
      const part = high > low ? (value - low) / (high - low) : 1;
      return levels[q - 1] + part * (levels[q] - levels[q - 1]);
    }
  }
  return levels[Q - 1];
}

const NONE: readonly Crossing[] = [];

/**
 * For each threshold, the time of the first crossing and its probability. The probability is that of the likeliest lead: a
 * lower bound of crossing at any time within the horizon, because the joint distribution over leads is not known.
 * @param coverage share of readings to which the interval from the lowest to the highest quantile is calibrated
 * @param scored number of scored forecasts for lead k + 1
 */
export function crossings(
  thresholds: readonly Threshold[],
  quantiles: Float64Array,
  leads: number,
  originMs: number,
  stepMs: number,
  coverage: number = NOMINAL,
  scored: (k: number) => number = () => SCORED,
): readonly Crossing[] {
  if (thresholds.length === 0) return NONE;
  const levels = levelsFor(coverage);
  return thresholds.map(({ name, side, value }) => {
    let probability = 0;
    let likeliest = -1;
    let first = -1;
    for (let k = 0; k < leads; k++) {
      const below = probabilityBelow(quantiles, k * Q, value, levels);
      const p = side === 'below' ? below : 1 - below;
      if (p > probability) {
        probability = p;
        likeliest = k;
      }
      if (first < 0 && p > 0.5) first = k;
    }
    const at = first >= 0 ? first : likeliest;
    if (probability < NEGLIGIBLE || at < 0) return { name, side, value, atMs: null, probability };
    const known = scored(at);
    if (known < SCORED)
      return { name, side, value, atMs: null, probability, learning: { scored: known, of: SCORED } };
    return { name, side, value, atMs: originMs + (at + 1) * stepMs, probability };
  });
}
