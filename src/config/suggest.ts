/**
 * A config from what was heard: topics grouped to patterns, fields grouped by what they measure, with unit, limits and
 * interval. The text is complete, commented, and valid.
 */
import { Document, isCollection, type Pair, Scalar, type YAMLMap, type YAMLSeq } from 'yaml';
import { formatOf, type PayloadKind } from '../ingest/decoders/index.ts';
import { isHousekeeping, namesQuantity, type Quantity, quantityOf } from '../ingest/quantities.ts';
import type { HeardField, HeardTopic } from '../ingest/survey.ts';
import { checkFieldPath } from './checks.ts';
import { formatDuration } from './units.ts';

interface Group {
  readonly match: string;
  readonly kind: PayloadKind;
  readonly numericStrings: boolean;
  readonly decimalComma: boolean;
  readonly topics: HeardTopic[];
}

interface Rule {
  readonly keys: Record<string, unknown>;
  readonly comment: string;
}

/** Steps that people and devices choose. */
const NICE_MS = [
  0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10_800, 21_600,
  43_200, 86_400,
].map((seconds) => seconds * 1000);
/** How far a typical gap may be from a nice step, as a share of it. */
const NICE_WITHIN = 0.2;
/** From this many first levels on they are taken for devices. */
const MANY_ROOTS = 4;
/** Of a config, and of one of its rules. */
const MAX_RULES = 1000;
const MAX_FIELDS = 256;
const CAPTURES: readonly (readonly string[])[] = [
  [],
  ['device'],
  ['group', 'device'],
  ['site', 'group', 'device'],
];

/**
 * @param head first keys of the config, `node` and `mqtt` among them
 * @returns YAML; its `streams` is empty when nothing was heard
 */
export function suggestConfig(
  head: Readonly<Record<string, unknown>>,
  topics: readonly HeardTopic[],
): string {
  const rules = groupTopics(topics).flatMap(rulesOf).slice(0, MAX_RULES);
  const document = new Document({ ...head, streams: rules.map(({ keys }) => keys) });
  document.commentBefore =
    ' Suggested by `gatecast check --listen` from what it heard. Units and limits are guesses from names: read them.\n' +
    ' The database goes to /var/lib/gatecast. To try it as an ordinary user, add: data_dir: ./data';
  const streams = document.get('streams') as YAMLSeq<YAMLMap>;
  for (const [at, { comment }] of rules.entries()) {
    const map = streams.items[at] as YAMLMap;
    map.commentBefore = ` ${comment}`;
    for (const { key, value } of map.items as Pair<Scalar, YAMLMap | YAMLSeq | Scalar>[]) {
      if (key.value === 'match') (value as Scalar).type = Scalar.QUOTE_DOUBLE;
      if (isCollection(value)) value.flow = true;
    }
  }
  const mqtt = document.get('mqtt') as YAMLMap | undefined;
  if (mqtt !== undefined) mqtt.flow = true;
  return document.toString({ lineWidth: 0 });
}

/** Topics of one form become one pattern; the levels in which they differ become captures. */
function groupTopics(topics: readonly HeardTopic[]): Group[] {
  const forms = gather(topics, (topic) => formOf(topic, true));
  // Devices that each have a first level of their own belong together as soon as they are several.
  const wide = gather(topics, (topic) => formOf(topic, false));
  const merged = new Set<HeardTopic>();
  const groups: HeardTopic[][] = [];
  for (const members of wide.values()) {
    const roots = new Set(members.map(({ topic }) => topic.split('/')[0]));
    if (roots.size < MANY_ROOTS || members.some(({ topic }) => !topic.includes('/'))) continue;
    groups.push(members);
    for (const member of members) merged.add(member);
  }
  for (const members of forms.values()) if (!merged.has(members[0] as HeardTopic)) groups.push(members);
  return groups.slice(0, MAX_RULES / 4).map((members) => {
    const { kind } = members[0] as HeardTopic;
    const numericStrings = members.some((member) => member.numericStrings);
    const decimalComma = members.some((member) => member.decimalComma);
    const levels = members.map(({ topic }) => topic.split('/'));
    return { kind, numericStrings, decimalComma, topics: members, match: patternOf(kind, levels) };
  });
}

function gather<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const gathered = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const members = gathered.get(key);
    if (members === undefined) gathered.set(key, [item]);
    else members.push(item);
  }
  return gathered;
}

/** Kind, depth, first level, and the levels that name a quantity. */
function formOf({ topic, kind, decimalComma }: HeardTopic, withRoot: boolean): string {
  const levels = topic.split('/');
  if (formatOf(kind).suggestion?.match !== undefined) return kind;
  const fixed = levels.map((level, at) => ((at === 0 ? withRoot : namesQuantity(level)) ? level : '+'));
  return JSON.stringify([kind, decimalComma, fixed]);
}

function patternOf(kind: PayloadKind, topics: readonly (readonly string[])[]): string {
  const first = topics[0] as readonly string[];
  const fixed = formatOf(kind).suggestion?.match;
  if (fixed !== undefined) return fixed;
  const open = first.map((level, at) => topics.some((levels) => levels[at] !== level));
  const count = open.filter(Boolean).length;
  const names = CAPTURES[count] ?? Array.from({ length: count }, (_, at) => `level${at + 1}`);
  let next = 0;
  // A brace in a topic would read as a capture.
  return first
    .map((level, at) => (open[at] ? `{${names[next++]}}` : /[{}]/.test(level) ? '+' : level))
    .join('/');
}

/** One rule for each quantity of a group, and one for what has no known quantity. */
function rulesOf(group: Group): Rule[] {
  const merged = mergeFields(group.topics);
  const wanted = merged.filter(
    ({ name }) => !isHousekeeping(name) && (name === '' || checkFieldPath(name) === null),
  );
  const byQuantity = new Map<string, { quantity: Quantity | null; fields: HeardField[] }>();
  for (const field of wanted) {
    const quantity = guess(field, group);
    const key = JSON.stringify([quantity, field.unit]);
    const entry = byQuantity.get(key) ?? { quantity, fields: [] };
    entry.fields.push(field);
    byQuantity.set(key, entry);
  }
  return [...byQuantity.values()].map(({ quantity, fields }) => ruleOf(group, quantity, fields));
}

function guess(field: HeardField, { match }: Group): Quantity | null {
  const named = field.name === '' ? match : field.name;
  const quantity = quantityOf(named, field.min, field.max);
  if (quantity === null) return null;
  const { unit, min, max, counter } = quantity;
  return { unit: field.unit ?? unit, min, max, counter: counter && field.rising };
}

function ruleOf(group: Group, quantity: Quantity | null, fields: readonly HeardField[]): Rule {
  const { kind, match, topics } = group;
  const named = fields.filter(({ name }) => name !== '').slice(0, MAX_FIELDS);
  const unit = quantity?.unit ?? fields[0]?.unit ?? null;
  const keys: Record<string, unknown> = { match, payload: kind };
  const selected = formatOf(kind).suggestion?.fields?.(named.map(({ name }) => name)) ?? [];
  if (selected.length > 0) keys.fields = selected;
  if (group.numericStrings) keys.numeric_strings = true;
  if (group.decimalComma) keys.decimal_comma = true;
  if (unit !== null) keys.unit = unit;
  keys.interval = intervalOf(topics);
  if (quantity?.counter) keys.aggregate = 'delta';
  else if (quantity !== null && (quantity.min !== null || quantity.max !== null))
    keys.limits = {
      ...(quantity.min === null ? {} : { min: quantity.min }),
      ...(quantity.max === null ? {} : { max: quantity.max }),
    };
  const min = Math.min(...fields.map((field) => field.min));
  const max = Math.max(...fields.map((field) => field.max));
  const count = topics.length === 1 ? '1 topic' : `${topics.length} topics`;
  return { keys, comment: `${count}, seen from ${short(min)} to ${short(max)}` };
}

function mergeFields(topics: readonly HeardTopic[]): HeardField[] {
  const merged = new Map<string, HeardField>();
  for (const { fields } of topics)
    for (const field of fields.values()) {
      const known = merged.get(field.name);
      if (known === undefined) merged.set(field.name, { ...field });
      else {
        known.min = Math.min(known.min, field.min);
        known.max = Math.max(known.max, field.max);
        known.rising &&= field.rising;
        known.unit ??= field.unit;
      }
    }
  return [...merged.values()];
}

/** The nice step that the gaps of all topics are near to; `auto` when they are too few or differ too much. */
function intervalOf(topics: readonly HeardTopic[]): string {
  const steps = new Set(
    topics.map(({ gapsMs }) => {
      if (gapsMs.length < 3) return null;
      const middle = [...gapsMs].sort((a, b) => a - b)[Math.floor(gapsMs.length / 2)] as number;
      return NICE_MS.find((step) => Math.abs(middle - step) <= step * NICE_WITHIN) ?? null;
    }),
  );
  const [step] = steps;
  return steps.size === 1 && typeof step === 'number' ? formatDuration(step) : 'auto';
}

const short = (value: number): string => String(Number(value.toPrecision(6)));
