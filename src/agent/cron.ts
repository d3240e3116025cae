/**
 * Says when a cron expression has come due, on a clock that is passed in: asked every few seconds, it looks at the
 * minutes since it was asked last. Without timers of its own, so that a clock that is set does not make it wait.
 */
import { createTask } from 'node-cron';

const MINUTE_MS = 60_000;
/** A longer way between two looks is a clock that was set, not time that passed. */
const MOST_MINUTES = 60;

export class Cron {
  private readonly matches: (minute: number) => boolean;
  private last: number | null = null;

  /** @param expression five fields in `timeZone` (an IANA name, or `local` for the machine's), or `off` */
  constructor(expression: string, timeZone: string) {
    if (expression === 'off') {
      this.matches = () => false;
      return;
    }
    const zone = timeZone === 'local' ? {} : { timezone: timeZone };
    const task = createTask(expression, () => {}, zone);
    this.matches = (minute) => task.match(new Date(minute * MINUTE_MS));
  }

  /** Whether a minute of the schedule began since the call before; the first call only looks at the clock. */
  due(nowMs: number): boolean {
    const minute = Math.floor(nowMs / MINUTE_MS);
    const last = this.last ?? minute;
    this.last = minute;
    const from = minute - last > MOST_MINUTES ? minute : last + 1;
    for (let at = from; at <= minute; at++) if (this.matches(at)) return true;
    return false;
  }
}
