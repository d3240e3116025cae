/**
 * The store on SQLite. Layers, newest first: rows in memory -> journal (every flush) -> database (big batches). A fault
 * in one layer leaves the ones above working, so that forecasting goes on without a disk.
 * Used from one thread; others read through `openReader`.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { GatecastError } from '../errors.ts';
import type { StreamSnapshot } from '../forecast/engine-contract.ts';
import type { Sample } from '../series/sample.ts';
import type { Clock } from '../system/clock.ts';
import { bytesWrittenByThread } from '../system/facts.ts';
import { type BackupFile, backupDatabase } from './backup.ts';
import { insertBatch, insertStream, SELECT_ID, SELECT_META, UPSERT_META } from './batch.ts';
import { Connection, type StoreFault } from './connection.ts';
import type { Database } from './database.ts';
import type { MarkSpan } from './marks.ts';
import { type MergeParts, samplesOf, samplesSince } from './merged.ts';
import type { NamedSample } from './reading.ts';
import { RejectCounts } from './reject-counts.ts';
import { readSnapshot, writeSnapshot } from './snapshots.ts';
import type { Store, StoredSample } from './store-contract.ts';
import { trimSize, trimSlice } from './trimming.ts';
import { WriteAhead } from './write-ahead.ts';

export type { StoreFault } from './connection.ts';

export interface SqliteStoreOptions {
  /** Folder of `gatecast.db` and `samples.journal`; made when it is not there. */
  readonly dir: string;
  readonly maxBytes: number;
  readonly retentionMs: number;
  /** Most rows held in memory while the disk is away. */
  readonly maxPending?: number;
  /** Waits for the disk on every flush: samples then survive a power cut, not only a crash. */
  readonly powerSafe?: boolean;
  readonly clock: Clock;
  readonly onFault: (fault: StoreFault) => void;
}

/** The database's file within `dir`, for `openReader`. */
export const DATABASE_FILE = 'gatecast.db';
export const JOURNAL_FILE = 'samples.journal';

/** Rows that the database takes at once; below, the journal alone is written. */
const BATCH_ROWS = 2048;
const MAX_PENDING = 200_000;
/** Counting rows reads the whole table, so a bigger file goes by the count kept in `meta`. */
const COUNT_BELOW_BYTES = 32 * 2 ** 20;
const ROWS_KEY = 'store.rows';
/** Refused readings of a gateway that stores little are written at least this often, ms. */
const REJECTS_MS = 600_000;

export class SqliteStore implements Store {
  readonly #options: SqliteStoreOptions;
  readonly #path: string;
  readonly #ahead: WriteAhead;
  readonly #connection: Connection;
  readonly #rejects = new RejectCounts();
  /** By the write-ahead's number of a stream: its id in the database. */
  #ids: (number | undefined)[] = [];
  #rows = 0;
  #settledAt = Number.NEGATIVE_INFINITY;
  #written = 0;
  #dropping = false;
  #closed = false;

  private constructor(options: SqliteStoreOptions) {
    this.#options = options;
    this.#path = join(options.dir, DATABASE_FILE);
    this.#ahead = new WriteAhead({
      path: join(options.dir, JOURNAL_FILE),
      maxRows: options.maxPending ?? MAX_PENDING,
      powerSafe: options.powerSafe ?? false,
      onLost: (bytes) =>
        options.onFault({ kind: 'journal-damaged', message: `its last ${bytes} bytes were unreadable` }),
    });
    this.#connection = new Connection({
      path: this.#path,
      clock: options.clock,
      onFault: options.onFault,
      onOpen: (db) => this.#opened(db),
      onTrimmed: (rows) => {
        this.#rows -= rows;
      },
    });
  }

  /**
   * Opens what is in `dir`. A disk that is full, read-only or broken does not stop it: it then holds rows in memory,
   * says so through `onFault`, and tries again at later flushes.
   * @throws STORE_NEWER when a newer version wrote the database
   */
  static open(options: SqliteStoreOptions): SqliteStore {
    const store = new SqliteStore(options);
    store.#connection.open();
    try {
      store.#ahead.load();
    } catch (error) {
      store.#connection.degraded(error);
    }
    store.settle();
    return store;
  }

  append(sample: Sample, mark = 0): void {
    const timeMs = Math.round(sample.timeMs);
    if (!Number.isSafeInteger(timeMs) || !Number.isFinite(sample.value)) return;
    const dropped = this.#ahead.push(sample.stream, timeMs, sample.value, mark);
    if (!dropped || this.#dropping) return;
    this.#dropping = true;
    this.#options.onFault({
      kind: 'dropping',
      message: `${this.#ahead.rows} rows wait for the disk; the oldest go`,
    });
  }

  mark(stream: string, span: MarkSpan): void {
    if (span.marks !== 0) this.#ahead.mark(stream, span);
  }

  reject(stream: string, reason: string, atMs: number, count = 1): void {
    this.#rejects.add(stream, reason, atMs, count);
  }

  /** True when everything appended so far survives a crash of the process (with `powerSafe`: a power cut). */
  flush(): boolean {
    if (this.#closed) return false;
    // an outage ends with the database, so that is tried first
    if (this.#connection.failing && this.settle()) return true;
    if (!this.#writeJournal()) return this.settle();
    if (this.#ahead.rows >= BATCH_ROWS) this.settle();
    return true;
  }

  /** Moves everything into the database now: for readers beside the agent, and before it stops. */
  settle(): boolean {
    if (this.#closed) return false;
    if (this.#ahead.isEmpty && this.#rejects.isEmpty && !this.#connection.failing) return true;
    return this.#connection.run((db) => {
      this.#measured(() => {
        const { ids, added } = db.transaction(() => insertBatch(db, this.#ahead, this.#rejects, this.#ids))();
        this.#ids = ids;
        this.#rows += added;
        this.#ahead.settled();
        this.#rejects.clear();
      });
      this.#settledAt = this.#options.clock.monotonic();
      this.#connection.succeeded();
      this.#dropping = false;
      this.#rows -= trimSize(db, this.#maxBytes);
    });
  }

  *samples(stream: string, fromMs: number, toMs = Number.MAX_SAFE_INTEGER): Generator<StoredSample> {
    // The id first: looking for it may find the database gone.
    const id = this.#idOf(stream);
    yield* samplesOf(this.#mergeParts, stream, id, fromMs, toMs);
  }

  /** Every stream's samples from `fromMs` on, ascending by time: one walk for all, as the replay at start needs it. */
  *since(fromMs: number): Generator<NamedSample> {
    yield* samplesSince(this.#mergeParts, fromMs);
  }

  saveSnapshots(snapshots: readonly StreamSnapshot[]): boolean {
    if (snapshots.length === 0) return true;
    this.flush();
    return this.#connection.run((db) => {
      this.#measured(() =>
        db.transaction(() => {
          const nowMs = this.#options.clock.now();
          for (const snapshot of snapshots)
            writeSnapshot(db, insertStream(db, snapshot.stream), snapshot, nowMs);
        })(),
      );
    });
  }

  loadSnapshot(stream: string): StreamSnapshot | null {
    const id = this.#idOf(stream);
    if (id === null) return null;
    const damaged = (message: string): void => this.#options.onFault({ kind: 'snapshot-damaged', message });
    return this.#connection.read((db) => readSnapshot(db, id, stream, damaged));
  }

  /**
   * Its samples and states cannot be reached any more; the rows go with the next trims.
   * @returns false, and nothing has changed, while the database cannot be written
   */
  forget(stream: string): boolean {
    if (!this.settle()) return false;
    this.#ahead.forget(stream);
    this.#rejects.forget(stream);
    const id = this.#idOf(stream);
    if (id === null) return true;
    return this.#connection.run((db) => {
      db.transaction(() => {
        db.prepare('DELETE FROM snapshot WHERE stream = ?').run(id);
        db.prepare('DELETE FROM reject WHERE stream = ?').run(id);
        db.prepare('DELETE FROM stream WHERE id = ?').run(id);
        db.prepare('INSERT INTO forgotten (stream, cursor) VALUES (?, ?)').run(id, Number.MIN_SAFE_INTEGER);
      })();
      this.#ids = [];
    });
  }

  /** @returns false while the database cannot be written */
  dropSnapshots(stream: string): boolean {
    return this.#connection.run((db) => {
      const id = db.prepare(SELECT_ID).pluck().get(stream);
      if (id !== undefined) db.prepare('DELETE FROM snapshot WHERE stream = ?').run(id);
    });
  }

  /**
   * Copies the database, with all samples so far and `files` beside them, to `path` (see `backup.ts`). Forecasting goes on
   * meanwhile. @returns bytes @throws GatecastError STORE_FAILED when it cannot be read or there is no room
   */
  async backup(path: string, files: readonly BackupFile[]): Promise<number> {
    const { db } = this.#connection;
    if (!this.settle() || db === null)
      throw new GatecastError('STORE_FAILED', 'The database is not available now.', {
        hint: 'The alert `store` says why.',
      });
    return backupDatabase(db, path, files);
  }

  getMeta(key: string): string | null {
    const waiting = this.#ahead.meta.get(key);
    if (waiting !== undefined) return waiting;
    return this.#connection.read((db) => db.prepare(SELECT_META).pluck().get(key) as string | undefined);
  }

  setMeta(key: string, value: string): void {
    this.#ahead.setMeta(key, value);
  }

  /** One slice of trimming; call it every minute or so. Returns rows removed. */
  trim(nowMs: number): number {
    let removed = 0;
    const { clock } = this.#options;
    if (!this.#rejects.isEmpty && clock.monotonic() - this.#settledAt >= REJECTS_MS) this.settle();
    this.#connection.run((db) => {
      this.#measured(() => {
        removed = trimSlice(db, { maxBytes: this.#maxBytes, retentionMs: this.#options.retentionMs }, nowMs);
        this.#rows -= removed;
        if (removed > 0) db.prepare(UPSERT_META).run(ROWS_KEY, String(this.#rows));
      });
    });
    return removed;
  }

  /** `samples` is exact up to a crash of a big store; `pending` counts what a crash would lose. */
  stats(): ReturnType<Store['stats']> {
    return {
      dbBytes: sizeOf(this.#path) + sizeOf(`${this.#path}-wal`) + this.#ahead.journalBytes,
      samples: this.#rows + this.#ahead.rows,
      pending: this.#ahead.unwritten,
      droppedPending: this.#ahead.dropped,
      writtenBytes: this.#written,
    };
  }

  close(): void {
    if (this.#closed) return;
    this.flush();
    this.settle();
    this.#connection.read((db) => db.prepare(UPSERT_META).run(ROWS_KEY, String(this.#rows)));
    this.#closed = true;
    this.#ahead.close();
    this.#connection.close();
  }

  get #maxBytes(): number {
    return Math.min(this.#options.maxBytes, this.#connection.capBytes);
  }

  #writeJournal(): boolean {
    if (this.#ahead.isWritten) return true;
    try {
      this.#measured(() => this.#ahead.write());
      return true;
    } catch (error) {
      this.#connection.degraded(error);
      return false;
    }
  }

  #opened(db: Database): void {
    this.#ids = [];
    const counted =
      sizeOf(this.#path) < COUNT_BELOW_BYTES
        ? db.prepare('SELECT count(*) FROM sample').pluck().get()
        : db.prepare(SELECT_META).pluck().get(ROWS_KEY);
    this.#rows = Number(counted ?? 0);
  }

  /** The database's id of a stream; null when it has none. */
  #idOf(stream: string): number | null {
    const known = this.#ids[this.#ahead.numberOf(stream) ?? -1];
    return (
      known ?? this.#connection.read((db) => db.prepare(SELECT_ID).pluck().get(stream) as number | undefined)
    );
  }

  get #mergeParts(): MergeParts {
    const failed = (error: unknown): void => void this.#connection.failed(error);
    return { ahead: this.#ahead, db: this.#connection.db, failed };
  }

  #measured(write: () => void): void {
    const before = bytesWrittenByThread();
    try {
      write();
    } finally {
      this.#written += bytesWrittenByThread() - before;
    }
  }
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch {
    return 0;
  }
}
