/** How much memory this process may use. */
import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { dirname, join } from 'node:path';

/**
 * The lowest limit of the control groups around this process (cgroup v2), or the memory of the machine, bytes. Systemd's
 * `MemoryMax` and the limit of a container are such limits.
 *
 * @param root folder of `/proc` and `/sys`
 */
export function memoryLimit(root = '/'): number {
  let limit = totalmem();
  try {
    const own = /^0::(\/.*)$/m.exec(readFileSync(`${root}proc/self/cgroup`, 'utf8'))?.[1] ?? '/';
    for (let group = own, last = ''; group !== last; last = group, group = dirname(group))
      limit = Math.min(limit, limitOf(join(root, 'sys/fs/cgroup', group, 'memory.max')));
  } catch {
    // No control groups: another system.
  }
  return limit;
}

/** Infinite without a limit. */
function limitOf(file: string): number {
  try {
    const bytes = Number(readFileSync(file, 'utf8'));
    return bytes > 0 ? bytes : Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
