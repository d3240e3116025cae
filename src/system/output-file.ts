/**
 * Output files of commands: the old content stays until the new content is complete, and errors of the operating
 * system become errors that name the file.
 */
import {
  accessSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  mkdtempSync,
  openSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { GatecastError } from '../errors.ts';
import { makeFolder, syncPath, writeAll } from './files.ts';

/**
 * Writes a file atomically, and creates its folder if it is missing. Everyone may read a new file; an existing file keeps its
 * mode. Devices and pipes are written directly. Throws FILE_UNWRITABLE.
 * @param content the whole, or parts that are read one after the other
 */
export function writeOutput(path: string, content: string | Uint8Array | Iterable<string>): void {
  const parts = typeof content === 'string' || content instanceof Uint8Array ? [content] : content;
  try {
    makeFolder(dirname(path));
    const { file, regular, mode } = targetOf(path);
    if (!regular) {
      writeParts(file, parts);
      return;
    }
    const temporary = `${file}.${process.pid}.tmp`;
    try {
      writeParts(temporary, parts, mode);
      renameSync(temporary, file);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
    syncPath(dirname(file));
  } catch (cause) {
    throw unwritable(path, cause);
  }
}

/**
 * Creates the folder of `path` and tests whether the file can be written, so that a long run does not fail at its end. Changes
 * no existing file. Throws FILE_UNWRITABLE.
 */
export function prepareOutput(path: string): void {
  try {
    const { file, regular, there } = targetOf(path);
    if (there) accessSync(file, constants.W_OK);
    if (regular) tryFolderOf(file);
  } catch (cause) {
    throw unwritable(path, cause);
  }
}

/** The same for a folder at `path`, which may exist. Throws FILE_UNWRITABLE. */
export function prepareFolderOf(path: string): void {
  try {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === false)
      throw new Error('it is no folder');
    tryFolderOf(path);
  } catch (cause) {
    throw unwritable(path, cause);
  }
}

function tryFolderOf(path: string): void {
  makeFolder(dirname(path));
  rmdirSync(mkdtempSync(join(dirname(path), `${basename(path)}.`)));
}

export function unwritable(path: string, cause: unknown): GatecastError {
  return new GatecastError('FILE_UNWRITABLE', `cannot write ${path}: ${(cause as Error).message}`, {
    hint: 'check that the folder exists and that this user may write to it',
    cause,
  });
}

/** The file at `path`, with links resolved; a missing one counts as regular. Throws if it is a folder. */
function targetOf(path: string): { file: string; regular: boolean; there: boolean; mode?: number } {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return { file: path, regular: true, there: false };
  if (found.isDirectory()) throw new Error('it is a folder');
  return { file: realpathSync(path), regular: found.isFile(), there: true, mode: found.mode & 0o777 };
}

/** @param mode of the file that is replaced */
function writeParts(file: string, parts: Iterable<string | Uint8Array>, mode?: number): void {
  const fd = openSync(file, 'w', mode ?? 0o644);
  try {
    // The umask applies to new files only, so set the mode again.
    if (mode !== undefined && (fstatSync(fd).mode & 0o777) !== mode) fchmodSync(fd, mode);
    for (const part of parts) writeAll(fd, typeof part === 'string' ? Buffer.from(part) : part);
    if (fstatSync(fd).isFile()) fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
