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
  /** Buffers; durable after the next flush. Of two samples with the same (stream, time) the first is kept, unless it is marked out of range. Never blocks on disk. */
  append(sample: Sample, mark?: number): void;
  /** Sets bits on the samples of a span, stored or not; durable after the next flush. */
  mark(stream: string, span: MarkSpan): void;
  /** Counts readings of a stream that were refused, for `gatecast inspect`; durable after the next batch. */
  reject(stream: string, reason: string, atMs: number, count?: number): void;
  /**
   * Writes what is buffered. On failure keeps the buffer (bounded, oldest dropped and counted) and reports through `onFault`.
   * @param done called when what was buffered is as safe as `store.durability` wants, or cannot be made so; without it the
   * call itself waits for that
   */
  flush(done?: (safe: boolean) => void): boolean;
  /** Ascending by time; `fromMs` inclusive, `toMs` exclusive. */
  samples(stream: string, fromMs: number, toMs?: number): Iterable<StoredSample>;
  saveSnapshots(snapshots: readonly StreamSnapshot[]): boolean;
  loadSnapshot(stream: string): StreamSnapshot | null;
  /** Nothing of it can be reached any more. False, and nothing has changed, while the disk takes nothing. */
  forget(stream: string): boolean;
  /** Its states are gone, its samples stay. False as above. */
  dropSnapshots(stream: string): boolean;
  getMeta(key: string): string | null;
  setMeta(key: string, value: string): void;
  /** Enforces size and age limits; returns rows removed. */
  trim(nowMs: number): number;
  stats(): {
    dbBytes: number;
    samples: number;
    pending: number;
    /** Lost to the bound of the buffer. */
    droppedPending: number;
    /** Stored samples deleted because the disk is full. */
    deletedForSpace: number;
    /** Rows that the database refused for what they hold. */
    refusedRows: number;
    /** Damaged parts found in the journal. */
    damagedParts: number;
    writtenBytes: number;
  };
  close(): void;
}
