/** A stream's spec for tests; one-second buckets, closed as soon as a newer reading shows that they are over. */
import type { StreamSpec } from '../../src/series/spec.ts';

export const testSpec = (name: string, change: Partial<StreamSpec> = {}): StreamSpec => ({
  name,
  unit: null,
  intervalMs: 1000,
  aggregate: 'mean',
  fill: 'model',
  maxGapMs: 60_000,
  latenessMs: 0,
  min: null,
  max: null,
  maxRatePerMs: null,
  horizonMs: 10_000,
  thresholds: [],
  timeZone: 'UTC',
  coverageTarget: 0.8,
  ...change,
});
