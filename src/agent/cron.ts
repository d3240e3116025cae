/**
 * Evaluates a cron expression on an injected clock. Each call, every few seconds, checks the minutes since the
 * previous call. Uses no timers, so that setting the clock does not delay a run.
 */
import { parse } from 'node-cron';
import { zoneOffset } from '../series/calendar.ts';

const MINUTE_MS = 60_000;
/** A longer time between two calls means that the clock was set. */
const MOST_MINUTES = 60;
/** Clocks are put forward or back by at most this, ms. */
const LONGEST_CHANGE_MS = 2 * 3_600_000;

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
 * node-cron parses the expression. Its fields are compared here: node-cron uses Intl for the time of day in every zone, which
 * permanently takes 8 MB.
 *
 * Where the clocks change, as in Vixie cron: minutes that are skipped are due just after, and minutes that come twice only the
 * first time, unless the schedule is for all hours.
 */
function matcher(expression: string, timeZone: string): Matches {
  const { second, minute, hour, month, dayOfMonth, dayOfWeek } = parse(expression);
  const offset = zoneOffset(timeZone);
  /** @param localMs time of the zone, as if it were of UTC */
  const isOn = (localMs: number): boolean => {
    const local = new Date(localMs);
    return (
      second.includes(local.getUTCSeconds()) &&
      minute.includes(local.getUTCMinutes()) &&
      hour.includes(local.getUTCHours()) &&
      month.includes(local.getUTCMonth() + 1) &&
      dayOfMonth.includes(local.getUTCDate()) &&
      dayOfWeek.includes(local.getUTCDay())
    );
  };
  const isHourly = hour.length === 24;
  return (timeMs) => {
    const offsetMs = offset(timeMs);
    const localMs = timeMs + offsetMs;
    if (isHourly) return isOn(localMs);
    const backMs = offset(timeMs - LONGEST_CHANGE_MS) - offsetMs;
    if (backMs > 0 && offset(timeMs - backMs) - offsetMs === backMs) return false;
    // Earlier only just after minutes that were skipped.
    const fromMs = Math.min(localMs, timeMs + offset(timeMs - MINUTE_MS));
    for (let ms = fromMs; ms <= localMs; ms += MINUTE_MS) if (isOn(ms)) return true;
    return false;
  };
}
