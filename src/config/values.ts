/**
 * Building blocks of the schema. Each defines one key: type, bounds, default, error message, and the notes (description,
 * hot or restart) used in the reference and the JSON Schema.
 */
import { z } from 'zod';
import { parseDuration, parseRate, parseSize } from './units.ts';

/** How a change of the key is applied: at once, with a new connection to the broker, or after a restart of the agent. */
export type Reload = 'hot' | 'reconnect' | 'restart';

/** Extension keywords for the notes in the JSON Schema. */
export const RELOAD_KEY = 'x-reload';
export const TYPE_KEY = 'x-type';
export const BOUNDS_KEY = 'x-bounds';

const note =
  (reload: Reload) =>
  /** @param type for the reference; by default that of the schema */
  <T extends z.ZodType>(schema: T, description: string, type?: string): T =>
    schema.meta({
      description,
      [RELOAD_KEY]: reload,
      ...(type !== undefined && { [TYPE_KEY]: type }),
    });

/** Attach the notes for the reference. Must be the last call: further methods create a new schema without the notes. */
export const hot = note('hot');
export const reconnect = note('reconnect');
export const restart = note('restart');

interface Range {
  readonly min: string;
  readonly max: string;
}

type Parse = (text: string) => number | null;

/** A text converted by `parse` to a number within the range; the words of `special` become null. */
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

/** Attaches type and bounds for the reference. */
const typed = <T extends z.ZodType>(schema: T, kind: string, { min, max }: Range): T =>
  schema.meta({ [TYPE_KEY]: kind, [BOUNDS_KEY]: `${min} to ${max}` });

/** ms. */
export function duration(range: Range, preset: string) {
  const schema = quantity('duration', parseDuration, range, []).transform((ms) => ms as number);
  return typed(schema.prefault(preset), 'duration', range);
}

/** ms, or null for `word`, which is the default unless `preset` is given. */
export function durationOr(word: string, range: Range, preset = word) {
  const schema = quantity('duration', parseDuration, range, [word]);
  return typed(schema.prefault(preset), `\`${word}\` or duration`, range);
}

/** ms each. */
export function durationList(range: Range, preset: string[] = []) {
  const item = quantity('duration', parseDuration, range, []).transform((ms) => ms as number);
  const schema = z
    .array(item, { error: () => 'must be a list of durations' })
    .max(16, 'has more than 16 entries');
  return typed(schema.prefault(preset), 'list of durations', range);
}

export function size(range: Range, preset: string) {
  const schema = quantity('size', parseSize, range, []).transform((bytes) => bytes as number);
  return typed(schema.prefault(preset), 'size', range);
}

/** Units of the stream per ms. */
export function rate() {
  const message = 'must be a change per time, such as 5/1m: at most 5 in one minute';
  const schema = z.string({ error: () => message }).transform((text, context): number => {
    const perMs = parseRate(text);
    if (perMs !== null && perMs > 0) return perMs;
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  });
  return schema.optional().meta({ [TYPE_KEY]: 'rate' });
}

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

/** A text for which `check` returns null; otherwise `check` returns the problem. */
export function text(expected: string, check: (text: string) => string | null = () => null) {
  return z.string({ error: () => `must be ${expected}` }).superRefine((value, context) => {
    const wrong = value === '' ? 'must not be empty' : check(value);
    if (wrong !== null) context.addIssue({ code: 'custom', message: wrong });
  });
}

/** Runs a check of several keys even if some are invalid, so that all problems are listed at once. */
export const ALWAYS = { when: () => true };
