/** From a rule, a topic and a field to the name of a stream. */
import type { PatternLevel, TopicPattern } from './pattern.ts';
import type { IngestRule } from './rule.ts';
import { fillTemplate, safeLevel, safeName } from './stream-name.ts';

/**
 * @param taken what the wildcards of the rule's pattern took, in order
 * @returns a safe name, or null when nothing usable is left
 */
export function streamName(
  rule: IngestRule,
  topic: string,
  taken: readonly string[],
  field: string,
): string | null {
  if (rule.name !== null)
    return safeName(fillTemplate(rule.name, templateValues(rule.pattern, topic, taken, field)));
  const parts = rule.payload === 'sparkplug' ? sparkplugParts(topic) : taken.length > 0 ? taken : [topic];
  return safeName([...parts.map(safeParts), field === '' ? '' : safeParts(field)].join('/'));
}

function templateValues(
  pattern: TopicPattern,
  topic: string,
  taken: readonly string[],
  field: string,
): ReadonlyMap<string, string> {
  const values = new Map([
    ['field', field === '' ? '' : safeParts(field)],
    ['topic', safeParts(topic)],
  ]);
  const wildcards = pattern.levels.filter((level) => level.kind !== 'literal');
  for (const [at, level] of wildcards.entries()) {
    const text = safeParts(taken[at] ?? '');
    values.set(String(at + 1), text);
    const capture = captureOf(level);
    if (capture !== null) values.set(capture, text);
  }
  return values;
}

const captureOf = (level: PatternLevel): string | null => (level.kind === 'one' ? level.capture : null);

/** Empty levels of a topic (`a//b`) become '_', so that different topics keep different names. */
function safeParts(text: string): string {
  return text.split('/').map(safeLevel).join('/');
}

/** Births and data of one device come on different topics, and must meet in one stream: group, node, device. */
function sparkplugParts(topic: string): string[] {
  const [, group = '', , node = '', device = ''] = topic.split('/');
  return device === '' ? [group, node] : [group, node, device];
}
