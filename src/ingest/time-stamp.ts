/** Time stamps as devices write them: seconds, ms, us or ns since 1970, or ISO 8601 with any offset. */

/** Magnitudes that tell the units apart; each covers the years 1973 to 5138 of its unit. */
const MS_FROM = 1e11;
const US_FROM = 1e14;
const NS_FROM = 1e17;
const LARGEST_MS = 8.64e15;

const ISO =
  /^(\d{4})-?(\d{2})-?(\d{2})(?:[Tt ](\d{2})(?::?(\d{2})(?::?(\d{2})(?:[.,](\d{1,12}))?)?)?)?\s*([Zz]|[+-]\d{2}(?::?\d{2})?)?$/;
const EPOCH = /^[+-]?\d{1,20}(?:\.\d{1,12})?$/;
const DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** ms since 1970 UTC from a number of seconds, ms, us or ns, told apart by size; null when it is no time at all. */
export function epochToMs(value: number): number | null {
  if (!Number.isFinite(value)) return null;
  const size = Math.abs(value);
  const ms =
    size < MS_FROM ? value * 1000 : size < US_FROM ? value : size < NS_FROM ? value / 1e3 : value / 1e6;
  return Math.abs(ms) <= LARGEST_MS ? Math.round(ms) : null;
}

/**
 * ms since 1970 UTC from a number or a text; null when it cannot be understood. ISO 8601 without an offset is UTC:
 * guessing a zone would be wrong twice a year.
 */
export function parseTime(value: unknown): number | null {
  if (typeof value === 'number') return epochToMs(value);
  if (typeof value !== 'string' || value.length > 40) return null;
  const text = value.trim();
  return isoToMs(text) ?? (EPOCH.test(text) ? epochToMs(Number(text)) : null);
}

function isoToMs(text: string): number | null {
  const found = ISO.exec(text);
  if (found === null) return null;
  const [, year, month, day, hour, minute, second, fraction, zone] = found;
  // Eight or fewer bare digits are as likely a count of seconds; a date alone must have its dashes.
  if (hour === undefined && text.indexOf('-') !== 4) return null;
  const m = Number(month);
  const d = Number(day);
  const h = Number(hour ?? 0);
  const min = Number(minute ?? 0);
  const s = Number(second ?? 0);
  if (m < 1 || m > 12 || d < 1 || d > (DAYS[m - 1] as number)) return null;
  // 24:00 ends a day and :60 is a leap second; both roll over.
  if (h > 24 || (h === 24 && min + s > 0) || min > 59 || s > 60) return null;
  const date = new Date(0);
  date.setUTCFullYear(Number(year), m - 1, d);
  if (date.getUTCDate() !== d) return null;
  const millis = fraction === undefined ? 0 : Math.floor(Number(`0.${fraction}`) * 1000 + 1e-6);
  const offset = offsetMinutes(zone);
  if (offset === null) return null;
  return date.getTime() + ((h * 60 + min - offset) * 60 + s) * 1000 + millis;
}

function offsetMinutes(zone: string | undefined): number | null {
  if (zone === undefined || zone === 'Z' || zone === 'z') return 0;
  const digits = zone.slice(1).replace(':', '');
  const hours = Number(digits.slice(0, 2));
  const minutes = Number(digits.slice(2) || 0);
  if (hours > 18 || minutes > 59) return null;
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes);
}
