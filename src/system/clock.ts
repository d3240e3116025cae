/** The daemon's clock, injected so that tests and backtests can replace it. */
export interface Clock {
  /** Wall clock, ms since 1970 UTC. May jump. */
  now(): number;
  /** Monotonic, ms from an arbitrary start. Never jumps; the only base for timers and durations. */
  monotonic(): number;
  /** Calls back once after `delayMs` of monotonic time; returns the cancel. */
  after(delayMs: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, Math.max(0, delayMs));
    return () => clearTimeout(timer);
  },
};

/** A wall clock that is off by less is the same one, ms. */
const SAME_CLOCK_MS = 1000;

/**
 * When the process started, by the wall clock as it is whenever that is asked: a gateway without a battery learns what time
 * it is some while after.
 */
export function startTime(clock: Clock): () => number {
  const startedMs = clock.monotonic();
  let sinceMs = clock.now();
  return () => {
    const byNowMs = clock.now() - (clock.monotonic() - startedMs);
    if (Math.abs(byNowMs - sinceMs) > SAME_CLOCK_MS) sinceMs = byNowMs;
    return sinceMs;
  };
}
