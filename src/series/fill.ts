/**
 * The value that stands in for a bucket without a reading. Only data from before the gap is used, because live
 * nothing later exists. (`linear` therefore holds the last value while the gap lasts; when a later reading ends the
 * gap, the interpolated line is not fed to the network afterwards.)
 */
import { EXPERTS } from './experts.ts';
import type { Features } from './features.ts';
import type { Fill } from './spec.ts';

/** Decay of the `mask` fill towards the mean, per bucket (GRU-D, Che et al. 2018, with a fixed rate). */
const MASK_DECAY = 0.95;
const RECENT = 256;

/**
 * @param modelled what the model forecast for this bucket from the last observed one; NaN where it said nothing
 * @returns the value to step with; NaN for `drop`: do not step
 */
export function fillValue(fill: Fill, features: Features, modelled: number): number {
  if (fill === 'drop') return Number.NaN;
  const { experts } = features;
  if (features.steps === 0) return Number.NaN;
  const last = experts.history.at(0);
  switch (fill) {
    case 'model':
      return Number.isNaN(modelled) ? features.anchor[0] : modelled;
    case 'seasonal':
      return features.expertAt(EXPERTS.seasonalNaive, 0).point;
    case 'mean':
      return experts.longMean;
    case 'median':
    case 'mode':
      return central(fill, experts.history.reach, (lag) => experts.history.at(lag));
    case 'mask':
      return experts.longMean + MASK_DECAY * (last - experts.longMean);
    // A line to the next reading would need that reading: while the gap lasts it is the last value.
    case 'hold':
    case 'linear':
      return last;
  }
}

function central(kind: 'median' | 'mode', reach: number, at: (lag: number) => number): number {
  const recent = Array.from({ length: Math.min(RECENT, reach + 1) }, (_, lag) => at(lag)).sort(
    (a, b) => a - b,
  );
  if (kind === 'median') return recent[recent.length >> 1];
  // Mode of a measured quantity: the middle of the narrowest stretch that holds half of the readings (half-sample mode).
  let low = 0;
  let high = recent.length;
  while (high - low > 2) {
    const half = Math.ceil((high - low) / 2);
    let best = low;
    for (let i = low; i + half <= high; i++) {
      if (recent[i + half - 1] - recent[i] < recent[best + half - 1] - recent[best]) best = i;
    }
    low = best;
    high = best + half;
  }
  return (recent[low] + recent[high - 1]) / 2;
}
