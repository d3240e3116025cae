/** Files that a command was asked to write: what the system says of them becomes an error that names the file. */
import { mkdtempSync, rmdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { GatecastError } from '../../errors.ts';
import { makeFolder, writeFileAtomic } from '../../system/files.ts';

/** Writes the whole file or none of it; everybody may read it. Throws FILE_UNWRITABLE. */
export function writeOutput(path: string, content: string | Uint8Array): void {
  try {
    writeFileAtomic(path, content, 0o644);
  } catch (cause) {
    throw unwritable(path, cause);
  }
}

/** Makes the folder that `path` will stand in, and tries it: better before a long run than after. Throws FILE_UNWRITABLE. */
export function prepareFolderOf(path: string): void {
  const folder = dirname(path);
  try {
    makeFolder(folder);
    rmdirSync(mkdtempSync(join(folder, `${basename(path)}.`)));
  } catch (cause) {
    throw unwritable(path, cause);
  }
}

/** A new error FILE_UNWRITABLE. */
export function unwritable(path: string, cause: unknown): GatecastError {
  return new GatecastError('FILE_UNWRITABLE', `cannot write ${path}: ${(cause as Error).message}`, {
    hint: 'is the folder there, and may you write to it?',
    cause,
  });
}
