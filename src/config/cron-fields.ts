/**
 * Five cron fields as the sets of numbers that they allow: minute, hour, day of month, month, day of week (0 and 7 are
 * Sunday). Numbers, lists, ranges, steps and `*`. A minute is meant when all five fields allow it.
 */
const RANGES: readonly (readonly [min: number, max: number])[] = [
  [0, 59],
  [0, 23],
  [1, 31],
  [1, 12],
  [0, 7],
];
/** Of the months, in a leap year. */
const DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const SUNDAY = 7;

export interface CronFields {
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
  readonly days: ReadonlySet<number>;
  readonly months: ReadonlySet<number>;
  /** 0 is Sunday, 6 Saturday. */
  readonly weekdays: ReadonlySet<number>;
}

/** Null for a text that is not five such fields. */
export function parseCron(text: string): CronFields | null {
  const fields = text.trim().split(/\s+/);
  if (fields.length !== RANGES.length) return null;
  const sets = fields.map((field, at) => allowed(field, ...(RANGES[at] as readonly [number, number])));
  const [minutes, hours, days, months, weekdays] = sets;
  if (!minutes || !hours || !days || !months || !weekdays) return null;
  if (weekdays.delete(SUNDAY)) weekdays.add(0);
  return { minutes, hours, days, months, weekdays };
}

/** Whether any year has one of the days: 30 February never comes. */
export function everComes({ days, months }: CronFields): boolean {
  return [...months].some((month) => [...days].some((day) => day <= (DAYS[month - 1] ?? 0)));
}

/** @param localMs wall-clock time as if the zone were UTC, ms */
export function cronMatches(fields: CronFields, localMs: number): boolean {
  const time = new Date(localMs);
  return (
    fields.minutes.has(time.getUTCMinutes()) &&
    fields.hours.has(time.getUTCHours()) &&
    fields.days.has(time.getUTCDate()) &&
    fields.months.has(time.getUTCMonth() + 1) &&
    fields.weekdays.has(time.getUTCDay())
  );
}

function allowed(field: string, min: number, max: number): Set<number> | null {
  const numbers = new Set<number>();
  for (const part of field.split(',')) {
    const found = /^(?:(?:\*|(\d{1,2})-(\d{1,2}))(?:\/(\d{1,2}))?|(\d{1,2}))$/.exec(part);
    if (found === null) return null;
    const [, from, to, step, single] = found;
    const low = Number(from ?? single ?? min);
    // `*` of the days of the week ends with Saturday: Sunday has had its turn.
    const high = Number(to ?? single ?? (max === SUNDAY ? SUNDAY - 1 : max));
    const by = Number(step ?? 1);
    if (low < min || high > max || low > high || by < 1) return null;
    for (let number = low; number <= high; number += by) numbers.add(number);
  }
  return numbers;
}
