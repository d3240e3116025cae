/**
 * Quantiles of the values at the same phase of the last seasons, for streams with a season. Where impulses come
 * every few buckets (a meter that reports once an hour, a pump with a timer), zeros and impulses thereby get
 * separate intervals. Experts and their errors are pooled over all phases and cannot distinguish the two.
 */

import { QUANTILES } from '../quantiles.ts';
import type { History } from './history.ts';

/** Largest and smallest number of seasons used. */
export const MOST_SEASONS = 12;
const LEAST_SEASONS = 4;

/**
 * @param period in steps; 0 if there is no season
 * @param sorted [MOST_SEASONS] scratch
 * @param out [leads, 9]
 * @returns false if too few seasons are known
 */
export function seasonQuantiles(
  history: History,
  period: number,
  leads: number,
  sorted: Float64Array,
  out: Float64Array,
): boolean {
  if (period === 0 || history.reach < (LEAST_SEASONS + 1) * period) return false;
  const { reach } = history;
  const levels = QUANTILES.length;
  for (let k = 1; k <= leads; k++) {
    const first = period * Math.ceil(k / period) - k;
    let n = 0;
    for (let back = first; n < MOST_SEASONS && back <= reach; back += period) {
      const value = history.at(back);
      let at = n++;
      for (; at > 0 && sorted[at - 1] > value; at--) sorted[at] = sorted[at - 1];
      sorted[at] = value;
    }
    for (let q = 0; q < levels; q++) {
      const position = Math.max(0, Math.min(n - 1, QUANTILES[q] * (n + 1) - 1));
      const low = Math.min(n - 2, Math.floor(position));
      out[(k - 1) * levels + q] = sorted[low] + (position - low) * (sorted[low + 1] - sorted[low]);
    }
  }
  return true;
}
