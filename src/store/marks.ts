/**
 * Quality marks that are set after their samples were stored: readings are stored on arrival, and a bucket is checked
 * when it closes. A mark covers a time span of one stream; it is set at once on rows in memory, and with the next
 * batch on stored rows. Bits are only added to a row, so that setting a mark twice does no harm.
 */
import { OUT_OF_RANGE } from '../series/quality.ts';
import type { Database } from './database.ts';
import type { StoredSample } from './store-contract.ts';

/** `fromMs` inclusive, `toMs` exclusive. */
export interface MarkSpan {
  readonly fromMs: number;
  readonly toMs: number;
  /** Bits of `series/quality.ts`. */
  readonly marks: number;
  /** Times of its samples, ms, if known: their rows are then found without reading the rows of other streams. */
  readonly timesMs?: readonly number[];
}

/** Whether a good reading with the same time replaces the sample. */
export const isRefused = (mark: number): boolean => (mark & OUT_OF_RANGE) !== 0;

/** Call inside the transaction that inserts the rows. @param id the stream's row in the database */
export function writeMark(db: Database, id: number, { fromMs, toMs, marks, timesMs }: MarkSpan): void {
  if (timesMs !== undefined) {
    const set = db.prepare(
      'UPDATE sample SET mark = mark | ? WHERE time = ? AND stream = ? AND mark & ? <> ?',
    );
    for (const timeMs of timesMs) set.run(marks, timeMs, id, marks, marks);
    return;
  }
  db.prepare(
    'UPDATE sample SET mark = mark | ? WHERE time >= ? AND time < ? AND stream = ? AND mark & ? <> ?',
  ).run(marks, Math.ceil(fromMs), Math.ceil(toMs), id, marks, marks);
}

/** Samples of one stream with the marks of `spans` already applied. */
export function* marked<T extends StoredSample>(
  samples: Iterable<T>,
  spansOf: (sample: T) => readonly MarkSpan[],
): Generator<T> {
  for (const sample of samples) {
    let { mark } = sample;
    for (const { fromMs, toMs, marks } of spansOf(sample))
      if (sample.timeMs >= fromMs && sample.timeMs < toMs) mark |= marks;
    yield mark === sample.mark ? sample : { ...sample, mark };
  }
}
