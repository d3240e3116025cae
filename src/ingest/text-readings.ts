/**
 * Texts with several readings, as the object or list that they stand for: `temp=21.5,hum=40`, `temp:21.5 hum:40`, a form, rows of
 * numbers (CSV), and the telegram of a meter (DSMR, IEC 62056-21).
 */
import { isTimeMember } from './json-times.ts';
import { parseNumberWithUnit } from './number-text.ts';

/** Longer texts are not examined. */
const MAX_LENGTH = 16 * 1024;
const MAX_ROWS = 1024;
const MAX_CELLS = 256;

/** A key and its sign; the value ends before the next one. */
const KEY = {
  '=': /[\s,;&|{?]*([A-Za-z_][\w./-]{0,63})[ \t]*=/y,
  ':': /[\s,;&|{]*([A-Za-z_][\w./-]{0,63})[ \t]*:/y,
};
/** Where another pair may begin; searched only from the start of a run of separators, because a run can be as long as the text. */
const NEXT = {
  '=': /(?<![\s,;&|])[\s,;&|]+(?=[A-Za-z_][\w./-]{0,63}[ \t]*=)/g,
  ':': /(?<![\s,;&|])[\s,;&|]+(?=[A-Za-z_][\w./-]{0,63}[ \t]*:)/g,
};
const SEPARATORS_AT_END = /(?<![\s,;&|}])[\s,;&|}]+$/;
/** `1,234,567`, `1,234.5` and `1.234,5`. */
const GROUPS = /^[+-]?\d{1,3}(?:(?:,\d{3})+(?:\.\d+)?|(?:\.\d{3})+,\d+)$/;
const OBIS =
  /^(\d{1,2}-\d{1,3}:\d{1,3}\.\d{1,3}\.\d{1,3})(?:\([^()]{0,64}\))*\(([^()*]{1,32}\*[^()]{1,8})\)\s*$/gm;
const TELEGRAM_TIME = /^0-0:1\.0\.0\((\d{12}[SW])\)/m;

/** @returns an object of texts, a list of numbers or rows with times; null: the text has another form, or no number */
export function textReadings(text: string, decimalComma = false): object | null {
  if (text.length > MAX_LENGTH || unreadForm(text) !== null) return null;
  if (text.startsWith('/') && text.includes('\n')) return telegram(text);
  return pairs(text, decimalComma) ?? rows(text, decimalComma);
}

/** As `textReadings`, for a text of unknown form; also null for what may be one number with thousands separators. */
export const unmistakableReadings = (text: string, decimalComma = false): object | null =>
  GROUPS.test(text.trim()) ? null : textReadings(text, decimalComma);

/** Whether a text has several readings, with decimal points or commas. */
export const hasReadings = (text: string): boolean =>
  [false, true].some((decimalComma) => unmistakableReadings(text, decimalComma) !== null);

function pairs(text: string, decimalComma: boolean): object | null {
  const sign = /[=:]/.exec(text)?.[0] as '=' | ':' | undefined;
  if (sign === undefined) return null;
  const isForm = sign === '=' && text.includes('&');
  const found: [key: string, value: string][] = [];
  let numbers = 0;
  for (let at = 0; at < text.length; ) {
    // A part of the readings would be lost without a reject.
    if (found.length === MAX_CELLS) return null;
    const key = KEY[sign];
    key.lastIndex = at;
    const name = key.exec(text)?.[1];
    if (name === undefined) return null;
    const from = key.lastIndex;
    const next = NEXT[sign];
    next.lastIndex = from;
    at = next.exec(text)?.index ?? text.length;
    const value = text.slice(from, at).replace(SEPARATORS_AT_END, '').trim();
    if (sign === '=' && value.includes('=')) return null;
    found.push([name, isForm ? unescaped(value) : value.replace(/^(["'])(.*)\1$/, '$2')]);
    if (typeof parseNumberWithUnit(value, { decimalComma }) === 'object') numbers += 1;
  }
  return numbers === 0 ? null : Object.fromEntries(found);
}

function unescaped(value: string): string {
  try {
    return decodeURIComponent(value.replaceAll('+', ' '));
  } catch {
    return value;
  }
}

/** One row of numbers, as a list; rows with times or a header, as a batch. */
function rows(text: string, decimalComma: boolean): object | null {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '');
  if (lines.length === 0 || lines.length > MAX_ROWS) return null;
  const delimiter = /[;|\t]/.exec(text)?.[0] ?? ',';
  const table = lines.map((line) =>
    line
      .replace(/[;,]\s*$/, '')
      .split(delimiter)
      .map((cell) => cell.trim()),
  );
  const [first = []] = table;
  if (first.length < 2 || first.length > MAX_CELLS || table.some(({ length }) => length !== first.length))
    return null;
  // with a comma between whole numbers, `21,5` may be one number
  if (delimiter === ',' && first.length === 2 && !/[.:]/.test(text)) return null;
  // `21,5,40,2`: a comma cannot be both
  if (delimiter === ',' && decimalComma && !text.includes('.')) return null;
  const read = (cell: string): unknown => {
    const number = parseNumberWithUnit(cell, { decimalComma });
    return typeof number === 'object' && number.unit === null ? number.value : cell;
  };
  const readings = (row: readonly string[]): number =>
    row.filter((cell) => typeof read(cell) === 'number').length;
  if (lines.length > 1 && readings(first) === 0) {
    const named = table
      .slice(1)
      .map((row) => Object.fromEntries(row.map((cell, at) => [first[at], read(cell)])));
    return readings(table[1] ?? []) === 0 ? null : named.length === 1 ? (named[0] as object) : named;
  }
  if (isTimeMember('time', first[0] ?? ''))
    return table.map((row) =>
      Object.fromEntries(row.map((cell, at) => (at === 0 ? ['time', cell] : [at, read(cell)]))),
    );
  return lines.length === 1 && readings(first) > 1 ? first.map(read) : null;
}

/** The values with a unit, by their OBIS codes: identifiers and messages have none. */
function telegram(text: string): object | null {
  const values = [...text.matchAll(OBIS)].map(([, code = '', value = '']) => [code, value] as const);
  const time = TELEGRAM_TIME.exec(text)?.[1];
  return values.length === 0
    ? null
    : Object.fromEntries([...(time === undefined ? [] : [['timestamp', time] as const]), ...values]);
}

/** The form of a text whose readings are not read; null for any other text. */
export function unreadForm(text: string): string | null {
  if (/^[$!][A-Z]{2,5}[A-Z0-9]*,/.test(text)) return 'NMEA 0183; let the sender use JSON';
  if (/^\s*<(?:\?xml|[A-Za-z][\w:-]*[\s/>])/.test(text)) return 'XML; let the sender use JSON';
  return null;
}
