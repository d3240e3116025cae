/**
 * A backup in one file: the database at one instant, with further files (models, config) in a table `sqlar`. The
 * file is both a `gatecast.db` that an agent can use and an archive that `sqlite3 -A` unpacks
 * (https://sqlite.org/sqlar.html). It is written under a temporary name, synced and renamed, so that an existing
 * backup is always complete.
 */
import {
  closeSync,
  constants,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { GatecastError } from '../errors.ts';
import { makeFolder, openPrivate, PRIVATE_FOLDER, syncPath, tryRemove } from '../system/files.ts';
import { type Database, openCopy } from './database.ts';

/** A file to store with the database. */
export interface BackupFile {
  /** Path within the archive, such as `models/base/manifest.json`. */
  readonly name: string;
  readonly path: string;
}

/** Pages copied before other tasks can run: some milliseconds on a small board. */
const PAGES_PER_TURN = 256;
const NAME = /^gatecast-\d{8}T\d{6}Z(?:-\d+)?\.db$/;

/** @returns bytes of the file. @throws GatecastError STORE_FAILED; `path` then does not exist */
export async function backupDatabase(
  db: Database,
  path: string,
  files: readonly BackupFile[],
): Promise<number> {
  const partial = `${path}.partial`;
  try {
    makeFolder(dirname(path), PRIVATE_FOLDER);
    checkRoom(db, dirname(path), files);
    tryRemove(partial);
    const { O_CREAT, O_EXCL, O_RDWR } = constants;
    closeSync(openPrivate(partial, O_CREAT | O_EXCL | O_RDWR));
    await db.backup(partial, { progress: () => PAGES_PER_TURN });
    archive(partial, files);
    syncPath(partial);
    renameSync(partial, path);
    syncPath(dirname(path));
    return statSync(path).size;
  } catch (cause) {
    // What is left is removed by the next backup.
    for (const left of [partial, `${partial}-journal`]) tryRemove(left);
    if (cause instanceof GatecastError) throw cause;
    throw new GatecastError('STORE_FAILED', `The backup failed: ${(cause as Error).message}`, { cause });
  }
}

/** Refuses a backup that would fill the disk. */
function checkRoom(db: Database, folder: string, files: readonly BackupFile[]): void {
  const pages = db.pragma('page_count', { simple: true }) as number;
  const bytes = pages * (db.pragma('page_size', { simple: true }) as number);
  const wanted = 1.2 * (bytes + files.reduce((sum, { path }) => sum + statSync(path).size, 0));
  const { bavail, bsize } = statfsSync(folder);
  const text = `There is not enough disk space for a backup of ${Math.round(wanted)} bytes.`;
  if (bavail * bsize < 2 * wanted) throw new GatecastError('STORE_FAILED', text);
}

function archive(path: string, files: readonly BackupFile[]): void {
  const db = openCopy(path);
  try {
    db.exec(`DROP TABLE IF EXISTS sqlar;
      CREATE TABLE sqlar (name TEXT PRIMARY KEY, mode INT, mtime INT, sz INT, data BLOB)`);
    const insert = db.prepare('INSERT INTO sqlar (name, mode, mtime, sz, data) VALUES (?, ?, ?, ?, ?)');
    db.transaction(() => {
      for (const { name, path } of files) {
        const { mode, mtimeMs } = statSync(path);
        const data = readFileSync(path);
        insert.run(name, mode, Math.floor(mtimeMs / 1000), data.length, data);
      }
    })();
  } finally {
    db.close();
  }
}

/** Every file below `folder`, with its relative path; links are skipped. Empty if the folder does not exist. */
export function filesBelow(folder: string, prefix: string): BackupFile[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).flatMap((entry) => {
    const path = join(folder, entry);
    const name = `${prefix}/${entry}`;
    const stats = lstatSync(path);
    if (stats.isDirectory()) return filesBelow(path, name);
    return stats.isFile() ? [{ name, path }] : [];
  });
}

/** An unused file name with the date and time. */
export function backupName(folder: string, nowMs: number): string {
  const stamp = new Date(nowMs).toISOString().slice(0, 19).replace(/[-:]/g, '');
  let name = `gatecast-${stamp}Z.db`;
  for (let n = 2; existsSync(join(folder, name)); n++) name = `gatecast-${stamp}Z-${n}.db`;
  return name;
}

/** Removes all backups except the newest `keep`, and partial files left by a crash. @returns names removed */
export function pruneBackups(folder: string, keep: number): string[] {
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder);
  const written = names
    .filter((name) => NAME.test(name))
    .map((name) => ({ name, atMs: statSync(join(folder, name)).mtimeMs }))
    .sort((a, b) => b.atMs - a.atMs || (a.name < b.name ? 1 : -1));
  const removed = [
    ...written.slice(keep).map(({ name }) => name),
    ...names.filter((name) => name.endsWith('.partial') || name.endsWith('.partial-journal')),
  ];
  for (const name of removed) rmSync(join(folder, name), { force: true });
  return removed;
}
