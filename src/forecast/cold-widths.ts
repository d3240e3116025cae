/** Made by `npx tsx test/bench/cold.ts` from series of the training sets; see there. */

/** Buckets seen, and leads, that the widths are for. */
export const COLD_BUCKETS: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128];
export const COLD_LEADS: readonly number[] = [1, 2, 4, 8, 16, 32, 64];
/** [buckets, leads] logarithm of how much wider the interval is than the stream itself says. */
// biome-ignore format: a row of leads for each number of buckets
export const COLD_WIDTHS: readonly number[] = [
  1.43, 1.38, 1.46, 1.4, 1.35, 1.07, 0.32,
  0.48, 0.55, 0.64, 0.95, 1.11, 1.25, 1.13,
  0.94, 1.28, 1.67, 2.07, 2.41, 2.54, 2.93,
  0.58, 0.79, 1.13, 1.42, 1.72, 2.01, 2.51,
  0.32, 0.5, 0.58, 0.76, 0.98, 1.11, 1.36,
  0.22, 0.3, 0.33, 0.36, 0.54, 0.79, 0.8,
  0.1, 0.05, 0.11, 0.21, 0.29, 0.39, 0.57,
  -0.05, -0.1, 0.04, 0.1, 0.16, 0.21, 0.2,
];
