/** Whether a stream of this process goes to journald. */
import { fstatSync } from 'node:fs';

/**
 * systemd passes device and inode of its stream in `JOURNAL_STREAM` (systemd.exec(5)). Children inherit the variable, also
 * when their output goes to a file or a pipe, so it is compared with the stream itself.
 */
export function isJournal(fd: number, stream: string | undefined = process.env.JOURNAL_STREAM): boolean {
  if (stream === undefined) return false;
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    return stream === `${dev}:${ino}`;
  } catch {
    return false;
  }
}
