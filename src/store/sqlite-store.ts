/**
 * The store on SQLite. Layers, newest first: rows in memory -> journal (every flush) -> database (big batches).
 * After a fault in one layer the layers above keep working, so that forecasting continues without a disk. One thread
 * uses this class; others read through `samplesIn`.
 */
import { randomUUID } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { GatecastError } from '../errors.ts';
import type { StreamSnapshot } from '../forecast/engine-contract.ts';
import type { Sample } from '../series/sample.ts';
import type { Clock } from '../system/clock.ts';
import { bytesWrittenByThread } from '../system/facts.ts';
import { AnomalyBuffer, readAnomalies, readNewestAnomalies, type StoredAnomaly } from './anomalies.ts';
import { type BackupFile, backupDatabase } from './backup.ts';
import {
  insertBatch,
  insertStream,
  ROWS_KEY,
  readApplied,
  readMeta,
  SELECT_ID,
  UPSERT_META,
} from './batch.ts';
import type { Database } from './database.ts';
import { DatabaseConnection, type StoreFault } from './database-connection.ts';
import type { MarkSpan } from './marks.ts';
import { type MergeParts, samplesOf, samplesSince, timesBackwards } from './merged.ts';
import { type NamedSample, type SampleTime, sliceEnd, sliceStart } from './reading.ts';
import { RejectCounts } from './reject-counts.ts';
import { readSnapshot, readSnapshotAbout, type SnapshotAbout, snapshotWriter } from './snapshots.ts';
import type { Store, StoredSample } from './store-contract.ts';
import { type Gap, recentGap, trimRows, trimSize, trimSlice } from './trimming.ts';
import { Waiting } from './waiting.ts';

export type { StoreFault } from './database-connection.ts';

export type Durability = 'crash' | 'power';

export interface SqliteStoreOptions {
  /** Folder of `gatecast.db` and the journal; created if it does not exist. */
  readonly dir: string;
  readonly maxBytes: number;
  readonly retentionMs: number;
  /** Most rows held in memory while the disk is unavailable. */
  readonly maxPending?: number;
  /** What flushed samples survive: `crash`: any end of the process; `power`: also a power cut. */
  readonly durability?: Durability;
  /** How long the disk must work before an outage counts as over, ms. */
  readonly steadyMs?: number;
  readonly clock: Clock;
  readonly onFault: (fault: StoreFault) => void;
}

/** File name of the database in `dir`, for `samplesIn`. */
export const DATABASE_FILE = 'gatecast.db';

/** Smallest batch for the database; fewer rows are written only to the journal. */
const BATCH_ROWS = 2048;
const MAX_PENDING = 200_000;
/** Counting rows reads the whole table, so for a bigger file the count in `meta` is used. */
const COUNT_BELOW_BYTES = 32 * 2 ** 20;
/** Most rows counted before a tenth of them is deleted. */
const COUNT_ROWS = 100 * BATCH_ROWS;
const STEADY_MS = 30_000;
/** Time after a long time without samples in which an operator or a time server can put a wrong clock right, ms. */
const DOUBT_MS = 86_400_000;
/** Longest time without samples that says nothing about the clock, ms. */
const LONG_GAP_MS = 7 * 86_400_000;
/** Delay before reading an unreadable journal again, ms. */
const LOAD_AGAIN_MS = 15_000;
/** Longest time between writes of refused-reading counts and anomalies, ms, for a gateway that stores little. */
const EXTRAS_MS = 600_000;

export class SqliteStore implements Store {
  private readonly path: string;
  private readonly waiting: Waiting;
  private readonly connection: DatabaseConnection;
  private readonly rejects = new RejectCounts();
  private readonly anomalies = new AnomalyBuffer();
  /** Database ids, by the number of a stream in `Waiting`. */
  private ids: (number | undefined)[] = [];
  private rows = 0;
  private settledAt = Number.NEGATIVE_INFINITY;
  private written = 0;
  private deletedForSpace = 0;
  /** Most rows while the disk is full: as many as there were then, however much the saved states grow. */
  private maxRows = Number.POSITIVE_INFINITY;
  /** Most rows of a transaction while the disk is full: fewer after a failure, because the log may have no more room. */
  private partRows = BATCH_ROWS;
  /** Whether nothing was written since rows were deleted for space: then no more are. */
  private awaitsWrite = false;
  /** A long time without samples, and when it was noticed (monotonic, ms). */
  private gap: (Gap & { readonly sinceMs: number }) | null = null;
  private refusedRows = 0;
  private damagedParts = 0;
  private dropping = false;
  private closed = false;
  /** Whether the journal of earlier processes has been read. */
  private loaded = false;
  /** Callers of `flush` that wait for a sync: for the running one, and for the next one. */
  private syncing: ((safe: boolean) => void)[] | null = null;
  private nextSync: ((safe: boolean) => void)[] = [];

  private constructor(private readonly options: SqliteStoreOptions) {
    this.path = join(options.dir, DATABASE_FILE);
    this.waiting = new Waiting(options.dir, options.maxPending ?? MAX_PENDING);
    this.connection = new DatabaseConnection({
      path: this.path,
      clock: options.clock,
      steadyMs: options.steadyMs ?? STEADY_MS,
      onFault: options.onFault,
      onOpen: (db) => this.opened(db),
      deleteOldest: (db, mayDelete) => {
        if (this.connection.failing) this.partRows = Math.max(64, this.partRows / 2);
        try {
          if (mayDelete && !this.awaitsWrite) this.deleteTenth(db);
        } finally {
          this.maxRows = Math.max(BATCH_ROWS, this.rows);
        }
      },
      deleted: () => this.deletedForSpace,
    });
  }

  /**
   * Opens the store in `dir`. Also succeeds on a full, read-only or broken disk: the store then keeps rows in memory,
   * reports the fault through `onFault`, and retries at later flushes.
   * @throws STORE_NEWER if a newer version wrote the database
   */
  static open(options: SqliteStoreOptions): SqliteStore {
    const store = new SqliteStore(options);
    store.connection.open();
    store.settle();
    return store;
  }

  append(sample: Sample, mark = 0): void {
    const timeMs = Math.round(sample.timeMs);
    if (!Number.isSafeInteger(timeMs) || !Number.isFinite(sample.value)) {
      this.refusedRows++;
      return;
    }
    const dropped = this.waiting.push(sample.stream, timeMs, sample.value, mark);
    if (!dropped || this.dropping) return;
    this.dropping = true;
    this.options.onFault({
      kind: 'dropping',
      message: `${this.waiting.rows} rows wait for the disk; the oldest are dropped`,
    });
  }

  mark(stream: string, span: MarkSpan): void {
    if (span.marks !== 0) this.waiting.mark(stream, span);
  }

  reject(stream: string, reason: string, atMs: number, count = 1): void {
    this.rejects.add(stream, reason, atMs, count);
  }

  anomaly(stream: string, { timeMs, observed, score }: StoredAnomaly): void {
    if (Number.isFinite(timeMs) && Number.isFinite(observed) && Number.isFinite(score))
      this.anomalies.add({ stream, timeMs: Math.round(timeMs), observed, score });
  }

  /** The newest anomalies of a stream in a span, ascending; `fromMs` inclusive, `toMs` exclusive. */
  anomaliesOf(stream: string, fromMs: number, toMs: number, most: number): StoredAnomaly[] {
    const id = this.idOf(stream);
    const [from, to] = [Math.ceil(fromMs), Math.ceil(toMs)];
    const stored =
      id === null ? [] : (this.connection.read((db) => readAnomalies(db, id, from, to, most)) ?? []);
    const waiting = this.anomalies.of(stream).filter(({ timeMs }) => timeMs >= from && timeMs < to);
    const all = new Map([...stored, ...waiting].map((one) => [one.timeMs, one]));
    return [...all.values()].sort((a, b) => a.timeMs - b.timeMs).slice(-most);
  }

  /** The newest stored anomalies of every stream, ascending; `most` of each. */
  newestAnomalies(most: number): readonly (StoredAnomaly & { readonly stream: string })[] {
    return (this.connection.read((db) => readNewestAnomalies(db, most)) ?? []).reverse();
  }

  /** With `done` returns after writing the journal; one disk sync serves all callers from before its start. */
  flush(done?: (safe: boolean) => void): boolean {
    const written = this.write();
    const { durability } = this.options;
    const { segments } = this.waiting;
    if (written && durability === 'power' && !segments.isSynced) {
      if (done === undefined) return this.syncNow();
      this.nextSync.push(done);
      if (this.syncing === null) void this.sync();
      return true;
    }
    if (written) segments.removeObsolete();
    done?.(written);
    return written;
  }

  /** Moves everything into the database now: for readers in other threads, and before the agent stops. */
  settle(): boolean {
    if (this.closed) return false;
    const nothing = this.waiting.isEmpty && this.rejects.isEmpty && this.anomalies.isEmpty && this.loaded;
    if (nothing && !this.connection.failing) return true;
    const settled = this.connection.run((db) => {
      this.load(db);
      this.measured(() => {
        // A full disk has no room for the log of many rows.
        while (this.connection.isFull && this.waiting.rows > this.partRows) {
          this.insert(db, this.partRows);
          this.waiting.shift(this.partRows);
          this.connection.checkpoint(db);
          this.deleteOldest(db, this.rows - this.maxRows);
        }
        const extras = { rejects: this.rejects, anomalies: this.anomalies, batch: randomUUID() };
        this.insert(db, Number.POSITIVE_INFINITY, extras);
        this.rejects.settled();
        this.anomalies.settled();
        this.waiting.settled();
        this.dropping = false;
      });
      this.settledAt = this.options.clock.monotonic();
    }, true);
    if (!settled) return false;
    this.connection.succeeded();
    this.connection.run((db) => {
      this.rows = Math.max(0, this.rows - trimSize(db, this.options.maxBytes));
      if (this.connection.isFull) this.deleteOldest(db, this.rows - this.maxRows);
      else this.partRows = BATCH_ROWS;
    });
    return true;
  }

  *samples(stream: string, fromMs: number, toMs = Number.MAX_SAFE_INTEGER): Generator<StoredSample> {
    // Get the id first: the query may detect that the database is unavailable.
    const id = this.idOf(stream);
    yield* samplesOf(this.mergeParts(), stream, id, fromMs, toMs);
  }

  /** Samples of all streams, or of some, ascending by time: for the replay at start. `toMs` exclusive. */
  *since(fromMs: number, streams?: readonly string[], toMs?: number): Generator<NamedSample> {
    const only = streams && new Map(streams.map((name) => [name, this.idOf(name)]));
    yield* samplesSince(this.mergeParts(), fromMs, only, toMs);
  }

  sliceEnd(fromMs: number): number {
    return this.connection.read((db) => sliceEnd(db, fromMs)) ?? Number.POSITIVE_INFINITY;
  }

  /** Start of a slice of time that ends before `beforeMs`, with so few rows that reading it blocks for milliseconds only. */
  sliceStart(beforeMs: number): number {
    return this.connection.read((db) => sliceStart(db, beforeMs)) ?? Number.NEGATIVE_INFINITY;
  }

  /** Times of the samples of all streams, newest first, one page at a time; a time may occur twice. */
  newestFirst(): Generator<readonly SampleTime[]> {
    return timesBackwards(this.mergeParts());
  }

  /** Number of queries so far that could not read the database. If it has grown, an answer since then may lack stored data. */
  get failedReads(): number {
    return this.connection.failedReads;
  }

  /** Time of the newest sample, ms; null if there is none. */
  newestMs(): number | null {
    const stored = this.connection.read((db) => db.prepare('SELECT max(time) FROM sample').pluck().get());
    let newest = typeof stored === 'number' ? stored : Number.NEGATIVE_INFINITY;
    this.waiting.forEach((_stream, timeMs) => {
      newest = Math.max(newest, timeMs);
    });
    return Number.isFinite(newest) ? newest : null;
  }

  saveSnapshots(snapshots: readonly StreamSnapshot[]): boolean {
    if (snapshots.length === 0) return true;
    this.flush();
    // A full disk has no room for the log of many states.
    const parts = this.connection.isFull ? snapshots.map((one) => [one]) : [snapshots];
    return parts.every((part) => this.savePart(part));
  }

  private savePart(snapshots: readonly StreamSnapshot[]): boolean {
    return this.connection.run((db) => {
      this.measured(() =>
        db.transaction(() => {
          const nowMs = this.options.clock.now();
          const write = snapshotWriter(db);
          for (const snapshot of snapshots)
            write(this.idOf(snapshot.stream) ?? insertStream(db, snapshot.stream), snapshot, nowMs);
        })(),
      );
    });
  }

  loadSnapshot(stream: string): StreamSnapshot | null {
    const id = this.idOf(stream);
    if (id === null) return null;
    const damaged = (message: string): void => this.options.onFault({ kind: 'snapshot-damaged', message });
    return this.connection.read((db) => readSnapshot(db, id, stream, damaged));
  }

  /** Facts about the newest state, without reading it; null if there is none. */
  snapshotAbout(stream: string): SnapshotAbout | null {
    const id = this.idOf(stream);
    return id === null ? null : this.connection.read((db) => readSnapshotAbout(db, id));
  }

  /** The newest state contains the samples before this time, ms. */
  replayFromMs(stream: string): number | null {
    return this.snapshotAbout(stream)?.replayFromMs ?? null;
  }

  /**
   * Makes the stream's samples and states inaccessible; the next trims delete the rows.
   * @returns false, without any change, while the database cannot be written
   */
  forget(stream: string): boolean {
    if (!this.settle()) return false;
    this.rejects.forget(stream);
    this.anomalies.forget(stream);
    const id = this.idOf(stream);
    if (id === null) return true;
    return this.connection.run((db) => {
      db.transaction(() => {
        db.prepare('DELETE FROM snapshot WHERE stream = ?').run(id);
        db.prepare('DELETE FROM reject WHERE stream = ?').run(id);
        db.prepare('DELETE FROM anomaly WHERE stream = ?').run(id);
        db.prepare('DELETE FROM stream WHERE id = ?').run(id);
        db.prepare('INSERT INTO forgotten (stream, cursor) VALUES (?, ?)').run(id, Number.MIN_SAFE_INTEGER);
      })();
      this.ids = [];
    });
  }

  /**
   * Gives streams other names, with all their stored data, and stores a value in the same transaction.
   * @param names the new names, by the former ones; a stream whose new name has data already is left out
   * @param key of the value
   * @param value made from the former names of the renamed streams
   * @returns these names; none while the database cannot be written
   */
  rename(
    names: ReadonlyMap<string, string>,
    key: string,
    value: (renamed: ReadonlySet<string>) => string,
  ): ReadonlySet<string> {
    const renamed = new Set<string>();
    // The waiting rows and the journal have the former names.
    if (!this.settle() || !this.loaded) return renamed;
    const done = this.connection.run((db) => {
      const update = db.prepare('UPDATE OR IGNORE stream SET name = ? WHERE name = ?');
      db.transaction(() => {
        // A second attempt finds nothing to rename if the first one's commit was wrongly reported as failed: so its names are kept.
        for (const [from, to] of names) if (update.run(to, from).changes > 0) renamed.add(from);
        if (renamed.size > 0) db.prepare(UPSERT_META).run(key, value(renamed));
      })();
    });
    this.ids = [];
    return done ? renamed : new Set();
  }

  /** @returns false while the database cannot be written */
  dropSnapshots(stream: string): boolean {
    return this.connection.run((db) => {
      const id = db.prepare(SELECT_ID).pluck().get(stream);
      if (id !== undefined) db.prepare('DELETE FROM snapshot WHERE stream = ?').run(id);
    });
  }

  /**
   * Copies the database, with all samples so far and `files`, to `path` (see `backup.ts`). Forecasting continues
   * meanwhile. @returns bytes @throws GatecastError STORE_FAILED if it cannot be read or the disk is full
   */
  async backup(path: string, files: readonly BackupFile[]): Promise<number> {
    const { db } = this.connection;
    if (!this.settle() || db === null)
      throw new GatecastError('STORE_FAILED', 'The database is currently not available.', {
        hint: 'See the alert `store` for the cause.',
      });
    return backupDatabase(db, path, files);
  }

  getMeta(key: string): string | null {
    const waiting = this.waiting.meta.get(key);
    if (waiting !== undefined) return waiting;
    return this.connection.read((db) => readMeta(db, key));
  }

  setMeta(key: string, value: string): void {
    this.waiting.setMeta(key, value);
  }

  /** Runs one slice of trimming; call it about every minute. Returns rows removed. */
  trim(nowMs: number): number {
    let removed = 0;
    const { clock } = this.options;
    const hasExtras = !this.rejects.isEmpty || !this.anomalies.isEmpty;
    if (hasExtras && clock.monotonic() - this.settledAt >= EXTRAS_MS) this.settle();
    this.connection.run((db) => {
      this.measured(() => {
        removed = trimSlice(db, this.options, this.doubts(db, nowMs) ? null : nowMs);
        this.rows = Math.max(0, this.rows - removed);
        if (removed > 0) this.keepRows(db);
      });
    });
    return removed;
  }

  /** `samples` may be inexact after a crash of a big store; `pending` counts rows that a crash would lose. */
  stats(): ReturnType<Store['stats']> {
    return {
      dbBytes: sizeOf(this.path) + sizeOf(`${this.path}-wal`) + this.waiting.segments.bytes,
      samples: this.rows + this.waiting.rows,
      pending: this.waiting.unwritten,
      droppedPending: this.waiting.dropped,
      deletedForSpace: this.deletedForSpace,
      refusedRows: this.refusedRows,
      damagedParts: this.damagedParts,
      writtenBytes: this.written,
    };
  }

  close(): void {
    if (this.closed) return;
    this.flush();
    this.settle();
    this.connection.read((db) => this.keepRows(db));
    this.closed = true;
    this.waiting.segments.close();
    this.connection.end(this.waiting.unwritten);
  }

  /** Whether the clock may be wrong, so that the age of samples says nothing: for a day after a long time without samples was noticed. */
  private doubts(db: Database, nowMs: number): boolean {
    const monotonicMs = this.options.clock.monotonic();
    const gap = recentGap(db, nowMs, Math.max(LONG_GAP_MS, this.options.retentionMs / 10));
    // One that begins after the last one's end is another: the clock may have gone wrong again.
    const known = gap !== null && gap.fromMs < (this.gap?.endMs ?? gap.fromMs) ? this.gap : null;
    this.gap = gap && { ...gap, sinceMs: known?.sinceMs ?? monotonicMs };
    return this.gap !== null && monotonicMs - this.gap.sinceMs < DOUBT_MS;
  }

  private keepRows(db: Database): void {
    db.prepare(UPSERT_META).run(ROWS_KEY, String(this.rows));
  }

  /** Writes waiting rows. Returns whether everything is in the journal or the database. */
  private write(): boolean {
    if (this.closed) return false;
    const unread = !this.loaded && this.options.clock.monotonic() - this.settledAt >= LOAD_AGAIN_MS;
    // Try the database first, because only its success ends an outage.
    if ((this.connection.failing || unread) && this.settle()) return true;
    if (!this.writeJournal()) return this.settle();
    if (this.waiting.rows >= BATCH_ROWS) this.settle();
    else this.connection.stillWorks();
    return true;
  }

  private writeJournal(): boolean {
    if (this.waiting.isWritten) return true;
    try {
      this.measured(() => this.waiting.write());
      return true;
    } catch (error) {
      this.connection.degraded(error);
      return false;
    }
  }

  private syncNow(): boolean {
    try {
      this.waiting.segments.syncNow();
    } catch (error) {
      this.syncFailed(error);
      return this.settle();
    }
    this.waiting.segments.removeObsolete();
    return true;
  }

  /** Runs one sync after the other while callers wait. */
  private async sync(): Promise<void> {
    while (this.nextSync.length > 0) {
      this.syncing = this.nextSync;
      this.nextSync = [];
      let safe = true;
      try {
        await this.waiting.segments.sync();
        this.waiting.segments.removeObsolete();
      } catch (error) {
        this.syncFailed(error);
        safe = this.settle();
      }
      for (const done of this.syncing) done(safe);
    }
    this.syncing = null;
  }

  /** Writes all waiting rows again, because the journal's content on disk is unknown. */
  private syncFailed(error: unknown): void {
    this.waiting.rejournal();
    this.connection.degraded(error);
  }

  /** Loads the journal, once it is known how much of it the database contains. */
  private load(db: Database): void {
    if (this.loaded) return;
    const { damaged, error } = this.waiting.load(readApplied(db));
    this.loaded = error === null;
    if (error !== null) this.connection.degraded(error);
    if (damaged.length === 0) return;
    this.damagedParts += damaged.length;
    const bytes = damaged.reduce((sum, part) => sum + part.bytes.length, 0);
    const message = `${damaged.length} parts of the journal (${bytes} bytes) are damaged; the rest was read`;
    this.options.onFault({ kind: 'journal-damaged', message });
  }

  private reportRefused(rows: number): void {
    this.refusedRows += rows;
    this.options.onFault({ kind: 'row-refused', message: `the database refuses ${rows} rows` });
  }

  /** Inserts waiting rows in one transaction. Once it is committed, nothing here may fail. */
  private insert(db: Database, most: number, extras: Parameters<typeof insertBatch>[4] = null): void {
    const known = { ids: this.ids, rows: this.rows };
    const { ids, added, refused } = db.transaction(() =>
      insertBatch(db, this.waiting, known, most, extras),
    )();
    this.ids = ids;
    this.rows += added;
    this.awaitsWrite = false;
    if (refused > 0) this.reportRefused(refused);
  }

  private deleteTenth(db: Database): void {
    // The known number may be too low after a crash of a former version.
    const count = db.prepare('SELECT count(*) FROM (SELECT 1 FROM sample LIMIT ?)').pluck();
    const found = count.get(COUNT_ROWS) as number;
    this.rows = Math.max(this.rows, found);
    const before = this.deletedForSpace;
    try {
      this.deleteOldest(db, Math.ceil(found / 10));
    } finally {
      this.awaitsWrite = this.deletedForSpace > before;
    }
  }

  /** Deletes the oldest rows because the disk is full: in parts, whose log is small and used again. */
  private deleteOldest(db: Database, rows: number): void {
    for (let left = rows; left > 0; ) {
      const removed = trimRows(db, Math.min(left, this.partRows));
      if (removed === 0) return;
      left -= removed;
      this.rows -= removed;
      this.deletedForSpace += removed;
      this.connection.checkpoint(db);
    }
  }

  private opened(db: Database): void {
    this.ids = [];
    const counted =
      sizeOf(this.path) < COUNT_BELOW_BYTES
        ? db.prepare('SELECT count(*) FROM sample').pluck().get()
        : readMeta(db, ROWS_KEY);
    this.rows = Number(counted ?? 0);
  }

  /** Database id of a stream; null if it has none. */
  private idOf(stream: string): number | null {
    const known = this.ids[this.waiting.numberOf(stream) ?? -1];
    return (
      known ?? this.connection.read((db) => db.prepare(SELECT_ID).pluck().get(stream) as number | undefined)
    );
  }

  private mergeParts(): MergeParts {
    const failed = (error: unknown): void => this.connection.readFailed(error);
    return { waiting: this.waiting, db: this.connection.toRead(), failed };
  }

  private measured(write: () => void): void {
    const before = bytesWrittenByThread();
    try {
      write();
    } finally {
      this.written += bytesWrittenByThread() - before;
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
