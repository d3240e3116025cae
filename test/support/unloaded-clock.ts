/**
 * The clock of a machine that does nothing else: time in which others had the processor does not pass. What this process computes
 * counts, and so does its waiting. An agent with this clock misses what it would miss on a quiet machine.
 */
import type { Clock } from '../../src/system/clock.ts';

const LOOK_MS = 5;
/** A pause of the event loop counts up to this long, ms; more of it only as far as the process computed. */
const PAUSE_MS = 25;

const computedMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

export function unloadedClock(): Clock {
  const startedWallMs = Date.now();
  let passedMs = 0;
  let seenMs = performance.now();
  let seenComputedMs = computedMs();
  const monotonic = (): number => {
    const nowMs = performance.now();
    const computed = computedMs();
    passedMs += Math.min(nowMs - seenMs, Math.max(PAUSE_MS, computed - seenComputedMs));
    seenMs = nowMs;
    seenComputedMs = computed;
    return passedMs;
  };
  setInterval(monotonic, LOOK_MS).unref();
  return {
    monotonic,
    now: () => Math.floor(startedWallMs + monotonic()),
    after: (delayMs, callback) => {
      const atMs = monotonic() + Math.max(0, delayMs);
      let timer: NodeJS.Timeout;
      const wait = (): void => {
        timer = setTimeout(() => (monotonic() < atMs ? wait() : callback()), atMs - monotonic());
      };
      wait();
      return () => clearTimeout(timer);
    },
  };
}
