/** The daemon's clock, injected so that tests and backtests can replace it. */
export interface Clock {
  /** Wall clock, ms since 1970 UTC. May jump. */
  now(): number;
  /** Monotonic, ms from an arbitrary start. Never jumps; used for timers and durations. */
  monotonic(): number;
  /** Calls back once after `delayMs` of monotonic time. @returns a function that cancels the call */
  after(delayMs: number, callback: () => void): () => void;
}

/** Resolves after `ms` of monotonic time. */
export const pause = (clock: Pick<Clock, 'after'>, ms: number): Promise<void> =>
  new Promise((resolve) => void clock.after(ms, resolve));

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, Math.max(0, delayMs));
    return () => clearTimeout(timer);
  },
};

/** Before this time the wall clock cannot have been set, ms. */
const SET_FROM_MS = Date.UTC(2024, 0, 1);

/** Whether the wall clock has ever been set: a gateway without a battery starts in 1970, or when its image was made. */
export const isClockSet = (nowMs: number): boolean => nowMs >= SET_FROM_MS;

/** Smaller differences of the wall clock are ignored, ms. */
const SAME_CLOCK_MS = 1000;

/**
 * The start time of the process on the current wall clock. Computed at each call, because the clock of a gateway without a
 * battery is set some time after the start.
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
