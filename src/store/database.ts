/**
 * Opens the SQLite file: pragmas, integrity check, migrations, quarantine of a damaged file. The one importer of
 * better-sqlite3.
 */
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { dirname } from 'node:path';
import Sqlite from 'better-sqlite3';
import { GatecastError } from '../errors.ts';
import {
  keepPrivate,
  makeFolder,
  openPrivate,
  PRIVATE_FOLDER,
  syncPath,
  unlessAbsent,
} from '../system/files.ts';
import { MIGRATIONS, SCHEMA_VERSION } from './schema.ts';

/** The file that holds space for the case of a full disk, beside the database at `path`. */
export const reservePath = (path: string): string => `${path}-reserve`;

export type Database = Sqlite.Database;
export type Statement = Sqlite.Statement;

/** The integrity check reads the whole file; above this size it would delay the start, and damage is detected on reading instead. */
const CHECK_BELOW_BYTES = 128 * 2 ** 20;

/**
 * Opens or creates the database at `path`, ready to use.
 * @throws STORE_NEWER if a newer version wrote it; the file is not changed
 * @throws SqliteError if it cannot be opened for other reasons: disk full, read-only, no permission; see `isDamage`
 */
export function openDatabase(path: string): Database {
  makeFolder(dirname(path), PRIVATE_FOLDER);
  const isNew = !existsSync(path) || statSync(path).size === 0;
  // The reserve is made after the first success: a file without content is what a power cut or a repaired disk has left.
  if (isNew && existsSync(path) && existsSync(reservePath(path))) throw new Damaged('it is empty');
  makePrivate(path);
  const db = new Sqlite(path);
  try {
    db.pragma('busy_timeout = 2000');
    if (isNew) {
      // Small pages, because every batch rewrites the header and the last page of the tree.
      db.pragma('page_size = 1024');
      db.pragma('auto_vacuum = INCREMENTAL');
    }
    db.pragma('journal_mode = WAL');
    // A batch must be synced before its journal is removed. Batches are big, so syncs are rare.
    db.pragma('synchronous = FULL');
    db.pragma('wal_autocheckpoint = 1000');
    db.pragma('journal_size_limit = 2097152');
    db.pragma('cache_size = -1024');
    const version = db.pragma('user_version', { simple: true }) as number;
    if (version > SCHEMA_VERSION) {
      const text = `${path} has schema ${version}, but this version supports schemas up to ${SCHEMA_VERSION}`;
      const hint =
        'install the newer gatecast version again, or move the file away to start with an empty store';
      throw new GatecastError('STORE_NEWER', text, { hint });
    }
    if (!isNew && statSync(path).size < CHECK_BELOW_BYTES) {
      const verdict = db.pragma('quick_check(1)', { simple: true });
      if (verdict !== 'ok') throw new Damaged(String(verdict));
    }
    migrate(db, version);
    // A new file survives a power cut only if its folder is synced.
    if (isNew) syncPath(dirname(path));
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** For readers in other threads and processes: the training worker, the command line. Sees everything settled by the agent. */
export function openReadOnly(path: string): Database {
  const db = new Sqlite(path, { readonly: true });
  db.pragma('busy_timeout = 2000');
  return db;
}

/** Opens a copy that no agent uses, for writing. Throws SqliteError. */
export function openCopy(path: string): Database {
  const db = new Sqlite(path, { fileMustExist: true });
  // A single file, without WAL files.
  db.pragma('journal_mode = DELETE');
  return db;
}

/** Keeps held locks reachable: otherwise the garbage collector could close, and thus release, them. */
const holding = new Set<Database>();

/**
 * Takes the kernel's lock on the file at `path` until the returned function is called or the process ends, for any
 * reason. Returns null if another process, or other code in this process, holds it. Throws SqliteError otherwise.
 */
export function holdFile(path: string): (() => void) | null {
  makePrivate(path);
  const db = new Sqlite(path, { timeout: 0 });
  try {
    db.pragma('locking_mode = EXCLUSIVE');
    // Without a file of its own, which a full disk would refuse.
    db.pragma('journal_mode = MEMORY');
    db.exec('BEGIN EXCLUSIVE');
    holding.add(db);
    return () => {
      holding.delete(db);
      db.close();
    };
  } catch (error) {
    db.close();
    if (sqliteCode(error).startsWith('SQLITE_BUSY')) return null;
    throw error;
  }
}

/**
 * SQLite creates its files with the default umask and follows links: so the file is created here first, readable by its owner
 * only. Its WAL gets the same mode. An existing file is not opened here: closing it would release the locks that this
 * process holds on it.
 */
function makePrivate(path: string): void {
  for (const file of [path, `${path}-wal`, `${path}-shm`, `${path}-journal`]) {
    keepPrivate(file);
    // SQLite would say only that it cannot open the database, and not which file belongs to another user.
    unlessAbsent(() => accessSync(file, constants.R_OK));
  }
  const { O_CREAT, O_EXCL, O_RDWR } = constants;
  if (!existsSync(path)) closeSync(openPrivate(path, O_CREAT | O_EXCL | O_RDWR));
}

/** Renames the file and its WAL files; returns the new path. Deletes nothing. */
export function quarantine(path: string, nowMs: number): string {
  const aside = pathAside(path, nowMs);
  if (existsSync(path)) renameSync(path, aside);
  quarantineLog(path, nowMs, aside);
  // The next database begins empty, which is no damage then.
  rmSync(reservePath(path), { force: true });
  return aside;
}

/** Renames the WAL files of a database that is no longer at the path. */
export function quarantineLog(path: string, nowMs: number, aside = pathAside(path, nowMs)): void {
  if (existsSync(`${path}-wal`)) renameSync(`${path}-wal`, `${aside}-wal`);
  rmSync(`${path}-shm`, { force: true });
}

function pathAside(path: string, nowMs: number): string {
  const stamp = new Date(nowMs).toISOString().replace(/[:.]/g, '-');
  let aside = `${path}.damaged-${stamp}`;
  for (let n = 2; existsSync(aside) || existsSync(`${aside}-wal`); n++)
    aside = `${path}.damaged-${stamp}-${n}`;
  return aside;
}

/**
 * Checks whether the system can read the database and its log: SQLite reports damage also where the disk fails. Reads them a part at
 * a time, because reading a large database from a slow card takes many seconds.
 */
export class ReadCheck {
  private readonly files: string[];
  private at = 0;

  constructor(path: string) {
    this.files = [path, `${path}-wal`];
  }

  /** Reads for about this time. @returns null: not finished, call it again */
  step(ms: number): boolean | null {
    const endMs = performance.now() + ms;
    try {
      for (let path = this.files[0]; path !== undefined; path = this.files[0]) {
        if (!this.isReadTo(path, endMs)) return null;
        this.files.shift();
        this.at = 0;
      }
      return true;
    } catch {
      return false;
    }
  }

  /** Reads on. @returns whether the end of the file was reached before the time */
  private isReadTo(path: string, endMs: number): boolean {
    if (unlessAbsent(() => statSync(path)) === null) return true;
    const piece = Buffer.alloc(2 ** 16);
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      do {
        const length = readSync(fd, piece, 0, piece.length, this.at);
        if (length === 0) return true;
        this.at += length;
      } while (performance.now() < endMs);
      return false;
    } finally {
      closeSync(fd);
    }
  }
}

export function isDamage(error: unknown): boolean {
  if (error instanceof Damaged) return true;
  const code = sqliteCode(error);
  return code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB';
}

/** Whether the database is intact, but refuses the values of a row. */
export function isRowRefused(error: unknown): boolean {
  return /^SQLITE_(CONSTRAINT|MISMATCH|TOOBIG|RANGE)/.test(sqliteCode(error)) || error instanceof RangeError;
}

export function isDiskFull(error: unknown): boolean {
  return sqliteCode(error) === 'SQLITE_FULL' || (error as { code?: unknown })?.code === 'ENOSPC';
}

function sqliteCode(error: unknown): string {
  return error instanceof Sqlite.SqliteError ? error.code : '';
}

/** The file can be opened but its structure is damaged. */
class Damaged extends Error {}

/** Runs all migrations after version `from` in one transaction. Throws SqliteError. */
export function migrate(db: Database, from: number, migrations: readonly string[] = MIGRATIONS): void {
  if (from === migrations.length) return;
  db.transaction(() => {
    for (const step of migrations.slice(from)) db.exec(step);
    db.pragma(`user_version = ${migrations.length}`);
  })();
}
