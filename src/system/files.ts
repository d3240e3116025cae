/**
 * Writes files that survive a power cut: to a temporary file, synced, renamed into place, and the folder synced. A
 * reader sees the old content or the new content, never a mixture.
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
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** What the data directory holds is for its owner alone, whatever the process's umask is. */
const PRIVATE_FILE = 0o600;
export const PRIVATE_FOLDER = 0o700;

/**
 * Replaces `path` atomically and durably. The temporary file stands in the same folder (a rename across file systems
 * is a copy). Throws the system's error; the old content is then untouched.
 */
export function writeFileAtomic(path: string, content: string | Uint8Array, mode = PRIVATE_FILE): void {
  const temporary = `${path}.${process.pid}.tmp`;
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
  try {
    // What a crash of a process of the same number left.
    rmSync(temporary, { force: true });
    const fd = openSync(temporary, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, mode);
    try {
      writeAll(fd, bytes);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncFolder(dirname(path));
}

/** As `writeFileAtomic`, but the thread pool waits for the disk. Rejects with the system's error. */
export async function writeFileAtomicAsync(
  path: string,
  content: string | Uint8Array,
  mode = PRIVATE_FILE,
): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
  try {
    await rm(temporary, { force: true });
    const file = await open(temporary, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, mode);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    renameSync(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/**
 * Opens a file that only its owner may read or write, and takes away what others may do with one that is there. Throws the
 * system's error, also where a symbolic link or anything else that is no regular file stands in its place.
 * @param flags of `open`
 */
export function openPrivate(path: string, flags: number): number {
  const fd = openSync(path, flags | constants.O_NOFOLLOW | constants.O_NONBLOCK, PRIVATE_FILE);
  try {
    const { mode } = fstatSync(fd);
    if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw new Error(`${path} is no regular file`);
    if ((mode & 0o777) !== PRIVATE_FILE) tryChmod(() => fchmodSync(fd, PRIVATE_FILE));
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Another user's file, or a disk that is read-only: the content can be used all the same. */
function tryChmod(change: () => void): void {
  try {
    change();
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code !== 'EPERM' && code !== 'EROFS') throw error;
  }
}

/** The same for a file that something else opens by its path; nothing where there is none. */
export function keepPrivate(path: string): void {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return;
  if (stats.isSymbolicLink()) throw new Error(`${path} is a symbolic link, and links are not followed here`);
  if (!stats.isFile()) throw new Error(`${path} is no regular file`);
  if ((stats.mode & 0o777) !== PRIVATE_FILE) tryChmod(() => chmodSync(path, PRIVATE_FILE));
}

/** Longest wait for a pipe or a device to deliver a whole file, ms. */
const PIPE_MS = 5000;
const PIPE_PAUSE_MS = 20;

/**
 * Reads a whole file of at most `mostBytes`. Ends within seconds also for what never ends, such as `/dev/zero` or a pipe that
 * nobody writes to. Throws the system's error, or an Error that says what is wrong.
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

/** Bytes read; 0 at the end, null when there are none yet. */
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

/** A rename or a new file is durable only when its folder is. */
export function syncFolder(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * `write` may take less than it was given; this does not.
 * @param position in the file; left out: where the last write ended
 */
export function writeAll(fd: number, bytes: Uint8Array, position: number | null = null): void {
  let done = 0;
  while (done < bytes.length)
    done += writeSync(fd, bytes, done, bytes.length - done, position === null ? null : position + done);
}

/**
 * Makes a folder and those above it; nothing where it is there. Level by level: Node's own recursive form never returns
 * where the system refuses a folder whose parent is there, as it does below /proc. Throws the system's error.
 */
export function makeFolder(path: string, mode = 0o777): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
  const parent = dirname(path);
  if (parent !== path) makeFolder(parent, mode);
  try {
    mkdirSync(path, { mode });
    if (mode === PRIVATE_FOLDER) chmodSync(path, mode);
  } catch (error) {
    // Another process may have been quicker.
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw error;
  }
}

/** Lower-case hex. */
export function sha256(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}
