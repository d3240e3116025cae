/**
 * The connection to the database and its fault handling: reports a fault once, frees space on a full disk, moves a
 * damaged file aside, or closes the database and opens it again later. Independent of the stored data.
 */
import { errorText, GatecastError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import {
  canBeRead,
  type Database,
  isDamage,
  isDiskFull,
  openDatabase,
  quarantine,
  reservePath,
} from './database.ts';
import { Reserve } from './reserve.ts';
import { salvage } from './salvage.ts';
import { trimSize, usedBytes } from './trimming.ts';

export interface StoreFault {
  readonly kind: /** Samples are kept in memory alone until `recovered`. */
    | 'unavailable'
    | 'recovered'
    /** A damaged database was moved aside and replaced by a new one with all readable data. */
    | 'quarantined'
    /** Parts of the journal could not be read and were copied to separate files. */
    | 'journal-damaged'
    /** A saved state failed its checksum; the previous one is used, or none. */
    | 'snapshot-damaged'
    /** The limit of waiting rows was reached; the oldest are lost. Reported once per outage. */
    | 'dropping'
    /** The oldest samples are deleted to make room for new ones. Reported once, until `disk-free`. */
    | 'disk-full'
    | 'disk-free'
    /** The database refuses rows because of their values; they are counted and skipped. */
    | 'row-refused';
  readonly message: string;
}

interface ConnectionOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly onFault: (fault: StoreFault) => void;
  /** Called after every opening of a database: at start, after a fault, and as a replacement of a damaged one. */
  readonly onOpen: (db: Database) => void;
  /** Rows were deleted because the disk is full. */
  readonly onTrimmed: (rows: number) => void;
  /** How long all writes must succeed before an outage or a full disk counts as over, ms. */
  readonly steadyMs: number;
}

/** Shortest and longest delay between attempts to open a failed database, ms: it doubles. */
const RETRY_MS = [1000, 15_000] as const;
/** A database that seems damaged, but cannot be read, is moved aside after this time, ms: before, the disk may still recover. */
const UNREADABLE_MS = 60_000;

export class DatabaseConnection {
  private readonly reserve: Reserve;
  private cap = Number.POSITIVE_INFINITY;
  private database: Database | null = null;
  /** A database moved aside while running; its readable data is copied to the next one opened. */
  private damaged: { readonly path: string; readonly reason: string } | null = null;
  /** Since when a database that seems damaged cannot be read, ms of the monotonic clock. */
  private unreadSince: number | null = null;
  private broken = false;
  /** Whether an outage has been reported and is not over. */
  private outage = false;
  private full = false;
  /** Time since which all writes have succeeded, ms of the monotonic clock; null during a fault. */
  private steadySince: number | null = null;
  private retryMs: number = RETRY_MS[0];
  private retryAt = Number.NEGATIVE_INFINITY;
  private unanswered = 0;

  constructor(private readonly options: ConnectionOptions) {
    this.reserve = new Reserve(reservePath(options.path));
  }

  /** Null while the database is unavailable. */
  get db(): Database | null {
    return this.database;
  }

  /** Whether the last attempt to write failed. */
  get failing(): boolean {
    return this.broken;
  }

  /** Number of queries so far that could not read the database. */
  get failedReads(): number {
    return this.unanswered;
  }

  /** Upper limit of the database size: its size after the disk was full, until the disk has free space again. */
  get capBytes(): number {
    return this.cap;
  }

  /** Reports all other faults instead of throwing. @throws STORE_NEWER */
  open(): void {
    try {
      this.openNow();
    } catch (error) {
      if (error instanceof GatecastError && error.code === 'STORE_NEWER') throw error;
      this.failed(error);
    }
  }

  /** Runs `action`, reopening the database if necessary. On failure handles the fault and retries once. Returns whether it succeeded. */
  run(action: (db: Database) => void): boolean {
    for (let attempt = 0; attempt < 2; attempt++) {
      if (this.database === null && this.options.clock.monotonic() < this.retryAt) return false;
      try {
        action(this.database ?? this.openNow());
        return true;
      } catch (error) {
        if (!this.failed(error)) return false;
      }
    }
    return false;
  }

  /** Null if the query finds nothing, or if the database cannot be read: `failedReads` then increases. */
  read<T>(query: (db: Database) => T | undefined): T | null {
    const db = this.toRead();
    if (db === null) return null;
    try {
      return query(db) ?? null;
    } catch (error) {
      this.readFailed(error);
      return null;
    }
  }

  /** The database for a query outside of `read`; null if it is unavailable. Such a query reports an error to `readFailed`. */
  toRead(): Database | null {
    if (this.database === null) this.unanswered++;
    return this.database;
  }

  readFailed(error: unknown): void {
    this.unanswered++;
    this.failed(error);
  }

  /** Call after a successful write. An outage is over after a period of success, because writes to an almost full disk alternate between success and failure. */
  succeeded(): void {
    this.broken = false;
    this.unreadSince = null;
    this.retryMs = RETRY_MS[0];
    if (!this.outage && !this.full) {
      this.reserve.take();
      return;
    }
    const now = this.options.clock.monotonic();
    this.steadySince ??= now;
    if (now - this.steadySince < this.options.steadyMs) return;
    if (this.outage) this.report('recovered', 'samples are written again');
    this.outage = false;
    if (!this.reserve.take()) return;
    this.cap = Number.POSITIVE_INFINITY;
    if (this.full) this.report('disk-free', 'the disk has room again');
    this.full = false;
  }

  /** Call after a successful journal write: it counts towards the end of an outage. */
  stillWorks(): void {
    if (!this.broken && (this.outage || this.full)) this.succeeded();
  }

  /** Records a fault of the journal; the next `run` shows whether the database still works. */
  degraded(error: unknown): void {
    this.steadySince = null;
    this.broken = true;
    if (!this.outage) this.report('unavailable', errorText(error));
    this.outage = true;
  }

  /** Handles a fault of the database; returns whether an immediate retry makes sense. */
  failed(error: unknown): boolean {
    if (isDamage(error) && this.isCertain() && this.moveAside(errorText(error))) return true;
    if (isDiskFull(error) && this.makeRoom()) return true;
    this.degraded(error);
    // After a failed sync the cached pages of this connection may differ from the file.
    this.close();
    this.retryAt = this.options.clock.monotonic() + this.retryMs;
    this.retryMs = Math.min(this.retryMs * 2, RETRY_MS[1]);
    return false;
  }

  close(): void {
    try {
      this.database?.close();
    } catch {
      // Closing may fail on a broken disk; nothing else needs to be released.
    }
    this.database = null;
  }

  /** Whether the database is really damaged: a disk that cannot be read at the moment gives the same errors. */
  private isCertain(): boolean {
    this.close();
    const now = this.options.clock.monotonic();
    if (canBeRead(this.options.path)) this.unreadSince = null;
    else this.unreadSince ??= now;
    return this.unreadSince === null || now - this.unreadSince >= UNREADABLE_MS;
  }

  /** Moves a damaged file aside, if the disk still accepts writes. */
  private moveAside(reason: string): boolean {
    this.close();
    try {
      this.damaged = { path: quarantine(this.options.path, this.options.clock.now()), reason };
      return true;
    } catch {
      return false;
    }
  }

  private openNow(): Database {
    const db = openDatabase(this.options.path);
    const { damaged } = this;
    if (damaged !== null) {
      this.damaged = null;
      const rows = salvage(damaged.path, db);
      this.report(
        'quarantined',
        `the database was damaged (${damaged.reason}); it was moved to ${damaged.path}, and ${rows} samples were recovered`,
      );
    }
    this.database = db;
    this.options.onOpen(db);
    return db;
  }

  /**
   * On a full disk: frees the reserve, checkpoints the WAL and deletes the oldest tenth of the rows. New rows then use
   * the freed pages, and the file need not grow.
   */
  private makeRoom(): boolean {
    if (this.database === null) return false;
    this.steadySince = null;
    if (!this.full) this.report('disk-full', 'the oldest samples are deleted to make room for new ones');
    this.full = true;
    this.reserve.release();
    try {
      this.database.pragma('wal_checkpoint(TRUNCATE)');
      const target = usedBytes(this.database) * 0.9;
      let removed = 0;
      for (let slice = 1; slice > 0; removed += slice) slice = trimSize(this.database, target);
      this.database.pragma('wal_checkpoint(TRUNCATE)');
      this.cap = target;
      this.options.onTrimmed(removed);
      return removed > 0;
    } catch {
      return false;
    }
  }

  private report(kind: StoreFault['kind'], message: string): void {
    this.options.onFault({ kind, message });
  }
}
