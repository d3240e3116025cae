/**
 * Allows one agent per data directory. The kernel holds the lock (taken through SQLite, the only code in this
 * process that can request one) and releases it when the process ends, so that no stale lock remains, neither after
 * `kill -9` nor across containers that share the folder. The pid file serves only the error message.
 */
import { closeSync, constants, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { GatecastError } from '../errors.ts';
import { makeFolder, openPrivate, PRIVATE_FOLDER, writeAll } from '../system/files.ts';
import { holdFile } from './database.ts';

export interface DataDirLock {
  release(): void;
}

/**
 * Takes `dir` for this process; makes the folder when it is not there.
 * @throws LOCKED when another agent has it
 * @throws STORE_FAILED when the folder cannot be made or written
 */
export function lockDataDir(dir: string): DataDirLock {
  const pidFile = join(dir, 'agent.pid');
  let release: (() => void) | null;
  try {
    makeFolder(dir, PRIVATE_FOLDER);
    release = holdFile(join(dir, 'agent.lock'));
  } catch (cause) {
    throw new GatecastError('STORE_FAILED', `${dir} cannot be used: ${(cause as Error).message}`, {
      hint: 'the user that gatecast runs as needs to write there; or name another folder: data_dir in the config, or --data-dir',
      cause,
    });
  }
  if (release === null) {
    throw new GatecastError('LOCKED', `another agent${holder(pidFile)} uses ${dir}`, {
      hint: 'stop it, or give this one its own folder with --data-dir',
    });
  }
  const held = release;
  try {
    rmSync(pidFile, { force: true });
    const { O_CREAT, O_EXCL, O_WRONLY } = constants;
    const fd = openPrivate(pidFile, O_CREAT | O_EXCL | O_WRONLY);
    writeAll(fd, Buffer.from(`${process.pid}\n`));
    closeSync(fd);
  } catch {
    // on a full disk the lock holds all the same
  }
  return {
    release: () => {
      rmSync(pidFile, { force: true });
      held();
    },
  };
}

function holder(pidFile: string): string {
  try {
    return ` (process ${Number.parseInt(readFileSync(pidFile, 'utf8'), 10)})`;
  } catch {
    return '';
  }
}
