/** Samples as they are: what the database has and what still waits for it, with the marks that wait set on both. */
import type { Database } from './database.ts';
import { type MarkSpan, marked } from './marks.ts';
import { eachSample, eachSampleOf, mergeByTime, type NamedSample } from './reading.ts';
import type { StoredSample } from './store-contract.ts';
import type { WriteAhead } from './write-ahead.ts';

export interface MergeParts {
  readonly ahead: WriteAhead;
  /** Null while the disk is away. */
  readonly db: Database | null;
  /** Told when the database cannot be read; what waits still comes. */
  readonly failed: (error: unknown) => void;
}

/**
 * One stream; `fromMs` inclusive, `toMs` exclusive.
 * @param id the database's; null where it has none
 */
export function samplesOf(
  { ahead, db, failed }: MergeParts,
  stream: string,
  id: number | null,
  fromMs: number,
  toMs: number,
): Generator<StoredSample> {
  const number = ahead.numberOf(stream);
  const waiting: StoredSample[] = [];
  ahead.forEach((row, timeMs, value, mark) => {
    if (row === number && timeMs >= fromMs && timeMs < toMs) waiting.push({ timeMs, value, mark });
  });
  const stored = db === null || id === null ? [] : eachSampleOf(db, id, fromMs, toMs);
  const spans = ahead.marks.filter((mark) => mark.number === number).map(({ span }) => span);
  return marked(
    mergeByTime(stored, waiting, () => '', failed),
    () => spans,
  );
}

/** Every stream's, ascending by time. */
export function samplesSince({ ahead, db, failed }: MergeParts, fromMs: number): Generator<NamedSample> {
  const waiting: NamedSample[] = [];
  ahead.forEach((row, timeMs, value, mark) => {
    if (timeMs >= fromMs) waiting.push({ stream: ahead.nameOf(row), timeMs, value, mark });
  });
  const spans = new Map<string, MarkSpan[]>();
  for (const { number, span } of ahead.marks) {
    const stream = ahead.nameOf(number);
    const known = spans.get(stream);
    if (known === undefined) spans.set(stream, [span]);
    else known.push(span);
  }
  return marked(
    mergeByTime(db === null ? [] : eachSample(db, fromMs), waiting, (s) => s.stream, failed),
    ({ stream }) => spans.get(stream) ?? [],
  );
}
