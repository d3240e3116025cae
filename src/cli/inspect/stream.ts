/** Summarises the stored samples of one stream: sums by day, and the newest samples. Memory does not grow with the samples. */
import { learnInterval, READINGS_TO_LEARN } from '../../series/interval.ts';
import { type MarkName, markNames, REFUSED } from '../../series/quality.ts';
import type { RejectCount } from '../../store/reject-counts.ts';
import type { StoredSample } from '../../store/store-contract.ts';

export type Counts = Record<string, number>;

export interface DaySummary {
  /** UTC, such as 2025-03-01. */
  readonly day: string;
  /** Accepted readings. */
  samples: number;
  /** Buckets with an accepted reading; null while the interval is unknown. */
  buckets: number | null;
  /** Buckets without an accepted reading, between the first and the last reading of the stream. */
  gaps: number | null;
  /** Number of readings by quality mark. */
  readonly marks: Partial<Record<MarkName, number>>;
  /** Number of refused readings by reason. */
  readonly rejects: Counts;
}

interface StoredSummary {
  readonly intervalMs: number | null;
  readonly firstMs: number | null;
  readonly lastMs: number | null;
  /** Ascending. */
  readonly days: readonly DaySummary[];
  /** The newest samples, ascending by time. */
  readonly last: readonly StoredSample[];
}

const DAY_MS = 86_400_000;

/**
 * @param walk iterates over the samples, ascending by time
 * @param intervalMs of the stream's buckets; null: learnt from the first readings
 * @param most number of newest samples to keep
 */
export function summarise(
  walk: () => Iterable<StoredSample>,
  rejects: readonly RejectCount[],
  intervalMs: number | null,
  most: number,
): StoredSummary {
  const interval = intervalMs ?? learnInterval(firstTimes(walk()));
  let firstMs: number | null = null;
  let lastMs: number | null = null;
  const last: StoredSample[] = [];
  const days = new Map<number, DaySummary>();
  const dayOf = (ms: number): DaySummary => {
    const startMs = Math.floor(ms / DAY_MS) * DAY_MS;
    const known = days.get(startMs);
    if (known !== undefined) return known;
    const day: DaySummary = {
      day: new Date(startMs).toISOString().slice(0, 10),
      samples: 0,
      buckets: interval === null ? null : 0,
      gaps: null,
      marks: {},
      rejects: {},
    };
    days.set(startMs, day);
    return day;
  };
  let bucket = Number.NaN;
  for (const sample of walk()) {
    const { timeMs, mark } = sample;
    last.push(sample);
    if (last.length > most) last.shift();
    const day = dayOf(timeMs);
    for (const name of markNames(mark)) day.marks[name] = (day.marks[name] ?? 0) + 1;
    if ((mark & REFUSED) !== 0) continue;
    day.samples++;
    firstMs ??= timeMs;
    lastMs = timeMs;
    if (interval === null || Math.floor(timeMs / interval) === bucket) continue;
    bucket = Math.floor(timeMs / interval);
    dayOf(bucket * interval).buckets! += 1;
  }
  for (const { dayMs, reason, count } of rejects) {
    const day = dayOf(dayMs);
    day.rejects[reason] = (day.rejects[reason] ?? 0) + count;
  }
  if (interval !== null && firstMs !== null && lastMs !== null) {
    // also the days without a reading
    for (let ms = firstMs; ms < lastMs; ms += DAY_MS) dayOf(ms);
    for (const [startMs, day] of days) day.gaps = labels(startMs, firstMs, lastMs, interval) - day.buckets!;
  }
  return {
    intervalMs: interval,
    firstMs,
    lastMs,
    days: [...days].sort(([a], [b]) => a - b).map(([, day]) => day),
    last,
  };
}

function firstTimes(samples: Iterable<StoredSample>): number[] {
  const times: number[] = [];
  for (const { timeMs, mark } of samples) {
    if ((mark & REFUSED) !== 0) continue;
    if (times.push(timeMs) === READINGS_TO_LEARN) break;
  }
  return times;
}

/** Number of buckets that start on the day, between the first and the last reading. */
function labels(dayMs: number, firstMs: number, lastMs: number, intervalMs: number): number {
  const from = Math.max(Math.ceil(dayMs / intervalMs), Math.floor(firstMs / intervalMs));
  const to = Math.min(Math.ceil((dayMs + DAY_MS) / intervalMs) - 1, Math.floor(lastMs / intervalMs));
  return Math.max(0, to - from + 1);
}
