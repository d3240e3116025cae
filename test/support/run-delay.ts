/** How long processes could not run because others had the processors: what a time limit on a busy machine must leave out. */
import { readdirSync, readFileSync } from 'node:fs';

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

const LOOK_MS = 5;
/** A longer pause between two looks is one of the machine. */
const PAUSE_MS = 25;

/** Whether a thread of the process waits for the disk, or is stopped. */
function isHeld(pid: number | undefined): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).some((thread) =>
      /\) [DTt] /.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')),
    );
  } catch {
    return false;
  }
}

export interface Stopwatch {
  /** ms so far; the same for ever after the first call of `stop`. */
  ms(): number;
  stop(): number;
}

/**
 * How long these processes take, without the time in which one of them, or this one, could do nothing: others had the processors, it
 * waited for the disk, or the machine or the process stood still.
 */
export function stopwatch(...pids: readonly (number | undefined)[]): Stopwatch {
  let passedMs = 0;
  let seenMs = performance.now();
  let delayMs = runDelayMs(...pids);
  const look = (): void => {
    const [nowMs, delay] = [performance.now(), runDelayMs(...pids)];
    const ownMs = Math.min(nowMs - seenMs, PAUSE_MS) - Math.max(0, delay - delayMs);
    if (ownMs > 0 && !pids.some(isHeld)) passedMs += ownMs;
    [seenMs, delayMs] = [nowMs, delay];
  };
  const timer = setInterval(look, LOOK_MS);
  let stopped = false;
  return {
    ms: () => passedMs,
    stop: () => {
      if (!stopped) look();
      stopped = true;
      clearInterval(timer);
      return passedMs;
    },
  };
}

/** Work of processes that does not end a pause, ms. */
const PAUSE_WORK_MS = 50;

export interface WorkRecord {
  /** How long the processes could work between two wall times, ms. */
  between(fromMs: number, toMs: number): number;
  /** The longest time in which they could do next to nothing, ms. */
  longestPauseMs(): number;
  stop(): void;
}

/** A stopwatch that can be read later: to tell what processes missed from what the machine kept them from. */
export function recordWork(...pids: readonly (number | undefined)[]): WorkRecord {
  const watch = stopwatch(...pids);
  const looks: { readonly atMs: number; readonly ms: number }[] = [];
  const timer = setInterval(() => looks.push({ atMs: Date.now(), ms: watch.ms() }), 4 * LOOK_MS);
  const until = (atMs: number): number => looks.findLast((look) => look.atMs <= atMs)?.ms ?? 0;
  return {
    between: (fromMs, toMs) => until(toMs) - until(fromMs),
    longestPauseMs: () => {
      let from = 0;
      let longestMs = 0;
      for (const { atMs, ms } of looks) {
        while (ms - (looks[from]?.ms ?? ms) > PAUSE_WORK_MS) from++;
        longestMs = Math.max(longestMs, atMs - (looks[from]?.atMs ?? atMs));
      }
      return longestMs;
    },
    stop: () => {
      clearInterval(timer);
      watch.stop();
    },
  };
}

/** A call, and how long this process computes in it, ms: what the machine does otherwise, and its disk, do not count. */
export function computed<T>(action: () => T): { readonly result: T; readonly ms: number } {
  const from = process.cpuUsage();
  const result = action();
  const { user, system } = process.cpuUsage(from);
  return { result, ms: (user + system) / 1000 };
}
