/** How long processes could not run because others had the processors: what a time limit on a busy machine must leave out. */
import { readFileSync } from 'node:fs';

/** Of the main threads of these processes and of this one, since their start, ms; 0 where the kernel does not count it. */
export function runDelayMs(...pids: readonly (number | undefined)[]): number {
  const delays = [process.pid, ...pids].map((pid) => {
    try {
      const [, delayNs] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ').map(Number);
      return (delayNs ?? 0) / 1e6;
    } catch {
      return 0;
    }
  });
  return delays.reduce((sum, ms) => sum + ms, 0);
}
