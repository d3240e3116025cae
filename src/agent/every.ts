/** Repeats an action on the monotonic clock. */
import { errorText } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Clock } from '../system/clock.ts';

/**
 * The first time after `periodMs`; a slow action delays the next. One that throws is reported and comes again: what goes
 * wrong beside the forecasts must not end them.
 * @returns the end of it
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
      log.error('a regular task failed', { reason: errorText(error) });
    }
  });
  return () => cancel();
}
