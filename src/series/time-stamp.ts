/**
 * Parses time stamps of devices: seconds, ms, us or ns since 1970, ISO 8601 with any offset, RFC 2822, and the usual forms of local
 * time. A time without an offset is in the given zone, UTC by default.
 */
import { FUTURE_MS } from './admission.ts';
import { civilMs, MS_FROM, offsetMinutes, UTC, type ZoneOffset } from './calendar.ts';

/** With `MS_FROM`, the magnitudes that separate the units; each covers the years 1973 to 5138 of its unit. */
const US_FROM = 1e14;
const NS_FROM = 1e17;
const LARGEST_MS = 8.64e15;
const HOUR_MS = 3_600_000;

const ISO =
  /^(\d{4})-?(\d{2})-?(\d{2})(?:[Tt ](\d{2})(?::?(\d{2})(?::?(\d{2})(?:[.,](\d{1,12}))?)?)?)?\s*([Zz]|[+-]\d{2}(?::?\d{2})?)?$/;
/** `2026/11/29 01:44:45`, `2026.11.29T01:44`, also with single digits. */
const YEAR_FIRST =
  /^(\d{4})[/.](\d{1,2})[/.](\d{1,2})(?:[Tt, ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,12}))?)?)?\s*([Zz]|[+-]\d{2}(?::?\d{2})?)?$/;
/** `29.11.2026 01:44:45`, and `29.11.26 01:44`. With slashes, day and month would be ambiguous. */
const DAY_FIRST =
  /^(\d{1,2})\.(\d{1,2})\.(\d{4}|\d{2}(?=[T ,]+\d{1,2}:))(?:[Tt, ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,12}))?)?)?\s*([Zz]|[+-]\d{2}(?::?\d{2})?)?$/;
/** `29-11-2026 01:44`, `11/29/2026 01:44:45`: which of the first two is the day depends on the country. */
const DAY_AND_MONTH =
  /^(\d{1,2})([/-])(\d{1,2})\2(\d{4})(?:[Tt, ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,12}))?)?)?\s*([Zz]|[+-]\d{2}(?::?\d{2})?)?$/;
/** A date this near to the arrival is right; with day and month swapped it would be farther away. */
const NEAR_DATE_MS = 7 * 24 * 3_600_000;
/** `20261129014445`, `202611290144`, `20261129014445Z`. */
const DIGITS = /^(20\d{2}|19\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})?([Zz])?$/;
/** `Sun, 29 Nov 2026 01:44:45 +0100` (RFC 2822, HTTP), `29-Nov-2026 01:44`. */
const DAY_MONTH =
  /^(?:[a-z]{3,9},?\s+)?(\d{1,2})[\s-]([a-z]{3})[a-z]{0,6}[\s-](\d{4}),?\s+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,12}))?)?\s*([Zz]|[+-]\d{2}(?::?\d{2})?)?$/i;
/** `Sun Nov 29 01:44:45 2026` (C's `ctime`), `Sun Nov 29 01:44:45 UTC 2026` (`date`). */
const YEAR_LAST =
  /^(?:[a-z]{3}\s+)?([a-z]{3})\s+(\d{1,2})\s+(\d{1,2}):(\d{2}):(\d{2})\s+(?:([A-Z]{1,5})\s+)?(\d{4})$/i;
/** `Sun Nov 29 2026 01:44:45 +0100`: a `Date` of JavaScript as text. */
const MONTH_DAY =
  /^(?:[a-z]{3},?\s+)?([a-z]{3})\s+(\d{1,2}),?\s+(\d{4}),?\s+(\d{1,2}):(\d{2})(?::(\d{2}))?\s*([Zz]|[+-]\d{2}(?::?\d{2})?)?$/i;
const MONTHS = 'jan feb mar apr may jun jul aug sep oct nov dec'.split(' ');
/** A named UTC at the end, with or without an offset and the zone's name in brackets: ` UTC`, ` GMT+0100 (CET)`, ` UTC+1`. */
const UTC_NAME = /(?<=\d)\s*(?:UTC|GMT|UT)\s*(?:([+-])(\d{1,2})(?::?(\d{2}))?)?\s*(?:\([^()]{0,60}\))?$/i;
/** `1:44 PM`, `01:44:45.5 am`. */
const HALF_DAY = /(?<!\d)(1[0-2]|0?[1-9])(:\d{2}(?::\d{2}(?:[.,]\d{1,12})?)?)\s*([ap])\.?m\b\.?/i;
/** Abbreviations with one usual meaning: hours from UTC. Others, such as CST and IST, have several. */
const ABBREVIATIONS = new Map(
  (
    'WET 0 WEST 1 CET 1 CEST 2 MET 1 MEST 2 EET 2 EEST 3 MSK 3 JST 9 KST 9 AEST 10 AEDT 11 NZST 12 NZDT 13 ' +
    'EST -5 EDT -4 CDT -5 MST -7 MDT -6 PST -8 PDT -7'
  )
    .match(/\S+ \S+/g)
    ?.map((pair): [string, number] => [pair.split(' ')[0] as string, Number(pair.split(' ')[1])]),
);
const ABBREVIATION = /(?<=\d)\s*([A-Z]{3,4})$/;
/** A comment, or the name of the zone behind an offset (RFC 9557): `2026-11-29T01:44:45+01:00[Europe/Berlin]`. */
const BRACKETS = /(?<=[\dZz])\s*\([^()]{0,60}\)$|(?<=[Zz]|[+-]\d{2}:?\d{2})(?:\[!?[\w/+=-]{1,60}\])+$/;
const LONGEST = 100;
/** Dutch and Belgian meters (DSMR 5.0, TST): YYMMDDhhmmss, then S for summer time and W for winter time. */
const DSMR = /^(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})([SW])$/;
const EPOCH = /^[+-]?\d{1,20}(?:\.\d{1,12})?$/;
/** `/Date(1796000000000+0100)/` of .NET: the offset does not change the instant. */
const DOT_NET = /^\/Date\((-?\d{1,15})(?:[+-]\d{4})?\)\/$/;
const MONGODB = /^\$(?:date|numberLong)$/;
/** Members of a time that is an object: Protocol Buffers, Firestore, AWS IoT SiteWise, Java's `Instant`. */
const WHOLE_SECONDS = /^(?:_?seconds|timeInSeconds|epochSecond|tv_sec)$/;
const NANOSECONDS = /^(?:_?nano(?:second)?s?|offsetInNanos|tv_nsec)$/;

/** ms since 1970 UTC from a number of seconds, ms, us or ns, distinguished by magnitude; null if it is not a time. */
export function epochToMs(value: number): number | null {
  if (!Number.isFinite(value)) return null;
  const size = Math.abs(value);
  const ms =
    size < MS_FROM ? value * 1000 : size < US_FROM ? value : size < NS_FROM ? value / 1e3 : value / 1e6;
  return Math.abs(ms) <= LARGEST_MS ? Math.round(ms) : null;
}

/**
 * ms since 1970 UTC from a number or a text; null if invalid.
 * @param zone of times without an offset
 * @param nearMs in the hour that occurs twice at the end of summer time, the later time that is not ahead of this one (by more than FUTURE_MS)
 */
export function parseTime(value: unknown, zone: ZoneOffset = UTC, nearMs?: number): number | null {
  if (typeof value === 'number')
    // 20261129014445 would be the year 2612 in ms.
    return value >= 19e12 && value < 21e12 ? digitsToMs(String(value), zone, nearMs) : epochToMs(value);
  if (typeof value === 'object' && value !== null) return objectToMs(value, zone, nearMs);
  if (typeof value !== 'string' || value.length > LONGEST) return null;
  const usual = usualIsoToMs(value);
  if (usual !== null) return usual;
  const text = plainTime(value);
  return (
    isoToMs(text, zone, nearMs) ??
    digitsToMs(text, zone, nearMs) ??
    (EPOCH.test(text) && !/^(?:19|20)\d{12}$/.test(text)
      ? epochToMs(Number(text))
      : otherToMs(text, zone, nearMs))
  );
}

/** `{"seconds":1796000000,"nanos":5000000}`, `{"$date":"2026-11-29T01:44:45Z"}`; null for any other object. */
function objectToMs(value: object, zone: ZoneOffset, nearMs: number | undefined): number | null {
  const members = Object.entries(value);
  if (members.length === 1 && MONGODB.test(members[0]?.[0] ?? ''))
    return parseTime(members[0]?.[1], zone, nearMs);
  let [seconds, nanoseconds] = [Number.NaN, 0];
  for (const [key, number] of members) {
    // a decoded object may have members such as `valueOf`, with which its conversion would throw
    if (typeof number !== 'number' && !(typeof number === 'string' && EPOCH.test(number))) return null;
    if (WHOLE_SECONDS.test(key)) seconds = Number(number);
    else if (NANOSECONDS.test(key)) nanoseconds = Number(number);
    else return null;
  }
  return seconds > 0 && nanoseconds >= 0 && nanoseconds < 1e9 ? epochToMs(seconds + nanoseconds / 1e9) : null;
}

/** Whether a value is a time without a zone or offset. */
export function isLocalTime(value: unknown): boolean {
  if (typeof value !== 'number' && typeof value !== 'string') return false;
  const text = plainTime(String(value));
  const zoned =
    (ISO.exec(text) ?? YEAR_FIRST.exec(text) ?? DAY_FIRST.exec(text))?.[8] ??
    DAY_AND_MONTH.exec(text)?.[9] ??
    DIGITS.exec(text)?.[7] ??
    namedMonth(text)?.offset;
  if (zoned !== undefined) return false;
  return (
    couldBeTime(value) !== null &&
    (DAY_AND_MONTH.test(text) ||
      DIGITS.test(text) ||
      YEAR_FIRST.test(text) ||
      DAY_FIRST.test(text) ||
      namedMonth(text) !== null ||
      /^\d{4}-/.test(text) ||
      /\dT\d/.test(text))
  );
}

/** `2026-11-29T01:44:45.123Z`, with or without the fraction. A fast path without a regular expression, because most software sends this form. */
function usualIsoToMs(text: string): number | null {
  const { length } = text;
  if ((length !== 24 && length !== 20) || text.charCodeAt(length - 1) !== 0x5a) return null;
  const marked =
    text.charCodeAt(4) === 0x2d &&
    text.charCodeAt(7) === 0x2d &&
    text.charCodeAt(10) === 0x54 &&
    text.charCodeAt(13) === 0x3a &&
    text.charCodeAt(16) === 0x3a &&
    (length === 20 || text.charCodeAt(19) === 0x2e);
  if (!marked) return null;
  const year = digitsAt(text, 0, 4);
  const month = digitsAt(text, 5, 2);
  const day = digitsAt(text, 8, 2);
  const hour = digitsAt(text, 11, 2);
  const minute = digitsAt(text, 14, 2);
  const second = digitsAt(text, 17, 2);
  const fractionMs = length === 20 ? 0 : digitsAt(text, 20, 3);
  if (Number.isNaN(year + month + day + hour + minute + second + fractionMs)) return null;
  const wholeMs = civilMs(year, month, day, hour, minute, second);
  return wholeMs === null ? null : wholeMs + fractionMs;
}

/** The number of `count` digits at `from`; NaN if one is not a digit. */
function digitsAt(text: string, from: number, count: number): number {
  let value = 0;
  for (let at = from; at < from + count; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = 10 * value + digit;
  }
  return value;
}

function isoToMs(text: string, zone: ZoneOffset, nearMs: number | undefined): number | null {
  const found = ISO.exec(text);
  if (found === null) return null;
  const [, year, month, day, hour, minute, second, fraction, offset] = found;
  // a date alone must have dashes, because eight digits may be a number of seconds
  if (hour === undefined && text.indexOf('-') !== 4) return null;
  return civilToMs(zone, nearMs, offset, year, month, day, hour, minute, second, fraction);
}

function digitsToMs(text: string, zone: ZoneOffset, nearMs: number | undefined): number | null {
  const found = DIGITS.exec(text);
  return found === null ? null : civilToMs(zone, nearMs, found[7], ...found.slice(1, 7));
}

function otherToMs(text: string, zone: ZoneOffset, nearMs: number | undefined): number | null {
  const dotNet = DOT_NET.exec(text);
  if (dotNet !== null) return Number(dotNet[1]);
  const yearFirst = YEAR_FIRST.exec(text);
  if (yearFirst !== null) return civilToMs(zone, nearMs, yearFirst[8], ...yearFirst.slice(1, 8));
  const dayFirst = DAY_FIRST.exec(text);
  if (dayFirst !== null) {
    const [, day, month, year = '', ...rest] = dayFirst;
    const full = year.length === 2 ? `20${year}` : year;
    return civilToMs(zone, nearMs, dayFirst[8], full, month, day, ...rest.slice(0, 4));
  }
  const candidates = dayAndMonth(text, zone, nearMs);
  if (candidates.length > 0) {
    const near = candidates.filter((ms) => nearMs !== undefined && Math.abs(ms - nearMs) <= NEAR_DATE_MS);
    return (candidates.length === 1 ? candidates : near)[0] ?? null;
  }
  const named = namedMonth(text);
  if (named !== null) return civilToMs(zone, nearMs, named.offset, ...named.parts);
  const dsmr = DSMR.exec(text);
  if (dsmr === null) return null;
  const [, year, ...rest] = dsmr;
  return civilToMs(zone, nearMs, rest[5] === 'S' ? '+02' : '+01', `20${year}`, ...rest.slice(0, 5));
}

/** The instants that a date may mean whose day and month may be swapped; empty if the text has another form. */
function dayAndMonth(text: string, zone: ZoneOffset, nearMs: number | undefined): number[] {
  const found = DAY_AND_MONTH.exec(text);
  if (found === null) return [];
  const [, one, , other, year, ...rest] = found;
  const orders =
    Number(one) === Number(other)
      ? [[one, other]]
      : [
          [one, other],
          [other, one],
        ];
  return orders
    .map(([day, month]) => civilToMs(zone, nearMs, rest[4], year, month, day, ...rest.slice(0, 4)))
    .filter((ms) => ms !== null);
}

/** As `parseTime`, but also for a date whose day and month may be swapped. */
export function couldBeTime(value: unknown): number | null {
  return (
    parseTime(value) ??
    (typeof value === 'string' ? (dayAndMonth(plainTime(value), UTC, undefined)[0] ?? null) : null)
  );
}

/** Why a time is not understood, as the end of a sentence; empty if nothing more is known. */
export function timeProblem(value: unknown): string {
  if (typeof value !== 'string' || value.length > LONGEST || parseTime(value) !== null) return '';
  if (couldBeTime(value) !== null)
    return ': day and month may be swapped, and neither date is near the arrival; let the sender use 2026-11-29 or 29.11.2026';
  const name = /[\d\s]([A-Z]{2,5})(?:\s+\d{4})?\s*$/.exec(value)?.[1];
  return name === undefined || ABBREVIATIONS.has(name)
    ? ''
    : `: ${name} is not a zone with one meaning; let the sender use an offset, or omit it and set time_zone`;
}

/** With hours up to 24, and an offset instead of the name of a zone. */
function plainTime(sent: string): string {
  let text = sent.trim();
  if (text.includes('m') || text.includes('M'))
    text = text.replace(HALF_DAY, (_, hour: string, rest: string, half: string) => {
      const hours = (Number(hour) % 12) + (half.toLowerCase() === 'p' ? 12 : 0);
      return `${String(hours).padStart(2, '0')}${rest}`;
    });
  text = withoutZoneName(text);
  const last = text.charCodeAt(text.length - 1);
  // A to Z
  if (last < 0x41 || last > 0x5a) return text;
  const hours = ABBREVIATIONS.get(ABBREVIATION.exec(text)?.[1] ?? '');
  return hours === undefined ? text : text.replace(ABBREVIATION, offsetOf(hours));
}

const offsetOf = (hours: number): string =>
  `${hours < 0 ? '-' : '+'}${String(Math.abs(hours)).padStart(2, '0')}`;

/** `2026-11-29 01:44 UTC` as `2026-11-29 01:44Z`; a text without a named UTC is returned as it is. */
function withoutZoneName(text: string): string {
  const last = text.charCodeAt(text.length - 1) | 0x20;
  // ends in a `c` or `t` of UTC and GMT, a bracket, or the digit of an offset behind them
  if (last !== 0x63 && last !== 0x74 && last !== 0x29 && last !== 0x7d && !/[a-z] ?[+-]/i.test(text))
    return text;
  const plain = text.replace(BRACKETS, '');
  return plain.replace(UTC_NAME, (_, sign?: string, hours = '', minutes = '00') =>
    sign === undefined ? 'Z' : `${sign}${hours.padStart(2, '0')}:${minutes}`,
  );
}

interface NamedMonth {
  /** Year, month, day, hour, minute, second, fraction. */
  readonly parts: readonly (string | undefined)[];
  readonly offset: string | undefined;
}

/** A time whose month has an English name; null if the text has another form. */
function namedMonth(text: string): NamedMonth | null {
  const dayMonth = DAY_MONTH.exec(text);
  if (dayMonth !== null) {
    const [, day, month, year, ...rest] = dayMonth;
    return monthParts(month, rest[4], [year, day, ...rest.slice(0, 4)]);
  }
  const monthDay = MONTH_DAY.exec(text);
  if (monthDay !== null) {
    const [, month, day, year, ...rest] = monthDay;
    return monthParts(month, rest[3], [year, day, ...rest.slice(0, 3)]);
  }
  const yearLast = YEAR_LAST.exec(text);
  if (yearLast === null) return null;
  const [, month, day, hour, minute, second, zone, year] = yearLast;
  const hours = /^(?:UTC|GMT|Z)$/i.test(zone ?? '') ? 0 : ABBREVIATIONS.get(zone ?? '');
  if (zone !== undefined && hours === undefined) return null;
  return monthParts(month, hours === undefined ? undefined : offsetOf(hours), [
    year,
    day,
    hour,
    minute,
    second,
  ]);
}

function monthParts(
  name: string | undefined,
  offset: string | undefined,
  [year, ...rest]: readonly (string | undefined)[],
): NamedMonth | null {
  const month = MONTHS.indexOf(name?.toLowerCase() ?? '') + 1;
  return month === 0 ? null : { parts: [year, String(month), ...rest], offset };
}

/** @param offset as sent; undefined: the zone's */
function civilToMs(
  zone: ZoneOffset,
  nearMs: number | undefined,
  offset: string | undefined,
  year?: string,
  month?: string,
  day?: string,
  hour?: string,
  minute?: string,
  second?: string,
  fraction?: string,
): number | null {
  const wholeMs = civilMs(
    Number(year),
    Number(month),
    Number(day),
    Number(hour ?? 0),
    Number(minute ?? 0),
    Number(second ?? 0),
  );
  if (wholeMs === null) return null;
  const shownMs = wholeMs + (fraction === undefined ? 0 : Math.floor(Number(`0.${fraction}`) * 1000 + 1e-6));
  if (offset === undefined) return zone === UTC ? shownMs : localToMs(shownMs, zone, nearMs);
  const minutes = offsetMinutes(offset);
  return minutes === null ? null : shownMs - minutes * 60_000;
}

/** The instant at which a clock of the zone shows `civilMs`. In the hour skipped by summer time, winter time is assumed. */
function localToMs(civilMs: number, zone: ZoneOffset, nearMs: number | undefined): number {
  const earlier = civilMs - zone(civilMs - 24 * HOUR_MS);
  const later = civilMs - zone(civilMs + 24 * HOUR_MS);
  if (earlier === later) return earlier;
  const fitting = [earlier, later].filter((ms) => ms + zone(ms) === civilMs);
  const [first = earlier, second = first] = fitting;
  // a reading can be late by any time, but a stamp further ahead than FUTURE_MS would be refused
  return nearMs !== undefined && second <= nearMs + FUTURE_MS ? second : first;
}
