/** Stream names of suggested rules: no two rules give the same name, as two devices of the same name would otherwise. */
import { pathName } from '../../ingest/json-path.ts';
import { streamName } from '../../ingest/naming.ts';
import { matchPattern, parsePattern, type TopicPattern } from '../../ingest/pattern.ts';
import type { HeardTopic } from '../../ingest/survey.ts';
import type { SuggestedRule } from './rules.ts';

/**
 * Prefixes the names of a rule with its first level, or with its family, if an earlier rule gives the same name.
 * @param topics what was heard
 * @param existing names of the streams of the config that the rules are added to
 */
export function withOwnNames(
  rules: readonly SuggestedRule[],
  topics: ReadonlyMap<string, HeardTopic>,
  existing: Iterable<string>,
): SuggestedRule[] {
  /** Name -> the topic that has it: of two rules for one topic, the first takes a field. */
  const taken = new Map([...existing].map((name) => [name, '']));
  return rules.map((rule) => {
    const names = namesOf(rule, topics);
    const conflict = names.some(([name, topic]) => (taken.get(name) ?? topic) !== topic);
    for (const [name, topic] of names) if (!taken.has(name)) taken.set(name, topic);
    return conflict ? prefixed(rule) : rule;
  });
}

type Keys = {
  readonly match: string;
  readonly name?: string;
  readonly device?: string;
  readonly payload: Parameters<typeof streamName>[0]['payload'];
  readonly fields?: readonly (string | { readonly field: string; readonly name?: string })[];
};

/** The streams that a rule makes, with their topics; if the name takes text of the payload, one key for all of them. */
function namesOf(
  { keys, topics }: SuggestedRule,
  heard: ReadonlyMap<string, HeardTopic>,
): (readonly [name: string, topic: string])[] {
  const { match, name = null, payload, fields = [''] } = keys as unknown as Keys;
  // Two receivers may hear the same radio sensor.
  if (name?.includes('{/')) {
    const topic = name.includes('{topic}') ? match : null;
    return [[JSON.stringify([name, topic, keys.records ?? null, keys.interval]), match]];
  }
  const pattern = parsePattern(match);
  const paths = fields.map((field) => {
    const { field: path, name: alias = pathName(path) } = typeof field === 'string' ? { field } : field;
    return { path, alias };
  });
  const has = (topic: string, path: string): boolean => heard.get(topic)?.fields.has(path) === true;
  // Not every device of a rule reports each of its fields. Paths that the survey does not know by this name count for all.
  const known = new Set(
    paths.map(({ path }) => path).filter((path) => topics.some((topic) => has(topic, path))),
  );
  return topics.flatMap((topic) => {
    const captured = matchPattern(pattern, topic.split('/')) ?? [];
    return paths
      .filter(({ path }) => !known.has(path) || has(topic, path))
      .flatMap(({ alias }) => {
        const stream = streamName({ name, pattern, payload }, topic, captured, alias);
        return stream === null ? [] : [[stream, topic] as const];
      });
  });
}

function prefixed(rule: SuggestedRule): SuggestedRule {
  const { match, payload, name, device, fields } = rule.keys as unknown as Keys;
  const pattern = parsePattern(match);
  const first = match.split('/')[0] ?? '';
  const prefix = /[{}+#]/.test(first)
    ? (rule.family ?? 'other').toLowerCase().replaceAll(/\W+/g, '-')
    : first;
  const plain = name ?? defaultName(pattern, fields !== undefined);
  const own = {
    match,
    payload,
    name: `${prefix}/${plain}`,
    ...(device === undefined ? {} : { device: `${prefix}/${device}` }),
  };
  return { ...rule, keys: { ...own, ...rule.keys, ...own } };
}

/** The default name as a template. */
function defaultName({ levels }: TopicPattern, hasFields: boolean): string {
  const wildcards = levels.filter(({ kind }) => kind !== 'literal');
  const parts = wildcards.map((level, at) =>
    level.kind === 'one' && level.capture !== null ? `{${level.capture}}` : `{${at + 1}}`,
  );
  return [...(parts.length > 0 ? parts : ['{topic}']), ...(hasFields ? ['{field}'] : [])].join('/');
}
