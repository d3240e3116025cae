/** The interface of durable storage that the agent uses. Implemented on SQLite in `sqlite-store.ts`. */
import type { StreamSnapshot } from '../forecast/engine-contract.ts';
import type { Sample } from '../series/sample.ts';
import type { MarkSpan } from './marks.ts';

export interface StoredSample {
  readonly timeMs: number;
  readonly value: number;
  /** Quality marks, bits of `series/quality.ts`; 0 = good. */
  readonly mark: number;
}

export interface Store {
  /** Buffers a sample; durable after the next flush. Of two samples with the same stream and time the first is kept, unless it is marked out of range. Never blocks on disk. */
  append(sample: Sample, mark?: number): void;
  /** Sets bits on the samples of a span, stored or not; durable after the next flush. */
  mark(stream: string, span: MarkSpan): void;
  /** Counts readings of a stream that were refused, for `gatecast inspect`; durable after the next batch. */
  reject(stream: string, reason: string, atMs: number, count?: number): void;
  /**
   * Writes the buffer. On failure keeps the buffer (bounded, oldest rows dropped and counted) and reports through `onFault`.
   * @param done called when the rows are as safe as `store.durability` requires, or cannot be made so; without it the
   * call waits for that
   */
  flush(done?: (safe: boolean) => void): boolean;
  /** Ascending by time; `fromMs` inclusive, `toMs` exclusive. */
  samples(stream: string, fromMs: number, toMs?: number): Iterable<StoredSample>;
  /**
   * End of a slice of time that begins at `fromMs`, with so few rows of all streams that reading it blocks for milliseconds only;
   * infinity for the last slice. A query for one stream reads the rows of all streams in its span.
   */
  sliceEnd(fromMs: number): number;
  saveSnapshots(snapshots: readonly StreamSnapshot[]): boolean;
  loadSnapshot(stream: string): StreamSnapshot | null;
  /** Makes all data of a stream inaccessible. Returns false, without any change, while the disk cannot be written. */
  forget(stream: string): boolean;
  /** Deletes a stream's states, but keeps its samples. Returns false as `forget`. */
  dropSnapshots(stream: string): boolean;
  getMeta(key: string): string | null;
  setMeta(key: string, value: string): void;
  /** Enforces size and age limits; returns rows removed. */
  trim(nowMs: number): number;
  stats(): {
    dbBytes: number;
    samples: number;
    pending: number;
    /** Rows dropped because the buffer was full. */
    droppedPending: number;
    /** Stored samples deleted because the disk is full. */
    deletedForSpace: number;
    /** Rows that the database refused because of their values. */
    refusedRows: number;
    /** Damaged parts found in the journal. */
    damagedParts: number;
    writtenBytes: number;
  };
  close(): void;
}
