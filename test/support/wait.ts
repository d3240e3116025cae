/** Waiting for what another process or a socket will do. */

/** Most of a turn that counts as waiting, ms: what waits with this process could not happen while the machine stood still. */
const TURN_MS = 250;

/**
 * Asks until `condition` gives something truthy, and returns it; throws with `what` after `timeoutMs`. The default is patience for a
 * busy machine: much longer than it should take, so that only what never happens fails. A test of a time limit measures the time.
 */
export async function waitFor<T>(
  what: string,
  condition: () => T | Promise<T>,
  timeoutMs = 200_000,
): Promise<NonNullable<T>> {
  let waitedMs = 0;
  for (let fromMs = performance.now(); ; ) {
    const value = await condition();
    if (value) return value;
    if (waitedMs > timeoutMs) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await sleep(10);
    const nowMs = performance.now();
    waitedMs += Math.min(nowMs - fromMs, TURN_MS);
    fromMs = nowMs;
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
