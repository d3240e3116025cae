/** Repeats an action on the monotonic clock. */
import type { Clock } from '../system/clock.ts';

/** The first time after `periodMs`; a slow action delays the next. @returns the end of it */
export function every(clock: Clock, periodMs: number, action: () => void): () => void {
  let cancel = clock.after(periodMs, function again() {
    cancel = clock.after(periodMs, again);
    action();
  });
  return () => cancel();
}
