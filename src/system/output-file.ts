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
import { makeFolder, syncFolder, writeAll } from './files.ts';

/**
 * Writes the whole file or none of it, and its folder where that is missing. Everybody may read a new one; one that was there
 * is as open as before. A device or a pipe is written as it stands. Throws FILE_UNWRITABLE.
 * @param content as one, or in parts, which are asked for one after the other
 */
export function writeOutput(path: string, content: string | Uint8Array | Iterable<string>): void {
  const parts = typeof content === 'string' || content instanceof Uint8Array ? [content] : content;
  try {
    makeFolder(dirname(path));
    const { file, regular, mode } = standing(path);
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
    syncFolder(dirname(file));
  } catch (cause) {
    throw unwritable(path, cause);
  }
}

/**
 * Makes the folder that `path` will stand in, and tries whether it may be written there: better before a long run than
 * after. What is there stays as it is. Throws FILE_UNWRITABLE.
 */
export function prepareOutput(path: string): void {
  try {
    const { file, regular, there } = standing(path);
    if (there) accessSync(file, constants.W_OK);
    if (regular) tryFolderOf(file);
  } catch (cause) {
    throw unwritable(path, cause);
  }
}

/** The same for a folder that will stand, or stands, at `path`. Throws FILE_UNWRITABLE. */
export function prepareFolderOf(path: string): void {
  try {
    tryFolderOf(path);
  } catch (cause) {
    throw unwritable(path, cause);
  }
}

function tryFolderOf(path: string): void {
  makeFolder(dirname(path));
  rmdirSync(mkdtempSync(join(dirname(path), `${basename(path)}.`)));
}

/** A new error FILE_UNWRITABLE. */
export function unwritable(path: string, cause: unknown): GatecastError {
  return new GatecastError('FILE_UNWRITABLE', `cannot write ${path}: ${(cause as Error).message}`, {
    hint: 'is the folder there, and may you write to it?',
    cause,
  });
}

/** What stands at `path` now, behind any link; what is not there will be a regular file. Throws where it is a folder. */
function standing(path: string): { file: string; regular: boolean; there: boolean; mode?: number } {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return { file: path, regular: true, there: false };
  if (found.isDirectory()) throw new Error('it is a folder');
  return { file: realpathSync(path), regular: found.isFile(), there: true, mode: found.mode & 0o777 };
}

/** @param mode of a file that this one takes the place of */
function writeParts(file: string, parts: Iterable<string | Uint8Array>, mode?: number): void {
  const fd = openSync(file, 'w', mode ?? 0o644);
  try {
    // Whatever the process's mask takes from new files.
    if (mode !== undefined && (fstatSync(fd).mode & 0o777) !== mode) fchmodSync(fd, mode);
    for (const part of parts) writeAll(fd, typeof part === 'string' ? Buffer.from(part) : part);
    if (fstatSync(fd).isFile()) fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
