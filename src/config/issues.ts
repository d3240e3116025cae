/** Converts zod issues to one line per wrong key: path, problem, allowed values, probable intention. */
import { z } from 'zod';
import type { Issue } from '../errors.ts';
import { excerpt } from '../ingest/rejects.ts';
import { type LineOf, located, type PathPart } from './document.ts';
import { configSchema } from './schema.ts';

type ZodIssue = z.core.$ZodIssue;
type JsonSchema = z.core.JSONSchema.BaseSchema;

/** Maximum number of reported unknown keys per group. */
const MAX_UNKNOWN_KEYS = 20;

/** Common wrong keys, with the right key. */
const MEANT: Readonly<Record<string, string>> = {
  password: 'password_file',
  host: 'url',
  broker: 'url',
  server: 'url',
  topic: 'match',
  pattern: 'match',
  format: 'payload',
  field: 'fields',
  ha: 'home_assistant',
};

/** @param raw the checked data @param lineOf line in the file, by path */
export function readableIssues(issues: readonly ZodIssue[], raw: unknown, lineOf: LineOf): Issue[] {
  return issues
    .flatMap((issue) => flatten(issue, []))
    .flatMap((issue) => {
      const path = issue.path as readonly PathPart[];
      if (issue.code === 'unrecognized_keys') {
        const shown = issue.keys.slice(0, MAX_UNKNOWN_KEYS);
        const issues = shown.map((key) => located([...path, key], unknownKey(path, key), lineOf));
        const more = issue.keys.length - shown.length;
        return more > 0 ? [...issues, located(path, `has ${more} more unknown keys`, lineOf)] : issues;
      }
      return [located(path, wrongValue(issue, valueAt(raw, path)), lineOf)];
    });
}

/** A union reports all branches; keeps the branch that matched deepest. */
function flatten(issue: ZodIssue, prefix: readonly PropertyKey[]): ZodIssue[] {
  const path = [...prefix, ...issue.path];
  if (issue.code !== 'invalid_union') return [{ ...issue, path }];
  const meant = issue.errors.find((branch) => branch.some((inner) => inner.path.length > 0 || isDeep(inner)));
  if (meant !== undefined) return meant.flatMap((inner) => flatten(inner, path));
  return [{ ...issue, path }];
}

/** Whether the branch accepted the value's type and reports a problem inside it. */
const isDeep = (issue: ZodIssue): boolean =>
  issue.code === 'unrecognized_keys' ||
  issue.code === 'custom' ||
  issue.code === 'too_small' ||
  issue.code === 'too_big';

function wrongValue(issue: ZodIssue, value: unknown): string {
  const message = plainMessage(issue);
  if (value === undefined && issue.code === 'invalid_type') return `is missing; it ${message}`;
  const shown =
    typeof value === 'object' && value !== null
      ? ''
      : `, not ${excerpt(JSON.stringify(value) ?? String(value), 60)}`;
  return message.startsWith('must be') && !message.includes('; ') ? `${message}${shown}` : message;
}

function plainMessage(issue: ZodIssue): string {
  if (issue.code === 'invalid_value') {
    const { values } = issue;
    return values.length === 1 ? `must be ${String(values[0])}` : `must be one of ${values.join(', ')}`;
  }
  if (issue.code === 'invalid_union')
    return 'must be `auto` or a list of field names or { field, name, unit, aggregate, limits }';
  if (issue.code === 'invalid_type' && issue.message.startsWith('Invalid input')) {
    const kinds: Readonly<Record<string, string>> = { object: 'a group of keys', array: 'a list' };
    return `must be ${kinds[issue.expected] ?? `a ${issue.expected}`}`;
  }
  return issue.message;
}

function unknownKey(path: readonly PathPart[], key: string): string {
  const known = keysAt(path);
  const meant = nearest(key, known);
  const hint = meant === null ? '' : `; did you mean \`${meant}\`?`;
  return `is not a known key${hint} Allowed here: ${known.join(', ')}`.replace('key Allowed', 'key. Allowed');
}

/** Keys of the schema at a path, in order. */
function keysAt(path: readonly PathPart[]): string[] {
  const schemas = [...schemasTo(path)].at(-1) ?? [];
  return Object.keys(schemas.find(({ properties }) => properties !== undefined)?.properties ?? {});
}

/** The schemas of the values on the way to a path, from the whole config on, each with the branches of a union. */
export function* schemasTo(path: readonly PathPart[]): Generator<JsonSchema[]> {
  let found: unknown[] = [jsonSchema()];
  for (let length = 0; ; length++) {
    const schemas = found
      .filter((one): one is JsonSchema => typeof one === 'object' && one !== null)
      .flatMap((one) => [one, ...((one.anyOf as JsonSchema[] | undefined) ?? [])]);
    yield schemas;
    const part = path[length];
    if (part === undefined) return;
    found = schemas.map(({ items, properties }) => (typeof part === 'number' ? items : properties?.[part]));
  }
}

let cached: JsonSchema | null = null;
/** JSON Schema of the file, with defaults and notes. */
export function jsonSchema(): JsonSchema {
  cached ??= z.toJSONSchema(configSchema, { io: 'input' }) as JsonSchema;
  return cached;
}

function nearest(word: string, known: readonly string[]): string | null {
  const meant = Object.hasOwn(MEANT, word.toLowerCase()) ? MEANT[word.toLowerCase()] : null;
  if (meant !== null && known.includes(meant)) return meant;
  const simple = (text: string): string => text.toLowerCase().replaceAll(/[-_ ]/g, '');
  let best: string | null = null;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(simple(word.slice(0, 40)), simple(candidate));
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Optimal string alignment distance: insertions, deletions, replacements, and swaps of neighbours. */
function editDistance(a: string, b: string): number {
  const rows = Array.from({ length: a.length + 1 }, (_, i) => {
    const row = new Array<number>(b.length + 1).fill(0);
    row[0] = i;
    return row;
  });
  const at = (i: number, j: number): number => rows[i]?.[j] ?? Number.POSITIVE_INFINITY;
  for (let j = 0; j <= b.length; j += 1) (rows[0] as number[])[j] = j;
  for (let i = 1; i <= a.length; i += 1)
    for (let j = 1; j <= b.length; j += 1) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, at(i - 2, j - 2) + 1);
      (rows[i] as number[])[j] = best;
    }
  return at(a.length, b.length);
}

function valueAt(raw: unknown, path: readonly PathPart[]): unknown {
  let value = raw;
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<PathPart, unknown>)[part];
  }
  return value;
}
