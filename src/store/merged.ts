/**
 * Reads stored samples from the database and from the rows still waiting for it, with the waiting marks set on both.
 */
import type { Database } from './database.ts';
import { type MarkSpan, marked } from './marks.ts';
import {
  eachSample,
  eachSampleOf,
  eachTimeBackwards,
  mergeByTime,
  type NamedSample,
  type SampleTime,
} from './reading.ts';
import type { StoredSample } from './store-contract.ts';
import type { Waiting } from './waiting.ts';

export interface MergeParts {
  readonly waiting: Waiting;
  /** Null while the database is unavailable. */
  readonly db: Database | null;
  /** Called if the database cannot be read; waiting rows are still returned. */
  readonly failed: (error: unknown) => void;
}

/**
 * Samples of one stream; `fromMs` inclusive, `toMs` exclusive.
 * @param id of the stream in the database; null if it has none
 */
export function samplesOf(
  { waiting, db, failed }: MergeParts,
  stream: string,
  id: number | null,
  fromMs: number,
  toMs: number,
): Generator<StoredSample> {
  const number = waiting.numberOf(stream);
  const rows: StoredSample[] = [];
  waiting.forEach((row, timeMs, value, mark) => {
    if (row === number && timeMs >= fromMs && timeMs < toMs) rows.push({ timeMs, value, mark });
  });
  const stored = db === null || id === null ? [] : eachSampleOf(db, id, fromMs, toMs);
  const spans = waiting.marks.filter((mark) => mark.number === number).map(({ span }) => span);
  return marked(
    mergeByTime(stored, rows, () => '', failed),
    () => spans,
  );
}

/**
 * Samples of all streams, ascending by time; `fromMs` inclusive, `toMs` exclusive.
 * @param only the streams wanted, with their ids in the database; null for one without
 */
export function samplesSince(
  { waiting, db, failed }: MergeParts,
  fromMs: number,
  only?: ReadonlyMap<string, number | null>,
  toMs = Number.POSITIVE_INFINITY,
): Generator<NamedSample> {
  const rows: NamedSample[] = [];
  waiting.forEach((row, timeMs, value, mark) => {
    if (timeMs < fromMs || timeMs >= toMs) return;
    const stream = waiting.nameOf(row);
    if (only === undefined || only.has(stream)) rows.push({ stream, timeMs, value, mark });
  });
  const spans = new Map<string, MarkSpan[]>();
  for (const { number, span } of waiting.marks) {
    const stream = waiting.nameOf(number);
    const known = spans.get(stream);
    if (known === undefined) spans.set(stream, [span]);
    else known.push(span);
  }
  const ids = only && [...only.values()].flatMap((id) => id ?? []);
  const stored = db === null ? [] : eachSample(db, fromMs, ids, toMs);
  return marked(
    mergeByTime(stored, rows, (s) => s.stream, failed),
    ({ stream }) => spans.get(stream) ?? [],
  );
}

/** Times of the samples of all streams, newest first, one page at a time; a time may occur twice. */
export function* timesBackwards({ waiting, db, failed }: MergeParts): Generator<readonly SampleTime[]> {
  const rows: SampleTime[] = [];
  waiting.forEach((row, timeMs) => {
    rows.push({ stream: waiting.nameOf(row), timeMs });
  });
  const newestFirst = (a: SampleTime, b: SampleTime): number => b.timeMs - a.timeMs;
  rows.sort(newestFirst);
  try {
    for (const page of db === null ? [] : eachTimeBackwards(db)) {
      const reachedMs = page.at(-1)?.timeMs ?? Number.POSITIVE_INFINITY;
      const older = rows.findIndex(({ timeMs }) => timeMs < reachedMs);
      const newer = rows.splice(0, older < 0 ? rows.length : older);
      yield newer.length === 0 ? page : [...page, ...newer].sort(newestFirst);
    }
  } catch (error) {
    failed(error);
  }
  yield rows;
}
