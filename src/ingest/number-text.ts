/** Numbers and on/off words as devices write them. */

/** Strict decimal notation: no hexadecimal, no thousands separators, no comma; those would be guesses. */
const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const WITH_UNIT = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S.{0,31})$/;
const NOT_FINITE = /^[+-]?(?:nan|inf|infinity)$/i;
/** No real reading is longer, and it bounds the time a pattern can take. */
const MAX_LENGTH = 64;

export interface NumberWithUnit {
  readonly value: number;
  readonly unit: string | null;
}

/** The number, or why there is none. `1e400` and `NaN` are 'not-finite'. Surrounding blanks are allowed. */
export function parseNumber(text: string): number | 'bad-number' | 'not-finite' {
  const trimmed = text.trim();
  if (trimmed.length > MAX_LENGTH) return 'bad-number';
  if (!DECIMAL.test(trimmed)) return NOT_FINITE.test(trimmed) ? 'not-finite' : 'bad-number';
  const value = Number(trimmed);
  return Number.isFinite(value) ? value : 'not-finite';
}

/** `21.5 °C`, `1013hPa`, `21.5`. */
export function parseNumberWithUnit(text: string): NumberWithUnit | 'bad-number' | 'not-finite' {
  const plain = parseNumber(text);
  if (plain !== 'bad-number') return plain === 'not-finite' ? plain : { value: plain, unit: null };
  const trimmed = text.trim();
  if (trimmed.length > MAX_LENGTH) return 'bad-number';
  const found = WITH_UNIT.exec(trimmed);
  // A unit does not start with a digit or a sign of another number: "21.5.3", "1,234" and "12:30" are not units.
  if (found === null || /^[\d.,:;/+\-_]/.test(found[2] as string)) return 'bad-number';
  const value = Number(found[1]);
  return Number.isFinite(value) ? { value, unit: found[2] as string } : 'not-finite';
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
