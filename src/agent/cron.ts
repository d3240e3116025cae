/**
 * Evaluates a cron expression on an injected clock. Each call, every few seconds, checks the minutes since the
 * previous call. Uses no timers, so that setting the clock does not delay a run.
 */
import { createTask, parse } from 'node-cron';
import { zoneOffset } from '../series/calendar.ts';

const MINUTE_MS = 60_000;
/** A longer time between two calls means that the clock was set. */
const MOST_MINUTES = 60;

type Matches = (timeMs: number) => boolean;

export class Cron {
  private readonly matches: Matches;
  private last: number | null = null;

  /** @param expression five fields in `timeZone` (an IANA name, or `local` for the machine's), or `off` */
  constructor(expression: string, timeZone: string) {
    this.matches = expression === 'off' ? () => false : matcher(expression, timeZone);
  }

  /** Whether a minute of the schedule has started since the previous call; false at the first call. */
  due(nowMs: number): boolean {
    const minute = Math.floor(nowMs / MINUTE_MS);
    const last = this.last ?? minute;
    this.last = minute;
    const from = minute - last > MOST_MINUTES ? minute : last + 1;
    for (let at = from; at <= minute; at++) if (this.matches(at * MINUTE_MS)) return true;
    return false;
  }
}

/**
 * node-cron parses the expression and evaluates special days (`L`, `15W`, `MON#2`). Plain numbers are compared here: node-cron
 * uses Intl for the time of day in every zone, which permanently takes 8 MB.
 */
function matcher(expression: string, timeZone: string): Matches {
  const { second, minute, hour, month, dayOfMonth, dayOfWeek } = parse(expression);
  const offset = zoneOffset(timeZone);
  const words = [...dayOfMonth, ...dayOfWeek].some((day) => typeof day === 'string');
  const zone = timeZone === 'local' ? {} : { timezone: timeZone };
  const task = words ? createTask(expression, () => {}, zone) : null;
  return (timeMs) => {
    const local = new Date(timeMs + offset(timeMs));
    const onTime =
      second.includes(local.getUTCSeconds()) &&
      minute.includes(local.getUTCMinutes()) &&
      hour.includes(local.getUTCHours()) &&
      month.includes(local.getUTCMonth() + 1);
    if (!onTime) return false;
    return (
      task?.match(new Date(timeMs)) ??
      (dayOfMonth.includes(local.getUTCDate()) && dayOfWeek.includes(local.getUTCDay()))
    );
  };
}
