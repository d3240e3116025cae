/** Repeats an action on the monotonic clock. */
import { errorFields } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Clock } from '../system/clock.ts';

/**
 * Runs the action every `periodMs`, the first time after `periodMs`; a slow action delays the next run. Errors are logged and the action runs
 * again, so that they do not affect the forecasts.
 * @returns a function that ends the repetition
 */
export function every(
  clock: Clock,
  periodMs: number,
  action: () => void,
  log: Pick<Logger, 'error'>,
): () => void {
  let cancel = clock.after(periodMs, function again() {
    cancel = clock.after(periodMs, again);
    try {
      action();
    } catch (error) {
      log.error('a regular task failed', { ...errorFields(error) });
    }
  });
  return () => cancel();
}
