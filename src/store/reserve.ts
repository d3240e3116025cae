/**
 * Reserves disk space for the case of a full disk: SQLite needs space to write its log back into the file and to
 * delete rows. Without the reserve, a full disk would prevent deletion as well.
 */
import { closeSync, constants, existsSync, fsyncSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { openPrivate, tryRemove, writeAll } from '../system/files.ts';

/** Larger than the maximum WAL size plus one batch. */
const RESERVE_BYTES = 3 * 2 ** 20;
/** Written in small pieces: after freeing a large block, glibc raises its threshold and keeps more freed memory for every thread. */
const PIECE_BYTES = 2 ** 16;

export class Reserve {
  constructor(private readonly path: string) {}

  /** Allocates the reserve if the disk has enough free space. Returns whether the reserve exists now. */
  take(): boolean {
    try {
      if (existsSync(this.path)) return true;
      if (this.freeBytes() < 4 * RESERVE_BYTES) return false;
      const fd = openPrivate(this.path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY);
      try {
        const piece = Buffer.alloc(PIECE_BYTES);
        for (let written = 0; written < RESERVE_BYTES; written += PIECE_BYTES) writeAll(fd, piece);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      return true;
    } catch {
      this.release();
      return false;
    }
  }

  /** Free space of the disk. Throws the system's error. */
  freeBytes(): number {
    const { bavail, bsize } = statfsSync(dirname(this.path));
    return bavail * bsize;
  }

  /** Frees the reserve; returns whether it existed. */
  release(): boolean {
    const taken = existsSync(this.path);
    return tryRemove(this.path) && taken;
  }
}
