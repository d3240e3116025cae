/** Waiting for what another process or a socket will do. */

/**
 * Asks until `condition` gives something truthy, and returns it; throws with `what` after `timeoutMs`. The default is patience for a
 * busy machine: much longer than it should take, so that only what never happens fails. A test of a time limit measures the time.
 */
export async function waitFor<T>(
  what: string,
  condition: () => T | Promise<T>,
  timeoutMs = 90_000,
): Promise<NonNullable<T>> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > end) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await sleep(10);
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
