/**
 * Building blocks of the schema. Each makes one key: its type, bounds and default, what is said when it is wrong, and
 * the notes (text, hot or restart) from which the reference and the JSON Schema are made.
 */
import { z } from 'zod';
import { parseDuration, parseRate, parseSize } from './units.ts';

/** What a change of the key takes: `hot` nothing, `reconnect` another connection to the broker, `restart` another start of the agent. */
export type Reload = 'hot' | 'reconnect' | 'restart';

/** Names of the notes in the JSON Schema, where they are extension keywords. */
export const RELOAD_KEY = 'x-reload';
export const TYPE_KEY = 'x-type';
export const BOUNDS_KEY = 'x-bounds';

/** Attaches what the reference says. Must come last: a further method makes another schema, without the notes. */
export function note<T extends z.ZodType>(
  schema: T,
  reload: Reload,
  description: string,
  extra: Readonly<Record<string, string>> = {},
): T {
  return schema.meta({ description, [RELOAD_KEY]: reload, ...extra });
}

export interface Range {
  readonly min: string;
  readonly max: string;
}

type Parse = (text: string) => number | null;

/** A text that `parse` turns into a number within the range; the words of `special` stand for null. */
function quantity(kind: string, parse: Parse, range: Range, special: readonly string[]) {
  const least = parse(range.min) ?? 0;
  const most = parse(range.max) ?? Number.MAX_SAFE_INTEGER;
  const also = special.map((word) => `\`${word}\` or `).join('');
  const message = `must be ${also}a ${kind} from ${range.min} to ${range.max}`;
  const error = ({ input }: { input?: unknown }): string =>
    kind === 'duration' && typeof input === 'number' && input > 0
      ? `${message}; did you mean "${input}s"?`
      : message;
  return z.string({ error }).transform((text, context): number | null => {
    if (special.includes(text)) return null;
    const value = parse(text);
    if (value !== null && value >= least && value <= most) return value;
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  });
}

const extra = (kind: string, range: Range) => ({
  [TYPE_KEY]: kind,
  [BOUNDS_KEY]: `${range.min} to ${range.max}`,
});

/** ms. */
export function duration(range: Range, preset: string, reload: Reload, description: string) {
  const schema = quantity('duration', parseDuration, range, []).transform((ms) => ms as number);
  return note(schema.prefault(preset), reload, description, extra('duration', range));
}

/** ms, or null for `word`, which is also the default unless `preset` is another. */
export function durationOr(word: string, range: Range, reload: Reload, description: string, preset = word) {
  const schema = quantity('duration', parseDuration, range, [word]);
  return note(schema.prefault(preset), reload, description, extra(`\`${word}\` or duration`, range));
}

/** ms each. */
export function durationList(range: Range, reload: Reload, description: string, preset: string[] = []) {
  const item = quantity('duration', parseDuration, range, []).transform((ms) => ms as number);
  const schema = z
    .array(item, { error: () => 'must be a list of durations' })
    .max(16, 'has more than 16 entries');
  return note(schema.prefault(preset), reload, description, extra('list of durations', range));
}

/** Bytes. */
export function size(range: Range, preset: string, reload: Reload, description: string) {
  const schema = quantity('size', parseSize, range, []).transform((bytes) => bytes as number);
  return note(schema.prefault(preset), reload, description, extra('size', range));
}

/** Units of the stream per ms. */
export function rate(reload: Reload, description: string) {
  const message = 'must be a change per time, such as 5/1m: at most 5 in one minute';
  const schema = z.string({ error: () => message }).transform((text, context): number => {
    const perMs = parseRate(text);
    if (perMs !== null && perMs > 0) return perMs;
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  });
  return note(schema.optional(), reload, description, { [TYPE_KEY]: 'rate' });
}

/** A number within bounds, both included. */
export function bounded(min: number, max: number, whole: boolean) {
  const message = `must be a ${whole ? 'whole number' : 'number'} from ${min} to ${max}`;
  const base = z
    .number({ error: () => message })
    .min(min, message)
    .max(max, message);
  return whole ? base.int(message) : base;
}

export function finite() {
  return z.number({ error: () => 'must be a finite number' });
}

export function flag() {
  return z.boolean({ error: () => 'must be true or false' });
}

/** A text that holds up to `check`, which says what is wrong or returns null. */
export function text(expected: string, check: (text: string) => string | null = () => null) {
  return z.string({ error: () => `must be ${expected}` }).superRefine((value, context) => {
    const wrong = value === '' ? 'must not be empty' : check(value);
    if (wrong !== null) context.addIssue({ code: 'custom', message: wrong });
  });
}

/** Runs a check over several keys even where some of them are wrong, so that one run lists everything. */
export const ALWAYS = { when: () => true };
