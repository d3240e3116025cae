/**
 * The connection to the database and its fault handling: reports a fault once, frees space on a full disk, moves a
 * damaged file aside, or closes the database and opens it again later. Independent of the stored data.
 */
import { errorText, GatecastError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import { type Database, isDamage, isDiskFull, openDatabase, quarantine } from './database.ts';
import { Reserve } from './reserve.ts';
import { salvage } from './salvage.ts';
import { trimSize, usedBytes } from './trimming.ts';

export interface StoreFault {
  readonly kind: /** Samples are kept in memory alone until `recovered`. */
    | 'unavailable'
    | 'recovered'
    /** A damaged database was moved aside, and another begun with what could still be read. */
    | 'quarantined'
    /** Parts of the journal could not be read, and were put into files of their own. */
    | 'journal-damaged'
    /** A saved state failed its checksum; the one before is used, or none. */
    | 'snapshot-damaged'
    /** The waiting rows reached their bound; the oldest are lost. Reported once per outage. */
    | 'dropping'
    /** The oldest samples are deleted to make room for new ones. Reported once, until `disk-free`. */
    | 'disk-full'
    | 'disk-free'
    /** The database refuses rows for what they hold; they are counted and left out. */
    | 'row-refused';
  readonly message: string;
}

export interface ConnectionOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly onFault: (fault: StoreFault) => void;
  /** Called with every database opened: at start, after a fault, and in the place of a damaged one. */
  readonly onOpen: (db: Database) => void;
  /** Rows were deleted because the disk is full. */
  readonly onTrimmed: (rows: number) => void;
  /** How long everything must work before an outage, or a full disk, counts as over, ms. */
  readonly steadyMs: number;
}

/** Waits between attempts to open a database that failed, ms: doubling. */
const RETRY_MS = [1000, 15_000] as const;

export class DatabaseConnection {
  private readonly options: ConnectionOptions;
  private readonly reserve: Reserve;
  private cap = Number.POSITIVE_INFINITY;
  private database: Database | null = null;
  /** Moved aside while running; what can be read of it is taken over by the next one opened. */
  private damaged: { readonly path: string; readonly reason: string } | null = null;
  private broken = false;
  /** Reported and not over. */
  private outage = false;
  private full = false;
  /** Since when everything has worked, ms of the monotonic clock; null while something does not. */
  private steadySince: number | null = null;
  private retryMs: number = RETRY_MS[0];
  private retryAt = Number.NEGATIVE_INFINITY;

  constructor(options: ConnectionOptions) {
    this.options = options;
    this.reserve = new Reserve(`${options.path}-reserve`);
  }

  /** Null while the disk is away. */
  get db(): Database | null {
    return this.database;
  }

  /** Whether the last attempt to write failed. */
  get failing(): boolean {
    return this.broken;
  }

  /** Largest size that the disk allows: what was left after it was full, until it has room again. */
  get capBytes(): number {
    return this.cap;
  }

  /** Faults other than the one below are reported, not thrown. @throws STORE_NEWER */
  open(): void {
    try {
      this.openNow();
    } catch (error) {
      if (error instanceof GatecastError && error.code === 'STORE_NEWER') throw error;
      this.failed(error);
    }
  }

  /** Runs `action`, on a database opened again if need be. On failure does what helps and tries once more. Returns whether it was done. */
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

  /** Null while the disk is away, when the query fails, and when it finds nothing. */
  read<T>(query: (db: Database) => T | undefined): T | null {
    if (this.database === null) return null;
    try {
      return query(this.database) ?? null;
    } catch (error) {
      this.failed(error);
      return null;
    }
  }

  /** Writing works. An outage is over when it has worked for a while: a disk that is nearly full works and fails in turn. */
  succeeded(): void {
    this.broken = false;
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

  /** The journal could be written: time passes towards the end of an outage. */
  stillWorks(): void {
    if (!this.broken && (this.outage || this.full)) this.succeeded();
  }

  /** Notes a fault of the journal; what the database can still do shows at the next `run`. */
  degraded(error: unknown): void {
    this.steadySince = null;
    this.broken = true;
    if (!this.outage) this.report('unavailable', errorText(error));
    this.outage = true;
  }

  /** Handles a fault of the database; returns whether another try makes sense at once. */
  failed(error: unknown): boolean {
    if (isDamage(error) && this.moveAside(errorText(error))) return true;
    if (isDiskFull(error) && this.makeRoom()) return true;
    this.degraded(error);
    // After a failed sync nothing this connection believes of the file is certain
    this.close();
    this.retryAt = this.options.clock.monotonic() + this.retryMs;
    this.retryMs = Math.min(this.retryMs * 2, RETRY_MS[1]);
    return false;
  }

  close(): void {
    try {
      this.database?.close();
    } catch {
      // a connection to a broken disk may fail to close; the process holds nothing else of it
    }
    this.database = null;
  }

  /** A damaged file makes place for another; not where the disk takes nothing any more. */
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
    const { db, quarantined } = openDatabase(this.options.path, this.options.clock.now());
    const damaged = quarantined ?? this.damaged;
    if (damaged !== null) {
      this.damaged = null;
      const rows = salvage(damaged.path, db);
      this.report(
        'quarantined',
        `the database was damaged (${damaged.reason}); it is now ${damaged.path}, and ${rows} samples were taken over`,
      );
    }
    this.database = db;
    this.options.onOpen(db);
    return db;
  }

  /**
   * Disk full: with the reserve's space, moves the log into the file and deletes the oldest tenth. New rows then go
   * where those were, and the file need not grow.
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
