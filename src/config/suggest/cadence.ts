/** From the gaps between messages to the step of a forecast and how far it reaches. */
import type { HeardTopic } from '../../ingest/survey.ts';
import { mayBeOneReport, reportGaps, sortedLengths } from '../../series/interval.ts';

/** Steps that people and devices choose. */
const NICE_MS = [
  0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10_800, 21_600,
  43_200, 86_400,
].map((seconds) => seconds * 1000);
/** Jitter of a cadence: 10.3 s is 10 s. */
const JITTER = 1.05;
const LONGEST_STEP_MS = 86_400_000;
/** Slower than this counts as a slow sensor. */
const SLOW_MS = 15_000;
const FIVE_MINUTES = 300_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const READINGS_PER_STEP = 6;
/** Steps of a horizon; less than the engine's maximum. */
const STEPS = 288;

interface Cadence {
  readonly stepMs: number;
  readonly horizonMs: number;
}

/** The slowest typical gap of the topics, ms; null if too few messages were received. */
export function cadenceOf(topics: readonly HeardTopic[]): number | null {
  const medians = topics.flatMap(({ gapsMs }) => {
    const all = [...gapsMs.values()].flatMap(gapsOfReports).sort((a, b) => a - b);
    return all.length < 2 ? [] : [all[Math.floor(all.length / 2)] ?? 0];
  });
  return medians.length === 0 ? null : Math.max(...medians);
}

/** Gaps between the reports of a device, which may arrive several times. */
function gapsOfReports(gapsMs: readonly number[]): readonly number[] {
  const gaps = Float64Array.from(gapsMs);
  const sorted = sortedLengths(gaps);
  return reportGaps(gaps, sorted) ?? (gaps.length > 1 && mayBeOneReport(gaps) ? [] : [...sorted]);
}

/**
 * A step is never shorter than the cadence, and slow sensors have at least five minutes.
 * @param minStepMs of the quantity
 */
export function stepsFor(cadenceMs: number | null, minStepMs: number): Cadence {
  const slow = cadenceMs === null || cadenceMs > SLOW_MS;
  const wanted = slow ? Math.max(cadenceMs ?? 0, FIVE_MINUTES) : cadenceMs * READINGS_PER_STEP;
  const stepMs = niceStep(Math.max(wanted, minStepMs));
  return { stepMs, horizonMs: horizonFor(stepMs) };
}

const niceStep = (ms: number): number => NICE_MS.find((step) => ms <= step * JITTER) ?? LONGEST_STEP_MS;

function horizonFor(stepMs: number): number {
  if (stepMs > HOUR_MS) return 24 * stepMs;
  const longest = Math.min(DAY_MS, STEPS * stepMs);
  for (const unit of [HOUR_MS, 60_000, 1000])
    if (longest >= 4 * unit) return Math.floor(longest / unit) * unit;
  return longest;
}
