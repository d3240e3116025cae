/** Parses numbers and on/off words in the notations of devices. */
import { isUnit } from './unit-names.ts';

/** Strict decimal notation: no hexadecimal, thousands separators or comma, which would be ambiguous. */
const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const WITH_UNIT = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(\s*)\*?(\S.{0,31})$/;
const NOT_FINITE = /^[+-]?(?:nan(?:\([a-z0-9_]*\))?|inf|infinity|1\.#(?:inf|ind|qnan|snan)\d*)$/i;
/** With a decimal comma: `21,5`, and `1.234,5` or `1 234,5` with thousands separators. */
const COMMA_NUMBER = /^([+-]?(?:\d{1,3}(?:[. \u00a0\u202f']\d{3})+|\d*)),(\d+)(?![\d.,])/;
/** `1,234.5`, `1 234.5` and `1'234.5`: only with a unit, because without one the text may be a list of numbers. */
const POINT_GROUPS = /^([+-]?\d{1,3}(?:([, \u00a0\u202f'])\d{3})(?:\2\d{3})*)(\.\d+)(?=\s*[^\d\s.,])/;
/** `1.234` may mean 1234 or 1.234. */
const AMBIGUOUS = /^[+-]?\d{1,3}(?:\.\d{3})+(?!\d)/;
/** The typographic minus sign. */
const MINUS = /^\u2212/;
/** Longer than any real reading; limits the time of the regular expressions. */
const MAX_LENGTH = 64;
/** Doubles represent all integers of this many digits exactly. */
const EXACT_DIGITS = 15;

export interface NumberWithUnit {
  readonly value: number;
  readonly unit: string | null;
}

export interface NumberFormat {
  /** `21,5` is 21.5. */
  readonly decimalComma?: boolean;
  /** Unit of the rule, accepted in addition to the known units. */
  readonly ownUnit?: string | null;
}

/** The number, or the reason why it is none. `1e400` and `NaN` are 'not-finite'. Surrounding blanks are allowed. */
export function parseNumber(text: string): number | 'bad-number' | 'not-finite' {
  const trimmed = text.trim().replace(MINUS, '-');
  if (trimmed.length > MAX_LENGTH) return 'bad-number';
  if (!DECIMAL.test(trimmed)) return NOT_FINITE.test(trimmed) ? 'not-finite' : 'bad-number';
  const value = Number(trimmed);
  return Number.isFinite(value) ? value : 'not-finite';
}

/**
 * A number, or a number with a known unit: `21.5 °C`, `1013hPa`, `21.5`. Identifiers that start with digits
 * (`00158d0001a2b3c4`, `2nd stage`) are 'bad-number'.
 */
export function parseNumberWithUnit(
  text: string,
  format: NumberFormat = {},
): NumberWithUnit | 'bad-number' | 'not-finite' {
  let trimmed = text.trim().replace(MINUS, '-');
  if (trimmed.length > MAX_LENGTH) return 'bad-number';
  if (format.decimalComma === true) {
    const pointed = withPoint(trimmed);
    if (pointed === null) return 'bad-number';
    trimmed = pointed;
  } else
    trimmed = trimmed.replace(POINT_GROUPS, (_, whole: string, _separator, fraction: string) => {
      return whole.replace(/[^+\-\d]/g, '') + fraction;
    });
  if (NOT_FINITE.test(trimmed)) return 'not-finite';
  if (DECIMAL.test(trimmed)) return looksLikeIdentifier(trimmed) ? 'bad-number' : plain(trimmed, null);
  const found = WITH_UNIT.exec(trimmed);
  if (found === null) return 'bad-number';
  const [, number = '', space, unit = ''] = found;
  if (unit !== format.ownUnit && !isUnit(unit)) return 'bad-number';
  // error codes (`0H`, `203T`) are more likely than henry and tesla
  if (space === '' && /^[HJNST]$/.test(unit) && /^\d+$/.test(number)) return 'bad-number';
  // `00158d` and `1234F` are more likely hexadecimal than days and farads
  if (space === '' && /^[A-Fa-f]$/.test(unit) && /^(?:0\d|\d{4})\d*$/.test(number)) return 'bad-number';
  return looksLikeIdentifier(number) ? 'bad-number' : plain(number, unit);
}

function plain(number: string, unit: string | null): NumberWithUnit | 'not-finite' {
  const value = Number(number);
  return Number.isFinite(value) ? { value, unit } : 'not-finite';
}

/** More digits than a double holds, or an exponent after a leading zero or a long mantissa: `00158e12`, `7e123456`. */
function looksLikeIdentifier(number: string): boolean {
  const [mantissa = '', exponent] = number.toLowerCase().split('e');
  const digits = mantissa.replace(/^[+-]?/, '');
  if (exponent !== undefined && !digits.includes('.'))
    return /^0\d/.test(digits) || digits.length > 4 || exponent.replace(/^[+-]/, '').length > 3;
  return !digits.includes('.') && digits.replace(/^0+/, '').length > EXACT_DIGITS;
}

/** Converts a decimal comma to a point; null if a point is ambiguous (thousands or fraction). */
function withPoint(text: string): string | null {
  const found = COMMA_NUMBER.exec(text);
  if (found === null) return AMBIGUOUS.test(text) ? null : text;
  const [all, whole = '', fraction = ''] = found;
  return `${whole.replace(/[. \u00a0\u202f']/g, '') || '0'}.${fraction}${text.slice(all.length)}`.replace(
    /^([+-])\./,
    '$10.',
  );
}

const SWITCH_WORDS = new Map<string, 0 | 1>([
  ['on', 1],
  ['off', 0],
  ['true', 1],
  ['false', 0],
  ['open', 1],
  ['closed', 0],
  ['yes', 1],
  ['no', 0],
]);

/** 1 or 0 for on/off, true/false, open/closed, yes/no in any case; null for any other text. */
export function parseSwitch(text: string): 0 | 1 | null {
  if (text.length > 16) return null;
  return SWITCH_WORDS.get(text.trim().toLowerCase()) ?? null;
}
