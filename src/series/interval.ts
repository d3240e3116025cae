/** Learns a sensor's interval from the times of its readings, and snaps it to one a person would have chosen. */

const NICE_MS = [
  100, 200, 250, 500, 1000, 2000, 3000, 5000, 10_000, 15_000, 20_000, 30_000, 60_000, 120_000, 180_000,
  300_000, 600_000, 900_000, 1_200_000, 1_800_000, 3_600_000, 7_200_000, 10_800_000, 14_400_000, 21_600_000,
  43_200_000, 86_400_000,
];

/** Readings wanted before an interval is believed. */
export const READINGS_TO_LEARN = 6;

/** The nearest nice interval, by ratio. */
export function niceInterval(ms: number): number {
  let best = NICE_MS[0];
  for (const nice of NICE_MS) if (Math.abs(Math.log(nice / ms)) < Math.abs(Math.log(best / ms))) best = nice;
  return best;
}

/**
 * @param times ms, any order; equal times count once
 * @returns the interval, ms; null while there are fewer than READINGS_TO_LEARN distinct times
 */
export function learnInterval(times: readonly number[]): number | null {
  const distinct = [...new Set(times)].sort((a, b) => a - b);
  if (distinct.length < READINGS_TO_LEARN) return null;
  const gaps = distinct.slice(1).map((time, i) => time - distinct[i]);
  gaps.sort((a, b) => a - b);
  // The lower middle: lost readings only lengthen gaps.
  return niceInterval(Math.max(100, gaps[Math.floor((gaps.length - 1) * 0.4)]));
}
