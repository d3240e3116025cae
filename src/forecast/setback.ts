/**
 * How far a forecaster of the blend has lost its footing: the loss of its last few forecasts compared with its usual loss and
 * with what the others lose now. Losses averaged over hundreds of steps show a lasting change of the stream only after days.
 */

/** Weight of the newest loss in the recent mean: about the last five steps count. */
const RECENT_RATE = 0.2;
/** A recent loss counts as too high beyond this multiple of the usual loss ... */
const FAR_ABOVE_USUAL = 8;
/** ... and this multiple of the lowest recent loss of the others. */
export const CLEARLY_ABOVE_OTHERS = 2;

/**
 * Weight of the newest loss in the mean of the recent ones.
 * @param count losses so far, this one included; after a lasting change, those since
 */
export const recentRate = (count: number): number => Math.max(RECENT_RATE, 1 / count);

/** Above 1: the factor by which the recent loss is too high. NaN if all losses are 0. */
export const setbackOf = (recent: number, usual: number, leastRecent: number): number =>
  Math.min(recent / (FAR_ABOVE_USUAL * usual), recent / (CLEARLY_ABOVE_OTHERS * leastRecent));
