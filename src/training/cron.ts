/**
 * When a cron expression is next due, from a time that is given: live and a backtest ask the same question with
 * different clocks. Five fields: minute, hour, day of month, month, day of week (0 or 7 is Sunday); `*`, lists, ranges
 * and steps; UTC. As in POSIX, when both days are restricted, either of them is enough. Pure.
 */
import { GatecastError } from '../errors.ts';

const FIELDS = [
  { name: 'minute', from: 0, to: 59 },
  { name: 'hour', from: 0, to: 23 },
  { name: 'day of month', from: 1, to: 31 },
  { name: 'month', from: 1, to: 12 },
  { name: 'day of week', from: 0, to: 7 },
] as const;

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** The 29th of February on a given weekday comes within 28 years, or 40 across a century. */
const MOST_DAYS = 41 * 366;

export interface Cron {
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
  readonly days: ReadonlySet<number>;
  readonly months: ReadonlySet<number>;
  readonly weekdays: ReadonlySet<number>;
  /** Whether both days are restricted. */
  readonly eitherDay: boolean;
}

/** @throws GatecastError CONFIG_INVALID that names the field */
export function parseCron(text: string): Cron {
  const parts = text.trim().split(/\s+/);
  if (parts.length !== FIELDS.length) throw wrong(text, `it has ${parts.length} fields, five are needed`);
  const sets = parts.map((part, i) => parseField(part, i, text));
  const weekdays = new Set([...sets[4]!].map((day) => day % 7));
  return {
    minutes: sets[0]!,
    hours: sets[1]!,
    days: sets[2]!,
    months: sets[3]!,
    weekdays,
    eitherDay: parts[2] !== '*' && parts[4] !== '*',
  };
}

function parseField(part: string, field: number, text: string): Set<number> {
  const { name, from, to } = FIELDS[field]!;
  const values = new Set<number>();
  for (const piece of part.split(',')) {
    const match = /^(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:\/(\d{1,2}))?$/.exec(piece);
    if (!match) throw wrong(text, `'${piece}' is no ${name}`);
    const [, low, high, every] = match;
    const first = low === undefined ? from : Number(low);
    const last = high !== undefined ? Number(high) : low === undefined || every !== undefined ? to : first;
    const step = every === undefined ? 1 : Number(every);
    if (first < from || last > to || first > last || step < 1) {
      throw wrong(text, `'${piece}' is no ${name}; ${from} to ${to} is allowed`);
    }
    for (let value = first; value <= last; value += step) values.add(value);
  }
  return values;
}

function wrong(text: string, reason: string): GatecastError {
  return new GatecastError('CONFIG_INVALID', `'${text}' is no cron expression: ${reason}.`, {
    hint: 'For example "17 3 * * *": every day at 03:17 UTC.',
  });
}

/** First due minute after `afterMs`, ms; null when there is none (the 30th of February). */
export function nextDue(cron: Cron, afterMs: number): number | null {
  const start = (Math.floor(afterMs / MINUTE_MS) + 1) * MINUTE_MS;
  for (let day = 0; day <= MOST_DAYS; day++) {
    const midnight = (Math.floor(start / DAY_MS) + day) * DAY_MS;
    if (!dueOn(cron, new Date(midnight))) continue;
    for (let minute = day === 0 ? (start - midnight) / MINUTE_MS : 0; minute < 1440; minute++) {
      if (cron.hours.has(Math.floor(minute / 60)) && cron.minutes.has(minute % 60))
        return midnight + minute * MINUTE_MS;
    }
  }
  return null;
}

function dueOn(cron: Cron, date: Date): boolean {
  if (!cron.months.has(date.getUTCMonth() + 1)) return false;
  const day = cron.days.has(date.getUTCDate());
  const weekday = cron.weekdays.has(date.getUTCDay());
  return cron.eitherDay ? day || weekday : day && weekday;
}
