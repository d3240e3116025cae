/** Parsers of option values. Each error says what is allowed (exit code 2). */
import { InvalidArgumentError, Option } from 'commander';
import { parseDuration } from '../../config/units.ts';
import { parseTime } from '../../series/time-stamp.ts';

/** An option with a parser, and with its default as it would be typed: `--help` shows it like that. */
export const presetOption = (
  flags: string,
  description: string,
  parse: (text: string) => unknown,
  preset: string,
): Option => new Option(flags, description).argParser(parse).default(parse(preset), preset);

/** `a,b , c` -> [a, b, c] */
export function list(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** `all`, or names as `list` takes them. */
export const columns = (text: string): 'all' | string[] => (text === 'all' ? 'all' : list(text));

/** ms from `30s`, `5m`, `1h`, `14d`; also `5 min`. */
export function duration(text: string): number {
  const ms = parseDuration(text.replaceAll(' ', '').replace(/min$/, 'm'));
  if (ms === null || ms <= 0)
    throw new InvalidArgumentError('A duration like 30s, 5m, 1h or 1d is expected.');
  return ms;
}

export const durations = (text: string): number[] => list(text).map(duration);

/** ms since 1970 UTC, from any time format that messages may use. */
export function instant(text: string): number {
  const ms = parseTime(text);
  if (ms === null) throw new InvalidArgumentError('A time like 2017-01-01T00:00:00Z is expected.');
  return ms;
}

/** @param expected for the error */
export function matching(text: string, pattern: RegExp, expected: string): string {
  if (!pattern.test(text)) throw new InvalidArgumentError(expected);
  return text;
}

/** @param expected for the error */
export function numberOf(text: string, isRight: (value: number) => boolean, expected: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!isRight(value)) throw new InvalidArgumentError(`${expected} is expected.`);
  return value;
}

const integerFrom = (text: string, least: number): number =>
  numberOf(text, (n) => Number.isInteger(n) && n >= least, `An integer of at least ${least}`);

export const whole = (text: string): number => integerFrom(text, 1);
export const wholes = (text: string): number[] => list(text).map(whole);
export const count = (text: string): number => integerFrom(text, 0);
export const amount = (text: string): number => numberOf(text, (n) => n >= 0, 'A number of at least 0');
export const fraction = (text: string): number =>
  numberOf(text, (n) => n >= 0 && n < 1, 'A number from 0 to below 1');

/** IANA name of a time zone; `local` is the machine's zone. */
export function timeZone(text: string): string {
  try {
    const { timeZone } = new Intl.DateTimeFormat(
      'en',
      text === 'local' ? {} : { timeZone: text },
    ).resolvedOptions();
    return text === 'local' ? timeZone : text;
  } catch {
    throw new InvalidArgumentError('`local` or a zone such as Europe/Berlin or UTC is expected.');
  }
}

/** One character; a tab also as `\t` or `tab`. */
export function delimiter(text: string): string {
  const sign = text === '\\t' || text === 'tab' ? '\t' : text;
  if (sign.length !== 1 || /["\r\n]/.test(sign))
    throw new InvalidArgumentError('One character is expected, such as ; or tab.');
  return sign;
}
