/** Stream and device names from a rule, a topic and a field. */
import { formatOf } from './decoders/index.ts';
import type { PatternLevel, TopicPattern } from './pattern.ts';
import type { IngestRule, StreamSource } from './rule.ts';
import { fillTemplate, identityPointers, safeLevel, safeName } from './stream-name.ts';

/** Separates a field from payload values used in the name; sensors do not send it in keys. */
const SEPARATOR = '\u001f';

/** A field and the payload values used in the name, as one key that distinguishes the streams of a topic. */
export const identifiedField = (field: string, identity: readonly string[]): string =>
  [field, ...identity].join(SEPARATOR);

export const plainField = (identified: string): string => identified.split(SEPARATOR, 1)[0] ?? '';

/**
 * @param taken text matched by the wildcards of the rule's pattern, in order
 * @param field from `identifiedField`, if the name uses members of the payload
 * @returns a safe name, or null if nothing usable remains
 */
export function streamName(
  rule: Pick<IngestRule, 'name' | 'pattern' | 'payload'>,
  topic: string,
  taken: readonly string[],
  field: string,
): string | null {
  return safeName(nameText(rule, topic, taken, field, safeLevel));
}

/** As `streamName`, without replacing characters: different sources may give the same safe name, but not the same text. */
export function unsafeStreamName(...[rule, topic, taken, field]: Parameters<typeof streamName>): string {
  const text = nameText(rule, topic, taken, field, (level) => level);
  return text.split('/').filter(Boolean).join('/');
}

/** @param safe applied to each level of a topic, a capture or a field */
function nameText(
  rule: Pick<IngestRule, 'name' | 'pattern' | 'payload'>,
  topic: string,
  taken: readonly string[],
  field: string,
  safe: (level: string) => string,
): string {
  if (rule.name !== null)
    return fillTemplate(rule.name, templateValues(rule.name, rule.pattern, topic, taken, field, safe));
  const parts = formatOf(rule.payload).nameParts?.(topic) ?? (taken.length > 0 ? taken : [topic]);
  return [...parts, ...(field === '' ? [] : [field])].map((part) => safeParts(part, safe)).join('/');
}

/**
 * The physical device of a stream. In this order: the rule's `device` template; the name up to the level with the capture
 * `{device}`; the name without the field; the name without its last level.
 * @param name of the stream
 */
export function deviceName(
  rule: IngestRule,
  { topic, field }: StreamSource,
  taken: readonly string[],
  name: string,
): string {
  const filled = (template: string): string | null =>
    safeName(fillTemplate(template, templateValues(rule.name ?? '', rule.pattern, topic, taken, field)));
  const levels = rule.name?.split('/') ?? [];
  const at = levels.findIndex((level) => level.includes('{device}'));
  const template = rule.device ?? (at < 0 ? null : levels.slice(0, at + 1).join('/'));
  const device = template === null ? capturedDevice(rule, topic, taken) : filled(template);
  return device ?? withoutField(name, plainField(field));
}

/** For a default stream name, the levels up to the capture `{device}`. */
function capturedDevice(rule: IngestRule, topic: string, taken: readonly string[]): string | null {
  if (rule.name !== null || formatOf(rule.payload).nameParts?.(topic) != null) return null;
  const wildcards = rule.pattern.levels.filter((level) => level.kind !== 'literal');
  const at = wildcards.findIndex((level) => captureOf(level) === 'device');
  return at < 0
    ? null
    : safeName(
        taken
          .slice(0, at + 1)
          .map((part) => safeParts(part))
          .join('/'),
      );
}

function withoutField(name: string, field: string): string {
  const end = `/${safeParts(field)}`;
  const cut = field !== '' && name.endsWith(end) ? name.length - end.length : name.lastIndexOf('/');
  return cut > 0 ? name.slice(0, cut) : name;
}

function templateValues(
  template: string,
  pattern: TopicPattern,
  topic: string,
  taken: readonly string[],
  field: string,
  safe = safeLevel,
): ReadonlyMap<string, string> {
  const [plain = '', ...identity] = field.split(SEPARATOR);
  const values = new Map([
    ['field', plain === '' ? '' : safeParts(plain, safe)],
    ['topic', safeParts(topic, safe)],
  ]);
  const wildcards = pattern.levels.filter((level) => level.kind !== 'literal');
  for (const [at, level] of wildcards.entries()) {
    const text = safeParts(taken[at] ?? '', safe);
    values.set(String(at + 1), text);
    const capture = captureOf(level);
    if (capture !== null) values.set(capture, text);
  }
  for (const [at, member] of identityPointers(template).entries()) {
    const value = identity[at] ?? '';
    if (value !== '') values.set(member, safe(value));
  }
  return values;
}

const captureOf = (level: PatternLevel): string | null => (level.kind === 'one' ? level.capture : null);

/** Empty levels of a topic (`a//b`) become '_', so that different topics get different names. */
function safeParts(text: string, safe = safeLevel): string {
  return text.split('/').map(safe).join('/');
}
