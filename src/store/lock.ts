/**
 * Allows one agent per data directory. The kernel holds the lock (taken through SQLite, the only code in this
 * process that can request one) and releases it when the process ends, so that no stale lock remains, neither after
 * `kill -9` nor across containers that share the folder. The pid file serves only the error message.
 */
import { closeSync, constants, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { GatecastError } from '../errors.ts';
import { fileAt, makeFolder, openPrivate, PRIVATE_FOLDER, writeAll } from '../system/files.ts';
import { holdFile } from './database.ts';

/**
 * Locks `dir` for this process; creates the folder if it does not exist.
 * @throws LOCKED if another agent holds the lock
 * @throws STORE_FAILED if the folder cannot be created or written
 */
export function lockDataDir(dir: string) {
  const pidFile = join(dir, 'agent.pid');
  const lockFile = join(dir, 'agent.lock');
  let release: (() => void) | null;
  try {
    makeFolder(dir, PRIVATE_FOLDER);
    release = holdFile(lockFile);
  } catch (cause) {
    throw new GatecastError('STORE_FAILED', `${dir} cannot be used: ${(cause as Error).message}`, {
      hint: 'give the user that gatecast runs as write permission, or use another folder: data_dir in the config, or --data-dir',
      cause,
    });
  }
  if (release === null) {
    const pid = holder(pidFile);
    throw new GatecastError('LOCKED', `another agent${pid === null ? '' : ` (process ${pid})`} uses ${dir}`, {
      hint: 'stop it, or give this one its own folder with --data-dir',
    });
  }
  let held = release;
  let file = fileAt(lockFile);
  writePid(pidFile);
  return {
    /**
     * Whether the folder is still locked. If the file of the lock was removed or replaced, another agent could start: the new file is
     * locked as well, unless another agent has done so.
     */
    isHeld: (): boolean => {
      let next: (() => void) | null;
      try {
        if (fileAt(lockFile) === file) return true;
        next = holdFile(lockFile);
      } catch {
        // It cannot be looked at or made now: by another agent neither.
        return true;
      }
      if (next === null) return false;
      held();
      held = next;
      file = fileAt(lockFile);
      writePid(pidFile);
      return true;
    },
    release: (): void => {
      // Another agent has written its own if the file of the lock was removed before.
      if (holder(pidFile) === process.pid) rmSync(pidFile, { force: true });
      held();
    },
  };
}

/** The pid file is optional: the lock is held even if a full disk prevents writing it. */
function writePid(pidFile: string): void {
  try {
    rmSync(pidFile, { force: true });
    const { O_CREAT, O_EXCL, O_WRONLY } = constants;
    const fd = openPrivate(pidFile, O_CREAT | O_EXCL | O_WRONLY);
    writeAll(fd, Buffer.from(`${process.pid}\n`));
    closeSync(fd);
  } catch {
    // It serves the message of another agent only.
  }
}

/** Null if there is no such file. */
function holder(pidFile: string): number | null {
  try {
    return Number.parseInt(readFileSync(pidFile, 'utf8'), 10);
  } catch {
    return null;
  }
}
