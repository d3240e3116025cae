/**
 * The connection to the database and its fault handling: reports a fault once, frees space on a full disk, moves a
 * damaged file aside, or closes the database and opens it again later. Independent of the stored data.
 */
import { existsSync } from 'node:fs';
import { errorText, GatecastError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import { fileAt } from '../system/files.ts';
import { readMeta, UPSERT_META } from './batch.ts';
import {
  type Database,
  isDamage,
  isDiskFull,
  openDatabase,
  quarantine,
  quarantineLog,
  ReadCheck,
  reservePath,
} from './database.ts';
import { Reserve } from './reserve.ts';
import { salvage } from './salvage.ts';

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
  /** The disk is full: deletes a share of the rows, the oldest, in transactions that need little space; if `mayDelete` is false, none. */
  readonly deleteOldest: (db: Database, mayDelete: boolean) => void;
  /** Rows deleted because the disk was full, since the start. */
  readonly deleted: () => number;
  /** How long all writes must succeed before an outage or a full disk counts as over, ms. */
  readonly steadyMs: number;
}

/** Shortest and longest delay between attempts to open a failed database, ms: it doubles. */
const RETRY_MS = [1000, 15_000] as const;
/** A database that seems damaged, but cannot be read, is moved aside after this time, ms: before, the disk may still recover. */
const UNREADABLE_MS = 60_000;
/** Longest read of a database that seems damaged, and the pause before the next one, ms: readings go to the journal meanwhile. */
const CHECK_MS = [500, 500] as const;
/** Meta key for the path of a damaged database whose data is being copied: an interrupted copy is repeated. */
const SALVAGE_KEY = 'store.salvage';
/** Meta key for the text that makes the file and its log larger, and its size: below the free pages that are given back. */
const ROOM_KEY = 'store.room';
const ROOM_BYTES = 2 ** 19;
/** SQLite's largest number of pages. */
const ANY_PAGES = 0xfffffffe;

export class DatabaseConnection {
  private readonly reserve: Reserve;
  /** Null while the database is unavailable. */
  db: Database | null = null;
  /** The opened file, to notice that it was removed or replaced: SQLite would write on, to a file without a name. */
  private file = '';
  /** A database moved aside while running; its readable data is copied to the next one opened. */
  private damaged: { readonly path: string; readonly reason: string } | null = null;
  /** Since when a database that seems damaged cannot be read, ms of the monotonic clock. */
  private unreadSince: number | null = null;
  /** A database that seems damaged, until it is known whether the system can read it. */
  private suspect: { readonly reason: string; readonly check: ReadCheck } | null = null;
  /** Whether the last attempt to write failed. */
  failing = false;
  /** Whether an outage has been reported and is not over. */
  private outage = false;
  /** Whether the disk was full, and has no room for the reserve yet. */
  isFull = false;
  /** Time since which all writes have succeeded, ms of the monotonic clock; null during a fault. */
  private steadySince: number | null = null;
  private retryMs: number = RETRY_MS[0];
  private retryAt = Number.NEGATIVE_INFINITY;
  /** Number of queries so far that could not read the database. */
  failedReads = 0;

  constructor(private readonly options: ConnectionOptions) {
    this.reserve = new Reserve(reservePath(options.path));
  }

  private get deletedText(): string {
    return `${this.options.deleted()} of the oldest samples were deleted since the start`;
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

  /**
   * Runs `action`, reopening the database if necessary. On failure handles the fault and retries once. Returns whether it succeeded.
   * @param mayDelete whether old rows may be deleted for it on a full disk
   */
  run(action: (db: Database) => void, mayDelete = false): boolean {
    this.closeIfMoved();
    for (let attempt = 0; attempt < 2; attempt++) {
      if (this.options.clock.monotonic() < this.retryAt) return false;
      if (this.suspect !== null && !this.isMovedAside()) return false;
      try {
        const db = this.db ?? this.openNow();
        if (this.isFull) this.limitGrowth(db);
        action(db);
        if (this.isFull) this.checkpoint(db);
        return true;
      } catch (error) {
        if (!this.failed(error, mayDelete)) return false;
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
    if (this.db === null) this.failedReads++;
    return this.db;
  }

  readFailed(error: unknown): void {
    this.failedReads++;
    this.failed(error);
  }

  /** Call after a successful write. An outage is over after a period of success, because writes to an almost full disk alternate between success and failure. */
  succeeded(): void {
    this.failing = false;
    this.unreadSince = null;
    this.retryMs = RETRY_MS[0];
    if (!this.outage && !this.isFull) {
      this.reserve.take();
      return;
    }
    const now = this.options.clock.monotonic();
    this.steadySince ??= now;
    if (now - this.steadySince < this.options.steadyMs) return;
    if (this.outage) this.report('recovered', 'samples are written again');
    this.outage = false;
    if (!this.reserve.take()) return;
    if (this.isFull) this.report('disk-free', `the disk has room again; ${this.deletedText}`);
    this.isFull = false;
    this.db?.pragma(`max_page_count = ${ANY_PAGES}`);
  }

  /** Call after a successful journal write: it counts towards the end of an outage. */
  stillWorks(): void {
    if (!this.failing && (this.outage || this.isFull)) this.succeeded();
  }

  /** Records a fault of the journal; the next `run` shows whether the database still works. */
  degraded(error: unknown): void {
    this.steadySince = null;
    this.failing = true;
    if (!this.outage) this.report('unavailable', errorText(error));
    this.outage = true;
  }

  /** Handles a fault of the database; returns whether an immediate retry makes sense. */
  failed(error: unknown, mayDelete = false): boolean {
    if (isDamage(error)) {
      this.close();
      this.suspect ??= { reason: errorText(error), check: new ReadCheck(this.options.path) };
      if (this.isMovedAside()) return true;
    } else if (isDiskFull(error) && this.makeRoom(mayDelete)) return true;
    else if (this.suspect === null) this.waitLonger();
    this.degraded(error);
    // After a failed sync the cached pages of this connection may differ from the file. On a full disk it stays open: SQLite would
    // remove the log, and could not make it again if something else takes the space.
    if (!isDiskFull(error)) this.close();
    return false;
  }

  private closeIfMoved(): void {
    if (this.db === null) return;
    let found: string;
    try {
      found = fileAt(this.options.path);
    } catch {
      // Nothing is known about the file: a system that fails, or a folder without permission.
      return;
    }
    if (found === this.file) return;
    this.close();
    const what = found === '' ? 'removed' : 'replaced by another file';
    this.degraded(
      new Error(`the database was ${what} while in use; the samples in the former file are lost`),
    );
  }

  /** The log of a file that is no longer there must not be applied to another: SQLite would put its pages over the other's. */
  private moveLogAside(): void {
    if (this.file === '' || fileAt(this.options.path) === this.file) return;
    quarantineLog(this.options.path, this.options.clock.now());
    this.file = '';
  }

  private waitLonger(): void {
    this.retryAt = this.options.clock.monotonic() + this.retryMs;
    this.retryMs = Math.min(this.retryMs * 2, RETRY_MS[1]);
  }

  /** Closes the database for good; `lost` rows could not be written. */
  end(lost: number): void {
    if (this.isFull && this.options.deleted() > 0) this.report('disk-full', this.deletedText);
    if (lost > 0) this.report('dropping', `${lost} rows could not be written before the end; they are lost`);
    this.close();
  }

  close(): void {
    try {
      this.db?.close();
    } catch {
      // Closing may fail on a broken disk; nothing else needs to be released.
    }
    this.db = null;
  }

  /**
   * Checks a database that seems damaged, a part at each call: the disk may just be unreadable at the moment. Sets when to go on, or to
   * try again.
   */
  private isMovedAside(): boolean {
    const { suspect } = this;
    if (suspect === null) return false;
    const isReadable = suspect.check.step(CHECK_MS[0]);
    const now = this.options.clock.monotonic();
    if (isReadable === null) {
      this.retryAt = now + CHECK_MS[1];
      return false;
    }
    this.suspect = null;
    this.unreadSince = isReadable ? null : (this.unreadSince ?? now);
    const isCertain = this.unreadSince === null || now - this.unreadSince >= UNREADABLE_MS;
    if (isCertain && this.moveAside(suspect.reason)) return true;
    this.waitLonger();
    return false;
  }

  /** Moves a damaged file aside, if the disk still accepts writes. */
  private moveAside(reason: string): boolean {
    this.close();
    try {
      this.damaged = { path: quarantine(this.options.path, this.options.clock.now()), reason };
      this.file = '';
      return true;
    } catch {
      return false;
    }
  }

  private openNow(): Database {
    const { path } = this.options;
    this.moveLogAside();
    // Taken before the file is opened: one that is replaced meanwhile differs at the next look.
    const before = fileAt(path);
    const db = openDatabase(path);
    try {
      this.file = before === '' ? fileAt(path) : before;
      if (this.file === '') throw new Error('the database was removed while it was opened');
      this.copyDamaged(db);
    } catch (error) {
      db.close();
      throw error;
    }
    this.db = db;
    this.options.onOpen(db);
    return db;
  }

  /** Copies the data of a database that was moved aside, now or by an earlier process that was killed before the end of this. */
  private copyDamaged(db: Database): void {
    const interrupted = readMeta(db, SALVAGE_KEY);
    const damaged =
      interrupted !== null && existsSync(interrupted)
        ? { path: interrupted, reason: 'copying its data was interrupted' }
        : this.damaged;
    if (damaged === null) return;
    const mark = (statement: string, ...values: string[]): void => {
      try {
        db.prepare(statement).run(...values);
      } catch {
        // On a full disk what fits is copied all the same.
      }
    };
    mark(UPSERT_META, SALVAGE_KEY, damaged.path);
    this.damaged = null;
    const { samples, isLimited } = salvage(damaged.path, db);
    mark('DELETE FROM meta WHERE key = ?', SALVAGE_KEY);
    this.report(
      'quarantined',
      `the database was damaged (${damaged.reason}); it was moved to ${damaged.path}, and ${isLimited ? 'the newest ' : ''}${samples} samples were copied; ${isLimited ? 'older samples' : 'unreadable ones'} are in that file only`,
    );
  }

  /**
   * On a full disk: frees the reserve, checkpoints the WAL and lets the oldest rows be deleted. New rows then use the freed pages, and
   * the file need not grow. Returns whether there is more room now.
   */
  private makeRoom(mayDelete: boolean): boolean {
    if (this.db === null) return false;
    this.steadySince = null;
    if (!this.isFull) this.report('disk-full', 'the oldest samples are deleted to make room for new ones');
    this.isFull = true;
    const hasReserve = this.reserve.release();
    const before = this.options.deleted();
    try {
      // Not truncated: the log needs its space for the deletion.
      this.db.pragma('wal_checkpoint(RESTART)');
      if (hasReserve) this.takeRoom(this.db);
    } catch {
      // The deletion needs less.
    }
    try {
      this.options.deleteOldest(this.db, mayDelete && !hasReserve);
    } catch {
      // What was deleted until then counts.
    }
    return hasReserve || this.options.deleted() > before;
  }

  /** Takes a part of the reserve's space for free pages and the log, before something else takes it all. */
  private takeRoom(db: Database): void {
    try {
      db.prepare(UPSERT_META).run(ROOM_KEY, ' '.repeat(ROOM_BYTES));
    } finally {
      db.prepare('DELETE FROM meta WHERE key = ?').run(ROOM_KEY);
      this.checkpoint(db);
    }
  }

  /**
   * Lets the file grow by half of the free space: the log could not be written back to a file that has no room to grow, and so never
   * be used again.
   */
  private limitGrowth(db: Database): void {
    const pages = db.pragma('page_count', { simple: true }) as number;
    const pageBytes = db.pragma('page_size', { simple: true }) as number;
    const more = Math.floor(this.reserve.freeBytes() / 2 / pageBytes);
    db.pragma(`max_page_count = ${Math.min(ANY_PAGES, pages + more)}`);
  }

  /** On a full disk, after a write: writes the log back to the file, so that its space is used again. Never throws. */
  checkpoint(db: Database): void {
    try {
      db.pragma('wal_checkpoint(PASSIVE)');
    } catch {
      // The next write shows it.
    }
  }

  private report(kind: StoreFault['kind'], message: string): void {
    this.options.onFault({ kind, message });
  }
}
