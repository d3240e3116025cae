/**
 * Writes files that survive a power cut: writes a temporary file, syncs it, renames it, and syncs the folder. A reader sees
 * the old or the new content, never a mixture.
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { open, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { readNamed } from '../errors.ts';

/** Files in the data directory are readable only by their owner, whatever the umask. */
const PRIVATE_FILE = 0o600;
export const PRIVATE_FOLDER = 0o700;

/**
 * Replaces `path` atomically and durably. The temporary file is in the same folder, because a rename across file systems is
 * a copy. Throws the system's error; the old content is then unchanged.
 */
export function writeFileAtomic(path: string, content: string | Uint8Array, mode = PRIVATE_FILE): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    // left by a crash of a process with the same pid
    rmSync(temporary, { force: true });
    writeFileSync(temporary, content, { flag: 'wx', mode, flush: true });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncPath(dirname(path));
}

/** As `writeFileAtomic`, but the thread pool waits for the disk. Rejects with the system's error. */
export async function writeFileAtomicAsync(
  path: string,
  content: string | Uint8Array,
  mode = PRIVATE_FILE,
): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await rm(temporary, { force: true });
    await writeFile(temporary, content, { flag: 'wx', mode, flush: true });
    renameSync(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncPathAsync(dirname(path));
}

/**
 * Opens a file with permissions for its owner only, and removes other permissions of an existing file. Throws the system's
 * error, also for symbolic links and other files that are not regular.
 * @param flags of `open`
 */
export function openPrivate(path: string, flags: number): number {
  const fd = openSync(path, flags | constants.O_NOFOLLOW | constants.O_NONBLOCK, PRIVATE_FILE);
  try {
    const { mode } = fstatSync(fd);
    if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw new Error(`${path} is not a regular file`);
    if ((mode & 0o777) !== PRIVATE_FILE) tryChmod(() => fchmodSync(fd, PRIVATE_FILE));
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Ignores errors for another user's file or a read-only disk, which are still usable. */
function tryChmod(change: () => void): void {
  try {
    change();
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code !== 'EPERM' && code !== 'EROFS') throw error;
  }
}

/** Removes others' permissions of an existing file that is opened elsewhere. */
export function keepPrivate(path: string): void {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return;
  if (stats.isSymbolicLink()) throw new Error(`${path} is a symbolic link, which is not allowed here`);
  if (!stats.isFile()) throw new Error(`${path} is not a regular file`);
  if ((stats.mode & 0o777) !== PRIVATE_FILE) tryChmod(() => chmodSync(path, PRIVATE_FILE));
}

/**
 * The result of reading a file or folder; null if it does not exist. Throws the system's error if it cannot be read: `existsSync` answers
 * false then, and a file that only seems to be absent is soon replaced.
 */
export function unlessAbsent<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ENOENT') return null;
    throw error;
  }
}

/** Identifies the file at a path, to tell whether it was removed or replaced; empty if it is absent. Throws other errors of the system. */
export function fileAt(path: string): string {
  const found = unlessAbsent(() => statSync(path));
  return found === null ? '' : `${found.dev}:${found.ino}`;
}

/** Names in a folder; none if it cannot be read. */
export function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** @returns whether there is no file at the path now */
export function tryRemove(path: string): boolean {
  try {
    rmSync(path, { force: true });
    return true;
  } catch {
    return false;
  }
}

/** Maximum time to read a pipe or a device, ms. */
const PIPE_MS = 5000;
const PIPE_PAUSE_MS = 20;

/**
 * Reads a file of at most `mostBytes`. Also ends within seconds for endless files, such as `/dev/zero` or a pipe without a
 * writer. Throws the system's error, or an Error with the reason.
 */
export function readBounded(path: string, mostBytes: number): Buffer {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = fstatSync(fd);
    if (stats.isDirectory()) throw new Error('it is a folder');
    if (stats.isFile() && stats.size > mostBytes) throw tooLarge(mostBytes);
    const untilMs = performance.now() + PIPE_MS;
    const parts: Buffer[] = [];
    let total = 0;
    for (;;) {
      const part = Buffer.allocUnsafe(Math.min(2 ** 20, Math.max(4096, stats.size - total)));
      const length = readReady(fd, part);
      if (length === 0) return Buffer.concat(parts);
      if (length !== null) {
        total += length;
        parts.push(part.subarray(0, length));
        if (total > mostBytes) throw tooLarge(mostBytes);
      } else if (performance.now() > untilMs) {
        throw new Error(`it did not end within ${PIPE_MS / 1000} s`);
      } else {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PIPE_PAUSE_MS);
      }
    }
  } finally {
    closeSync(fd);
  }
}

/**
 * `readBounded` for a file that a user has named.
 * @param label how the error names the file
 * @throws GatecastError FILE_UNREADABLE
 */
export function readInput(path: string, mostBytes: number, label = path, hint?: string): Buffer {
  return readNamed(label, () => readBounded(path, mostBytes), hint);
}

/** Number of bytes read; 0 at the end, null if none are available yet. */
function readReady(fd: number, into: Buffer): number | null {
  try {
    return readSync(fd, into);
  } catch (error) {
    if ((error as { code?: unknown }).code === 'EAGAIN') return null;
    throw error;
  }
}

const tooLarge = (mostBytes: number): Error =>
  new Error(`it is larger than ${mostBytes >= 2 ** 20 ? `${mostBytes / 2 ** 20} MB` : `${mostBytes} bytes`}`);

/** Syncs a file, or a folder, which makes renames and new files in it durable. Throws the system's error. */
export function syncPath(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** As `syncPath`, but the thread pool waits for the disk. */
export async function syncPathAsync(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * Writes all bytes; a single `write` may write fewer.
 * @param position in the file; null: the current position
 */
export function writeAll(fd: number, bytes: Uint8Array, position: number | null = null): void {
  let done = 0;
  while (done < bytes.length)
    done += writeSync(fd, bytes, done, bytes.length - done, position === null ? null : position + done);
}

/**
 * Creates a folder and its parents. Level by level, because Node's recursive mkdir never returns if the system refuses a
 * folder whose parent exists, for example below /proc. Throws the system's error.
 */
export function makeFolder(path: string, mode = 0o777): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
  const parent = dirname(path);
  if (parent !== path) makeFolder(parent, mode);
  try {
    mkdirSync(path, { mode });
    if (mode === PRIVATE_FOLDER) chmodSync(path, mode);
  } catch (error) {
    // another process may have created it meanwhile
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw error;
  }
}

/** Lower-case hex. */
export function sha256(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}
