/**
 * Parses the time cells of a table: ISO dates, also with spaces, slashes or dots; day-first and month-first dates; clock
 * times with dots or AM/PM; the time stamps that devices send (`time-stamp.ts`), such as unix seconds, ms, us and ns,
 * 20240131120000 or a named UTC; year/month/day/hour in separate columns; or any strptime-like format. Times without an
 * offset are UTC. Zone names are not supported.
 */
import { GatecastError } from '../errors.ts';
import { civilMs, offsetMinutes } from '../series/calendar.ts';
import { epochToMs, parseTime } from '../series/time-stamp.ts';

const DATE =
  /^(\d{1,4})[-/.](\d{1,2})[-/.](\d{1,4})(?:[T ]+(\d{1,2})(?:[:.](\d{1,2})(?:[:.](\d{1,2})(?:[.,](\d{1,9}))?)?)?\s*([ap]m)?)?\s*(z|[+-]\d{2}:?\d{2})?$/i;
const NUMBER = /^[+-]?\d+(?:\.\d+)?$/;
/** `20240131`; `202401311200`, `20240131120000`. */
const COMPACT_DATE = /^((?:19|20)\d{2})(\d{2})(\d{2})$/;
const COMPACT = /^(?:19|20)\d{10}(?:\d{2})?$/;

/** Order of the parts of a date: year first, day first, month first. */
type Order = 'ymd' | 'dmy' | 'mdy';

/** `part` is one cell, or the cells of several time columns joined by a space; -> ms since 1970 UTC, NaN if unreadable. */
type TimeReader = (text: string) => number;

/**
 * Detects the format of `texts`. Checks all of them, because 03/04/2004 is ambiguous, but 13/04/2004 in another row is not.
 * @param columns number of time columns; three or more are year, month, day, hour, minute, second
 * @throws CSV_INVALID if the order of day and month is ambiguous
 */
export function detectTimeReader(texts: Iterable<string>, columns: number): TimeReader {
  if (columns >= 3) return readParts;
  let dayFirst = false;
  let monthFirst = false;
  let open = '';
  for (const text of texts) {
    const found = DATE.exec(text);
    if (found === null || found[1].length === 4) continue;
    if (Number(found[1]) > 12) dayFirst = true;
    else if (Number(found[2]) > 12) monthFirst = true;
    else if (found[1] !== found[2]) open = text;
  }
  if (dayFirst !== monthFirst) return readAs(dayFirst ? 'dmy' : 'mdy');
  if (dayFirst || open !== '') {
    throw new GatecastError(
      'CSV_INVALID',
      dayFirst
        ? 'some dates have the day first and some the month'
        : `"${open}" may be day/month or month/day, and no other row decides it`,
      { hint: 'pass the format with --time-format, for example "%d/%m/%Y %H:%M"' },
    );
  }
  return readAs('ymd');
}

function readAs(order: Order): TimeReader {
  return (text) => {
    if (COMPACT_DATE.test(text)) return parseTime(text.replace(COMPACT_DATE, '$1-$2-$3')) ?? Number.NaN;
    if (NUMBER.test(text) && !COMPACT.test(text)) return epochToMs(Number(text)) ?? Number.NaN;
    const found = DATE.exec(text);
    if (found === null) return parseTime(text) ?? Number.NaN;
    const first = Number(found[1]);
    const second = Number(found[2]);
    const third = Number(found[3]);
    if (found[1].length === 4) return assemble(first, second, third, found);
    if (found[3].length !== 4) return Number.NaN;
    return order === 'dmy' ? assemble(third, second, first, found) : assemble(third, first, second, found);
  };
}

function assemble(year: number, month: number, day: number, found: RegExpExecArray): number {
  return stampOf({
    year,
    month,
    day,
    hour: Number(found[4] ?? 0),
    minute: Number(found[5] ?? 0),
    second: Number(found[6] ?? 0),
    ms: found[7] === undefined ? 0 : Number(`0.${found[7]}`) * 1000,
    half: found[8]?.toLowerCase() ?? null,
    offset: found[9] ?? 'Z',
  });
}

const readParts: TimeReader = (text) => {
  const [year, month, day, hour = 0, minute = 0, second = 0, ...rest] = text.split(' ').map(Number);
  if (rest.length > 0) return Number.NaN;
  const clock = { hour, minute, second, ms: 0, half: null, offset: 'Z' };
  return stampOf({ year: year, month: month, day: day, ...clock });
};

interface Parts {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
  ms: number;
  half: string | null;
  /** UTC offset, as written. */
  offset: string;
}

function stampOf(p: Parts): number {
  let { hour } = p;
  if (p.half !== null) {
    if (hour < 1 || hour > 12) return Number.NaN;
    hour = (hour % 12) + (p.half === 'pm' ? 12 : 0);
  }
  const offset = offsetMinutes(p.offset);
  const shownMs = civilMs(p.year, p.month, p.day, hour, p.minute, p.second);
  return offset === null || shownMs === null ? Number.NaN : shownMs + p.ms - offset * 60_000;
}

const FIELDS: Readonly<Record<string, readonly [field: string, pattern: string]>> = {
  Y: ['year', '(\\d{4})'],
  y: ['short', '(\\d{2})'],
  m: ['month', '(\\d{1,2})'],
  d: ['day', '(\\d{1,2})'],
  H: ['hour', '(\\d{1,2})'],
  I: ['hour', '(\\d{1,2})'],
  M: ['minute', '(\\d{1,2})'],
  S: ['second', '(\\d{1,2})'],
  f: ['fraction', '(\\d{1,9})'],
  p: ['half', '([AaPp][Mm])'],
  z: ['offset', '([Zz]|[+-]\\d{2}:?\\d{2})'],
};

/**
 * A parser for a strptime format: %Y %y %m %d %H %I %M %S %f %p %z %%, or `unix_s`, `unix_ms`.
 * @throws USAGE for another directive
 */
export function timeReaderOf(format: string): TimeReader {
  if (format === 'unix_s') return (text) => (NUMBER.test(text) ? Number(text) * 1000 : Number.NaN);
  if (format === 'unix_ms') return (text) => (NUMBER.test(text) ? Number(text) : Number.NaN);
  const names: string[] = [];
  const pattern = format.replace(/%(.?)|[^%]/gs, (piece, letter: string | undefined) => {
    if (letter === undefined) return piece.replace(/[\\^$.*+?()[\]{}|]/, '\\$&');
    if (letter === '%') return '%';
    const field = FIELDS[letter];
    if (field === undefined) {
      throw new GatecastError('USAGE', `time format: %${letter} is not known`, {
        hint: 'use %Y %y %m %d %H %I %M %S %f %p %z %%, or unix_s or unix_ms',
      });
    }
    names.push(field[0]);
    return field[1];
  });
  const regex = new RegExp(`^${pattern}$`);
  return (text) => {
    const found = regex.exec(text);
    if (found === null) return Number.NaN;
    const part = (name: string): string | undefined => {
      const at = names.indexOf(name);
      return at < 0 ? undefined : found[at + 1];
    };
    const short = part('short');
    // as strptime: 69-99 are 1969-1999, 00-68 are 2000-2068
    const year =
      short === undefined ? Number(part('year')) : Number(short) + (Number(short) < 69 ? 2000 : 1900);
    return stampOf({
      year,
      month: Number(part('month') ?? 1),
      day: Number(part('day') ?? 1),
      hour: Number(part('hour') ?? 0),
      minute: Number(part('minute') ?? 0),
      second: Number(part('second') ?? 0),
      ms: Number(`0.${part('fraction') ?? '0'}`) * 1000,
      half: part('half')?.toLowerCase() ?? null,
      offset: part('offset') ?? 'Z',
    });
  };
}
