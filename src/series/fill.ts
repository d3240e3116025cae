/**
 * Computes the value for a bucket without a reading. Uses only data from before the gap, because in live operation
 * no later data exists. (`linear` therefore holds the last value while the gap lasts; when a later reading ends the
 * gap, the interpolated line is not fed to the network afterwards.)
 */
import { EXPERTS } from './experts.ts';
import type { Features } from './features.ts';
import type { Fill } from './spec.ts';

/** Decay of the `mask` fill towards the mean, per bucket (GRU-D, Che et al. 2018, with a fixed rate). */
const MASK_DECAY = 0.95;
const RECENT = 256;

/**
 * @param modelled the model's forecast for this bucket from the last observed one; NaN if there is none
 * @returns the value for the step; NaN for `drop`: no step
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
      return features.kept[features.keptFrom(EXPERTS.seasonalNaive)];
    case 'mean':
      return experts.longMean;
    case 'median':
    case 'mode':
      return central(fill, experts.history.reach, (lag) => experts.history.at(lag));
    case 'mask':
      return experts.longMean + MASK_DECAY * (last - experts.longMean);
    // The next reading is unknown during a gap, so the line is the last value.
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
  // Half-sample mode: the middle of the narrowest range that contains half of the readings.
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
