/** Suggests rules for surveyed topics: groups topics of the same form and makes one rule per group. */
import { formatOf, type PayloadKind } from '../../ingest/decoders/index.ts';
import { isRecordId } from '../../ingest/json-identity.ts';
import { parsePattern } from '../../ingest/pattern.ts';
import {
  GENERIC_VALUE,
  type HeardField,
  type HeardTopic,
  isDeviceMember,
  isLocalMember,
  isQuantityMember,
  isUptime,
  type Survey,
} from '../../ingest/survey.ts';
import { TopicIndex } from '../../ingest/topic-index.ts';
import { isUnit } from '../../ingest/unit-names.ts';
import { isSeparate } from '../../series/sentinels.ts';
import { checkFieldPath } from '../checks.ts';
import { covers } from '../filters.ts';
import { formatDuration } from '../units.ts';
import { cadenceOf, stepsFor } from './cadence.ts';
import { FAMILIES } from './families.ts';
import { type Claim, claimTopic, factOf, fill } from './family.ts';
import { withOwnNames } from './own-names.ts';
import {
  counter,
  isHousekeeping,
  isQualityCode,
  measures,
  namesQuantity,
  type Quantity,
  quantityOf,
} from './quantities.ts';
import { type ReadingTime, readingTime } from './reading-time.ts';

export interface SuggestedRule {
  /** Keys of the rule, in the order in which they are written. */
  readonly keys: Readonly<Record<string, unknown>>;
  readonly family: string | null;
  readonly topics: readonly string[];
  /** Comments on the rule, one line each. */
  readonly remarks: readonly string[];
}

/** Topics for one rule. */
interface Group {
  readonly match: string;
  readonly kind: PayloadKind;
  readonly claim: Claim | null;
  readonly topics: HeardTopic[];
  /** Pattern used for stream names, if it differs from `match`. */
  readonly nameAs?: string | undefined;
}

/** A field of a group, merged over its topics. */
interface Field {
  /** Name given by the decoder; the first of `names`. */
  readonly name: string;
  readonly names: readonly string[];
  readonly path: string;
  /** Path of the list of readings that contains the field; '' for none, `*` for one of several lists. */
  readonly records: string;
  /** Name in the stream name; null: the path. */
  readonly alias: string | null;
  readonly heard: HeardField;
  readonly quantity: Quantity | null;
}

/** With this many different first levels, the first level is treated as a device. */
const MANY_ROOTS = 4;
/** `records` of fields that are in several lists: each field has the path from the payload. */
const SEVERAL_LISTS = '*';
const MAX_RULES = 1000;
const MAX_FIELDS = 256;
/** Most levels that a pattern lists. */
const MAX_LEVELS = 16;
/** Readings after which a field that never fell may be a counter. */
const MIN_RISES = 4;
const FIVE_MINUTES = 300_000;
const DAY_MS = 86_400_000;
const CAPTURES: readonly (readonly string[])[] = [
  [],
  ['device'],
  ['group', 'device'],
  ['site', 'group', 'device'],
];

interface Suggestion {
  readonly rules: readonly SuggestedRule[];
  /** Topics that match a rule but contain no measurement. */
  readonly ignore: readonly string[];
}

/** @param existing names of the streams of the config that the rules are added to */
export function suggestRules(survey: Survey, existing: readonly string[] = []): Suggestion {
  const heard = survey.topics();
  const byName = new Map(heard.map((one) => [one.topic, one]));
  const topics = heard.filter((one) => !repeatsItsParent(one, byName));
  const names = survey.names();
  const claimed = new Map<string, Group>();
  const others: HeardTopic[] = [];
  const ignored: string[] = [];
  for (const topic of topics) {
    const claim = claimTopic(FAMILIES, topic, names);
    if (claim === 'ignored') ignored.push(topic.topic);
    else if (claim === null) others.push(topic);
    else addClaimed(claimed, topic, claim);
  }
  const found = [...claimed.values(), ...groupTopics(others)].map((group) => rulesOf(group, survey));
  const ordered = narrowerFirst(found.flatMap((one) => one.rules).slice(0, MAX_RULES));
  const rules = withOwnNames(ordered, byName, existing);
  const index = new TopicIndex(rules.map(({ keys }) => parsePattern(String(keys.match))));
  const read = (topic: string): boolean => index.match(topic.split('/')).length > 0;
  const idle = found.flatMap((one) => one.idle);
  const unused = new Set([...idle, ...ignored, ...survey.texts].filter(read));
  return { rules, ignore: [...unused].slice(0, MAX_RULES) };
}

/** The first rule that matches a topic reads it, so a rule comes before rules that match its topics and others. */
function narrowerFirst(rules: readonly SuggestedRule[]): SuggestedRule[] {
  const filterOf = ({ keys }: SuggestedRule): string => parsePattern(String(keys.match)).filter;
  const ordered: { rule: SuggestedRule; filter: string }[] = [];
  for (const rule of rules) {
    const filter = filterOf(rule);
    const wider = ordered.findIndex((other) => other.filter !== filter && covers(other.filter, filter));
    ordered.splice(wider < 0 ? ordered.length : wider, 0, { rule, filter });
  }
  return ordered.map(({ rule }) => rule);
}

/** Whether the topic repeats a member of its parent's payload, as Zigbee2MQTT can publish in addition. */
function repeatsItsParent({ topic }: HeardTopic, all: ReadonlyMap<string, HeardTopic>): boolean {
  const cut = topic.lastIndexOf('/');
  return cut >= 0 && all.get(topic.slice(0, cut))?.fields.has(topic.slice(cut + 1)) === true;
}

function addClaimed(groups: Map<string, Group>, heard: HeardTopic, claim: Claim): void {
  const match = formatOf(heard.kind).suggestion?.match ?? claim.match;
  const name = fill(claim.topic.name ?? '', claim.parts, true);
  const { within = null } = claim.topic;
  const key = JSON.stringify([claim.family.name, match, heard.kind, heard.decimalComma, name, within]);
  const group = groups.get(key);
  if (group === undefined) groups.set(key, { match, kind: heard.kind, claim, topics: [heard] });
  else group.topics.push(heard);
}

/** Splits topics that differ in more levels than a site, a group and a device have, at the level with the fewest texts. */
function narrowed(members: readonly HeardTopic[]): HeardTopic[][] {
  const levels = members.map(({ topic }) => topic.split('/'));
  const texts = (levels[0] ?? []).map((_, at) => new Set(levels.map((one) => one[at])).size);
  const open = texts.filter((size) => size > 1);
  if (open.length < CAPTURES.length) return [[...members]];
  const at = texts.indexOf(Math.min(...open));
  return [...gather(members, ({ topic }) => topic.split('/')[at] ?? '').values()].flatMap(narrowed);
}

/** Groups topics of the same form; levels that differ become captures. */
function groupTopics(topics: readonly HeardTopic[]): Group[] {
  const forms = gather(topics, (topic) => formOf(topic, true));
  // devices that differ in the first level are grouped if there are several
  const wide = gather(topics, (topic) => formOf(topic, false));
  const merged = new Set<HeardTopic>();
  const groups: HeardTopic[][] = [];
  for (const members of wide.values()) {
    const roots = new Set(members.map(({ topic }) => topic.split('/')[0]));
    if (roots.size < MANY_ROOTS || !hasFixedLevel(members)) continue;
    groups.push(members);
    for (const member of members) merged.add(member);
  }
  for (const members of forms.values()) if (!merged.has(members[0] as HeardTopic)) groups.push(members);
  return groups.flatMap(narrowed).flatMap((members) => {
    const { kind } = members[0] as HeardTopic;
    const parts = compatible(members);
    return parts.map((part): Group => {
      const levels = part.map(({ topic }) => topic.split('/'));
      return { kind, claim: null, topics: part, match: patternOf(kind, levels, parts.length > 1) };
    });
  });
}

/** Parts of a group that one rule can read: topics that need the same members in the name, and whose fields are no objects in others. */
function compatible(members: readonly HeardTopic[]): HeardTopic[][] {
  const parts: { named: string; fields: Set<string>; above: Set<string>; topics: HeardTopic[] }[] = [];
  for (const heard of members) {
    const named = varyingMembers([heard]).join();
    const fields = [...heard.fields.keys()];
    const { lists, pairs, batches } = heard.shape;
    // the elements of a list that is the payload
    const isList = lists.has('') || pairs.has('') || batches.has('');
    const above = new Set([...fields.flatMap(pathsAbove), ...(isList ? ['0'] : [])]);
    const fits = parts.find(
      (part) =>
        part.named === named &&
        !fields.some((field) => part.above.has(field)) &&
        ![...above].some((path) => part.fields.has(path)),
    );
    const part = fits ?? { named, fields: new Set<string>(), above: new Set<string>(), topics: [] };
    if (fits === undefined) parts.push(part);
    part.topics.push(heard);
    for (const field of fields) part.fields.add(field);
    for (const path of above) part.above.add(path);
  }
  return parts.map(({ topics }) => topics);
}

/** `a` and `a.b` of `a.b.c`. */
const pathsAbove = (path: string): string[] => {
  const keys = path.split('.');
  return keys.slice(1).map((_, at) => keys.slice(0, at + 1).join('.'));
};

/** Whether a level is the same in all topics: a pattern of captures only would match the whole broker. */
function hasFixedLevel(members: readonly HeardTopic[]): boolean {
  const levels = members.map(({ topic }) => topic.split('/'));
  return (levels[0] ?? []).some((level, at) => levels.every((other) => other[at] === level));
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

/** Form of a topic: format, depth, first level, and the levels that name a quantity. */
function formOf({ topic, kind, decimalComma }: HeardTopic, withRoot: boolean): string {
  const levels = topic.split('/');
  if (formatOf(kind).suggestion?.match !== undefined) return kind;
  const fixed = levels.map((level, at) => ((at === 0 ? withRoot : namesQuantity(level)) ? level : '+'));
  return JSON.stringify([kind, decimalComma, fixed]);
}

/** @param closed matches the heard levels alone, if they are few */
function patternOf(kind: PayloadKind, topics: readonly (readonly string[])[], closed: boolean): string {
  const first = topics[0] as readonly string[];
  const fixed = formatOf(kind).suggestion?.match;
  if (fixed !== undefined) return fixed;
  const open = first.map((level, at) => topics.some((levels) => levels[at] !== level));
  const count = open.filter(Boolean).length;
  const names = CAPTURES[count] ?? Array.from({ length: count }, (_, at) => `level${at + 1}`);
  let next = 0;
  // a brace in a topic would be parsed as a capture
  return first
    .map((level, at) => {
      if (!open[at]) return /[{}]/.test(level) ? '+' : level;
      const texts = [...new Set(topics.map((levels) => levels[at] ?? ''))];
      const only = closed && texts.length <= MAX_LEVELS && texts.every((text) => /^[\w.-]+$/.test(text));
      return `{${names[next++]}${only ? `:${texts.join('|')}` : ''}}`;
    })
    .join('/');
}

/** One rule, and further ones for fields with a much longer interval and for each list of readings in the payload. */
function rulesOf(group: Group, survey: Survey): { rules: SuggestedRule[]; idle: readonly string[] } {
  const { fields, leftOut, idle, apart } = fieldsOf(group, survey);
  const parts = gather(fields, ({ records, quantity }) =>
    JSON.stringify([records, Math.max(quantity?.minStepMs ?? 0, FIVE_MINUTES)]),
  );
  const rules = [...parts.values()].map((members, at) =>
    ruleOf(
      group,
      members.map((field) => withListName(field, fields)),
      at === 0 ? leftOut : [],
    ),
  );
  return {
    rules: [...apart.map(({ heard, fields: own }) => ruleOf(alone(group, heard), own, [])), ...rules],
    idle,
  };
}

/** Names a reading of a list after the list, if the payload has a field of its name beside it: `{"t":21,"history":[{"time":…,"t":20}]}`. */
function withListName(field: Field, all: readonly Field[]): Field {
  const { records, path } = field;
  const isTwice = all.some((other) => other !== field && other.path === path);
  return !isTwice || ['', SEVERAL_LISTS].includes(records)
    ? field
    : { ...field, alias: `${records}.${path}` };
}

/** A group of one topic that keeps the names of the original group. */
function alone(group: Group, heard: HeardTopic): Group {
  return { ...group, match: heard.topic, topics: [heard], nameAs: group.match };
}

function ruleOf(group: Group, fields: readonly Field[], leftOut: readonly string[]): SuggestedRule {
  const { claim, kind, topics } = group;
  const first = fields[0] as Field;
  const named = fields.filter(({ name }) => name !== '').slice(0, MAX_FIELDS);
  const settings = fields.map(settingsOf);
  const common = commonOf(settings);
  const time = timeOf(group, first.records);
  const keys: Record<string, unknown> = { match: group.match, payload: claim?.topic.payload ?? kind };
  const name = nameOf(group, named);
  if (name !== null) keys.name = name;
  const device = deviceOf(group);
  if (device !== null) keys.device = device;
  if (first.records !== '' && first.records !== SEVERAL_LISTS) keys.records = first.records;
  if (named.length > 0 && formatOf(kind).suggestion?.fields !== undefined)
    keys.fields = named.map(({ path, alias }, at) => {
      const own = Object.fromEntries(
        Object.entries(settings[at] ?? {}).filter(([key]) => !Object.hasOwn(common, key)),
      );
      const renamed = alias === null ? {} : { name: alias };
      return Object.keys({ ...renamed, ...own }).length === 0 ? path : { field: path, ...renamed, ...own };
    });
  if (needsNumericStrings(topics, fields)) keys.numeric_strings = true;
  if (topics.some(({ decimalComma }) => decimalComma)) keys.decimal_comma = true;
  if (time?.field !== undefined) keys.time = time.field;
  if (time?.zone !== undefined) keys.time_zone = time.zone;
  Object.assign(keys, common);
  const { stepMs, horizonMs } = stepsFor(cadence(group), minStep(group, fields));
  keys.interval = formatDuration(stepMs);
  keys.horizon = horizonMs === DAY_MS ? '24h' : formatDuration(horizonMs);
  return {
    keys,
    family: claim?.family.name ?? null,
    topics: topics.map(({ topic }) => topic),
    remarks: [
      ...marksOf(fields),
      ...risingOf(fields),
      ...(time?.remark === undefined ? [] : [time.remark]),
      ...(first.records === '' ? positionsOf(topics, named) : []),
      ...(topics.every(({ live }) => live === 0)
        ? ['only retained messages: the devices may no longer exist']
        : []),
      ...(leftOut.length > 0
        ? [`left out: ${leftOut.slice(0, 20).join(', ')}${leftOut.length > 20 ? ', …' : ''}`]
        : []),
    ],
  };
}

/** Whether a field of the rule has numbers in quotes. */
const needsNumericStrings = (topics: readonly HeardTopic[], fields: readonly Field[]): boolean =>
  topics.some(({ numericStrings, shape, kind }) =>
    kind === 'json' || kind === 'zigbee2mqtt'
      ? (shape.batches.size > 0 && numericStrings) ||
        fields.some(({ names }) => names.some((name) => shape.quoted.has(name)))
      : numericStrings,
  );

function cadence({ topics, claim }: Group): number | null {
  return cadenceOf(topics) ?? claim?.family.usualMs ?? null;
}

/** Minimum step: five minutes for home devices; industrial data have none. */
function minStep({ claim, kind }: Group, fields: readonly Field[]): number {
  const own = Math.max(...fields.map(({ quantity }) => quantity?.minStepMs ?? 0));
  return claim !== null && kind !== 'sparkplug' ? Math.max(own, FIVE_MINUTES) : own;
}

function nameOf(group: Group, fields: readonly Field[]): string | null {
  const { claim, topics, kind, nameAs } = group;
  if (nameAs !== undefined) return nameAlone(nameOf({ ...group, nameAs: undefined }, fields), group);
  const wanted = claim?.topic.identity ?? (claim === null ? varyingMembers(topics) : []);
  const shapes = topics.map(({ shape }) => shape);
  const texts = wanted.filter((member) =>
    shapes.some(({ labels, batchLabels }) => labels.has(member) || batchLabels.has(member)),
  );
  const identity = wanted.filter(
    (member) => texts.includes(member) || shapes.some(({ mixing }) => mixing.has(member)),
  );
  const field = fields.length > 0 && formatOf(kind).single !== true ? '/{field}' : '';
  if (identity.length > 0) {
    // numbers, rooms and quantities alone would be the same on other topics
    const isLocal = (member: string): boolean => isLocalMember(member) || isSmallNumber(member, topics);
    const topic = texts.every(isLocal) ? '{topic}/' : '';
    return `${topic}${identity.map((member) => `{/${member.replaceAll('.', '/')}}`).join('-')}${field}`;
  }
  // the keys of the payload name the devices
  if (!group.match.includes('{') && fields.some(({ alias }) => alias?.startsWith('*/') === true))
    return '{field}';
  if (claim === null) return nameOfValue(group, fields);
  if (claim.topic.name === undefined) return null;
  const filled = fill(claim.topic.name, claim.parts, true);
  return claim.topic.shared === true || isDistinct(filled, claim, topics) ? filled : null;
}

/**
 * For topics with one value each, of which the match tells the quantity or the place: its levels without the first, so that neither the
 * device nor the quantity is lost. A quantity before the device comes last.
 */
function nameOfValue({ match, kind }: Group, fields: readonly Field[]): string | null {
  const isValue =
    formatOf(kind).single === true || (fields.length === 1 && GENERIC_VALUE.test(fields[0].path));
  const levels = withoutGeneric(match.replaceAll(/:[^/}]*\}/g, '}')).split('/');
  const isOpen = (level: string): boolean => /^[{+]/.test(level);
  const isQuantity = (level: string): boolean => !isOpen(level) && measures(level);
  if (!isValue || !levels.some(isOpen) || levels.includes('+')) return null;
  const own = isOpen(levels[0]) || isQuantity(levels[0]) ? levels : levels.slice(1);
  if (own.every(isOpen)) return null;
  const before = own.slice(0, own.findIndex(isOpen)).filter(isQuantity);
  return [...own.filter((level) => !before.includes(level)), ...before].join('/');
}

function deviceOf(group: Group): string | null {
  const { claim } = group;
  if (claim?.topic.device === undefined) return null;
  const filled = fill(claim.topic.device, claim.parts, true);
  return group.nameAs === undefined ? filled : nameAlone(filled, group);
}

/** The name for a rule with one topic: captures replaced by their text. */
function nameAlone(name: string | null, { match, nameAs = match }: Group): string {
  const levels = nameAs.split('/');
  const texts = match.split('/');
  const captures = levels.filter((level) => level.startsWith('{'));
  const template = name ?? [...captures, '{field}'].join('/');
  return captures.reduce(
    (text, level) => text.replaceAll(level, texts[levels.indexOf(level)] ?? ''),
    template,
  );
}

/** Whether all topics get different names: two applications may have devices with the same name. */
function isDistinct(name: string, claim: Claim, topics: readonly HeardTopic[]): boolean {
  const levels = claim.match.split('/');
  const named = topics.map(({ topic }) => {
    const texts = topic.split('/');
    return levels
      .filter((level) => level.startsWith('{') && name.includes(level))
      .map((level) => texts[levels.indexOf(level)])
      .join('/');
  });
  return new Set(named).size === topics.length;
}

/** Whether a member is a small number that several gateways may give to different devices, or an address in Modbus. */
const isSmallNumber = (member: string, topics: readonly HeardTopic[]): boolean =>
  topics.length > 1 &&
  topics.every(({ shape: { labels, batchLabels } }) =>
    [...(labels.get(member) ?? batchLabels.get(member)?.values.keys() ?? [member])].every((text) =>
      (/(?:address|addr|register)$/i.test(member) ? /^\d{1,6}$/ : /^\d{1,4}$/).test(text),
    ),
  );

const MEMBER_ORDER = ['brand', 'model', 'type', 'name', 'id'];

/** Members of the payload, or of the readings of its batches, that distinguish several devices on one topic. */
function varyingMembers(topics: readonly HeardTopic[]): string[] {
  const found = new Set<string>();
  for (const { shape, messages, fields } of topics) {
    for (const member of varyingInBatches(shape)) found.add(member);
    const isUnnamed = [...fields.keys()].every(
      (name) => GENERIC_VALUE.test(name) || isDeviceMember(name, shape.labels) || isQuantityMember(name),
    );
    const varying = [...shape.labels].filter(
      // a different value in every message is a message number
      ([member, values]) =>
        (isDeviceMember(member, shape.labels) || (isUnnamed && isQuantityMember(member))) &&
        values.size > 1 &&
        (values.size < messages ||
          (messages < 8 && !countsUp([...values]) && ![...values].every(isRecordId))),
    );
    if (varying.length === 0) continue;
    for (const [member] of varying) found.add(member);
    if (shape.labels.has('model')) found.add('model');
    if (varying.some(([member]) => isTag(member)))
      for (const tag of shape.labels.keys()) if (isTag(tag)) found.add(tag);
  }
  if (
    [...found].some(isTag) &&
    topics.some(({ shape }) => shape.labels.has('name') || shape.batchLabels.has('name'))
  )
    found.add('name');
  const rank = (member: string): number => MEMBER_ORDER.indexOf(member) + 1 || MEMBER_ORDER.length + 1;
  return [...found].sort((a, b) => rank(a) - rank(b)).slice(0, 4);
}

/** Whether all texts are integers, each greater than the one before. */
const countsUp = (texts: readonly string[]): boolean =>
  texts.length > 2 &&
  texts.every((text, at) => /^\d+$/.test(text) && (at === 0 || Number(text) > Number(texts[at - 1])));

function varyingInBatches({ mixing, batchLabels }: HeardTopic['shape']): string[] {
  if (mixing.size > 0) return [...mixing];
  return [...batchLabels]
    .filter(([member, { values, repeated }]) => isDeviceMember(member) && values.size > 1 && repeated)
    .map(([member]) => member);
}

/** Tags of a series belong together, as in the line protocol. */
const isTag = (member: string): boolean => /^(?:tags|labels|dimensions)\./.test(member);

type Settings = Readonly<Record<string, unknown>>;

/** Unit, aggregate and limits of a field. */
function settingsOf({ heard, quantity }: Field): Settings {
  const settings: Record<string, unknown> = {};
  const unit = quantity?.unit ?? heard.unit;
  if (unit !== null) settings.unit = unit;
  if (quantity?.kind === 'counter') settings.aggregate = heard.backwards ? 'change' : 'delta';
  else if (quantity?.kind === 'angle') settings.aggregate = 'circular-mean';
  else {
    const limits = limitsOf(heard, quantity);
    if (Object.keys(limits).length > 0) settings.limits = limits;
  }
  return settings;
}

function limitsOf(
  { min, max, marks }: HeardField,
  quantity: Quantity | null,
): { min?: number; max?: number } {
  const limits: { min?: number; max?: number } = {};
  const least = quantity?.floor === true ? 0 : (quantity?.min ?? null);
  if (least !== null && min >= least) limits.min = least;
  if (typeof quantity?.max === 'number' && max <= quantity.max) limits.max = quantity.max;
  // excludes marks of missing values, such as -999
  for (const mark of marks.keys()) {
    if (mark < min && (limits.min ?? Number.NEGATIVE_INFINITY) <= mark) limits.min = mark + 1;
    if (mark > max && (limits.max ?? Number.POSITIVE_INFINITY) >= mark) limits.max = mark - 1;
  }
  return limits;
}

/** Settings common to all fields, which are set once for the rule. */
function commonOf(settings: readonly Settings[]): Settings {
  const [first = {}] = settings;
  return Object.fromEntries(
    Object.entries(first).filter(([key, value]) =>
      settings.every((other) => JSON.stringify(other[key]) === JSON.stringify(value)),
    ),
  );
}

function marksOf(fields: readonly Field[]): string[] {
  return fields.flatMap(({ name, quantity, heard: { marks, count } }) => {
    if (marks.size === 0 || quantity?.kind === 'counter') return [];
    const shown = [...marks].map(([value, times]) => `${value} (${times} of ${count})`).join(', ');
    return [
      `${name === '' ? 'the value' : name} was ${shown}, which looks like a mark for a missing value; \`limits\` excludes it`,
    ];
  });
}

/** Fields of unknown quantity that count up, as far as was seen. */
function risingOf(fields: readonly Field[]): string[] {
  const names = fields
    .filter(
      ({ quantity, heard: { rising, min, max, count } }) =>
        quantity === null && rising && max > min && count >= MIN_RISES,
    )
    .map(({ name }) => (name === '' ? 'the value' : name));
  return names.length === 0
    ? []
    : [`only rose: ${names.slice(0, 20).join(', ')}; for a counter, add \`aggregate: delta\``];
}

/** Lists whose elements only their position tells apart. */
function positionsOf(topics: readonly HeardTopic[], fields: readonly Field[]): string[] {
  const lists = [...new Set(topics.flatMap(({ shape }) => [...shape.unnamed]))].filter((list) =>
    fields.some(({ name }) => name.startsWith(list === '' ? '0.' : `${list}.0`)),
  );
  return lists.length === 0
    ? []
    : [
        `told apart by position, with the time of the message, because they have no name and no time: elements of ${lists
          .map((list) => (list === '' ? 'the list' : list))
          .slice(0, 20)
          .join(', ')}`,
      ];
}

function timeOf({ claim, topics }: Group, records: string): ReadingTime | null {
  if (records !== '' || topics.some(({ shape }) => shape.batches.size > 0)) return null;
  if (claim?.topic.time !== undefined) return { field: claim.topic.time };
  return claim === null || claim.family.name === 'rtl_433' || claim.family.name === 'DSMR / P1'
    ? readingTime(topics)
    : null;
}

interface GroupFields {
  readonly fields: readonly Field[];
  /** Names of fields that are not measurements. */
  readonly leftOut: readonly string[];
  /** Topics without a measurement. */
  readonly idle: readonly string[];
  /** Fields with another unit on single topics: batteries in mV, mains in V. */
  readonly apart: readonly { readonly heard: HeardTopic; readonly fields: readonly Field[] }[];
}

function fieldsOf(group: Group, survey: Survey): GroupFields {
  const { claim, topics, kind } = group;
  const byTopic = new Map<HeardTopic, Field[]>();
  const leftOut = new Set<string>();
  const identity = new Set(claim?.topic.identity ?? varyingMembers(topics));
  for (const heard of topics) {
    const own = new Map<string, Field>();
    const repeated = repeatedBatches(heard);
    for (const field of heard.fields.values()) {
      const { name } = field;
      const place = placeOf(heard, name, claim, repeated);
      if (place === null || (name !== '' && checkFieldPath(place.path) !== null)) continue;
      const range = ranged(field);
      const known =
        identity.has(name) || identity.has(place.path) || heard.shape.switches.has(name)
          ? 'out'
          : measured(
              group,
              heard,
              name,
              place.alias ?? place.path.replaceAll(/\[[^\]=]*\]/g, ''),
              range,
              survey,
            );
      // a meter that stands still may send leading zeros
      const quantity = known === null && isIdentifier(heard.shape, name) ? 'out' : known;
      if (quantity === 'out') leftOut.add(name === '' ? heard.topic : name);
      else addField(own, { name, names: [name], ...place, heard: range, quantity });
    }
    byTopic.set(heard, withoutTwins([...own.values()], kind));
  }
  const { fields, apart } = merged(byTopic);
  const paths = new Set(fields.map(({ path }) => path));
  return {
    fields,
    apart,
    leftOut: [...leftOut].filter((name) => !paths.has(name)),
    idle: [...byTopic].filter(([, own]) => own.length === 0).map(([{ topic }]) => topic),
  };
}

/** Whether a text of digits under an unknown name is no number: always the same with leading zeros, or a phone number. */
function isIdentifier({ quoted, labels }: HeardTopic['shape'], name: string): boolean {
  const texts = quoted.has(name) ? [...(labels.get(name) ?? [])] : [];
  return (
    (texts.length === 1 && /^0\d+$/.test(texts[0] ?? '')) ||
    (texts.length > 0 && texts.every((text) => /^\+\d{7,}$/.test(text)))
  );
}

const keyOf = ({ records, path }: Field): string => `${records} ${path}`;

function addField(fields: Map<string, Field>, field: Field): void {
  const known = fields.get(keyOf(field));
  fields.set(
    keyOf(field),
    known === undefined
      ? field
      : {
          ...known,
          names: [...known.names, ...field.names],
          heard: mergeHeard(known.heard, field.heard),
          quantity: known.quantity ?? field.quantity,
        },
  );
}

/** Merges the fields of all topics; fields with an unusual unit are returned separately. */
function merged(byTopic: ReadonlyMap<HeardTopic, readonly Field[]>): Pick<GroupFields, 'fields' | 'apart'> {
  const units = new Map<string, Map<string, number>>();
  for (const field of [...byTopic.values()].flat()) {
    const unit = field.quantity?.unit ?? '';
    const counts = units.get(keyOf(field)) ?? new Map<string, number>();
    units.set(keyOf(field), counts.set(unit, (counts.get(unit) ?? 0) + 1));
  }
  const usual = (field: Field): string =>
    [...(units.get(keyOf(field)) ?? [])].sort(([, a], [, b]) => b - a)[0]?.[0] ?? '';
  const fields = new Map<string, Field>();
  const apart: { heard: HeardTopic; fields: Field[] }[] = [];
  for (const [heard, own] of byTopic) {
    const differing = own.filter(
      (field) => (field.quantity?.unit ?? '') !== usual(field) && usual(field) !== '',
    );
    // the range of an unknown quantity counts for the limits, too
    for (const field of own)
      if (!differing.includes(field) || field.quantity === null) addField(fields, field);
    const known = differing.filter(({ quantity }) => quantity !== null);
    if (known.length > 0) apart.push({ heard, fields: known });
  }
  return { fields: [...fields.values()], apart };
}

/** Drops Fahrenheit fields that repeat a Celsius field of the same devices. */
function withoutTwins(fields: readonly Field[], kind: PayloadKind): Field[] {
  if (formatOf(kind).single === true) return [...fields];
  const byPath = new Map(fields.map(({ path, heard }) => [path, heard]));
  return fields.filter(({ path, quantity, heard: { lasts } }) => {
    if (quantity?.unit !== '°F') return true;
    return ![path.replace(/f(\d*)$/, 'c$1'), path.replace(/F(\d*)$/, 'C$1')].some((other) => {
      const celsius = other === path ? undefined : byPath.get(other);
      return celsius !== undefined && [...lasts.keys()].every((sender) => celsius.lasts.has(sender));
    });
  });
}

/** Excludes marks outside the range of the other values; values within it are readings. */
function ranged(field: HeardField): HeardField {
  const { min, max } = field;
  const marks = new Map([...field.marks].filter(([value]) => isSeparate(value, min, max)));
  const readings = [...field.marks.keys()].filter((value) => !marks.has(value));
  return { ...field, marks, min: Math.min(min, ...readings), max: Math.max(max, ...readings) };
}

function mergeHeard(a: HeardField, b: HeardField): HeardField {
  const marks = new Map(a.marks);
  for (const [value, times] of b.marks) marks.set(value, (marks.get(value) ?? 0) + times);
  return {
    ...a,
    marks,
    count: a.count + b.count,
    min: Math.min(a.min, b.min),
    max: Math.max(a.max, b.max),
    rising: a.rising && b.rising,
    backwards: a.backwards || b.backwards,
    isClock: a.isClock && b.isClock,
    tickedS: Math.min(a.tickedS, b.tickedS),
    unit: a.unit ?? b.unit,
  };
}

/** Path and name of a field; null if the family has no readings there. */
function placeOf(
  { shape, kind }: HeardTopic,
  name: string,
  claim: Claim | null,
  repeated: ReadonlySet<string>,
): Pick<Field, 'path' | 'records' | 'alias'> | null {
  const value = claim?.topic.value;
  if (value !== undefined) return name === value ? { path: name, records: '', alias: null } : null;
  const within = claim?.topic.within;
  if (within !== undefined) {
    if (!name.startsWith(`${within}.`)) return null;
    const short = name.slice(within.length + 1);
    return {
      path: shape.pointers.get(name) ?? name,
      records: '',
      alias: short.replaceAll(/:(\d+)\./g, ':$1/'),
    };
  }
  if (kind !== 'json' && kind !== 'zigbee2mqtt' && kind !== 'text') {
    const path = formatOf(kind).suggestion?.fields?.([name])[0] ?? name;
    return { path, records: '', alias: null };
  }
  // pairs of a time and a value
  if (name !== '' && shape.batches.has(name)) return { path: name, records: '', alias: null };
  for (const batch of shape.batches) {
    const prefix = batch === '' ? '' : `${batch}.`;
    if (!name.startsWith(prefix)) continue;
    const inner = name.slice(prefix.length);
    const device = [...(shape.batchNames.get(batch) ?? [])].find((text) => inner.startsWith(`${text}.`));
    const field = device === undefined ? inner : inner.slice(device.length + 1);
    if (repeated.has(batch)) return placeInRepeated(name, batch, field, shape);
    if (shape.rowBatches.has(batch)) return { path: name, records: '', alias: null };
    if (batch !== '' || device !== undefined) return { path: field, records: batch, alias: null };
  }
  for (const list of shape.named) {
    // in a message with one element, its position is its name
    const prefix = list === '' ? '0.' : `${list}.0.`;
    if (name.startsWith(prefix))
      return { path: `${prefix.slice(0, -2)}${name.slice(prefix.length)}`, records: '', alias: null };
  }
  for (const [list, names] of shape.pairs) {
    const prefix = list === '' ? '' : `${list}.`;
    if (!name.startsWith(prefix)) continue;
    // in a message without some elements, one member may be enough to tell the others apart
    const known = [...names].some((element) => name.startsWith(`${prefix}${element}.`));
    return known ? { path: shape.pointers.get(name) ?? name, records: '', alias: null } : null;
  }
  for (const [list, member] of shape.lists) {
    const prefix = list === '' ? '' : `${list}.`;
    if (!name.startsWith(prefix)) continue;
    const identities = [...shape.labels.keys()]
      .filter((key) => key.startsWith(prefix) && key.endsWith(`.${member}`))
      .map((key) => key.slice(prefix.length, -member.length - 1));
    const identity = identities.find((text) => name.startsWith(`${prefix}${text}.`));
    const tail = identity === undefined ? '' : name.slice(prefix.length + identity.length + 1);
    if (tail === '') continue;
    // `{"value_type":"temperature","value":21}`: each element has its own unit
    const apart = GENERIC_VALUE.test(tail) && identities.some(measures);
    if (apart && /[=[\]]/.test(String(identity))) continue;
    return { path: `${list}[${member}${apart ? `=${identity}` : ''}].${tail}`, records: '', alias: null };
  }
  return { path: shape.pointers.get(name) ?? name, records: '', alias: null };
}

/** A field in one of several lists of readings: `*.temperature` if the keys of the lists name devices. */
function placeInRepeated(
  name: string,
  batch: string,
  field: string,
  { batchKeys }: HeardTopic['shape'],
): Pick<Field, 'path' | 'records' | 'alias'> {
  const aboveOf = (path: string): string => path.slice(0, path.length - (batchKeys.get(path) ?? '').length);
  const above = aboveOf(batch);
  const all = [...batchKeys.keys()].map(aboveOf);
  const isQuantity = GENERIC_VALUE.test(field) && namesQuantity(batchKeys.get(batch) ?? '');
  if (all.filter((other) => other === above).length === 1 || (isQuantity && !/[[\]]/.test(name)))
    return { path: name, records: SEVERAL_LISTS, alias: null };
  // without the members above the devices, if all have the same ones
  const alias = `${new Set(all).size > 1 ? above : ''}*/${field.replace(/^values\./, '')}`;
  return { path: `${above}*.${field}`, records: SEVERAL_LISTS, alias };
}

/** The lists of readings that have a field in common, such as one list for each device: `{"Device A":[…],"Device B":[…]}`; or one in a list of devices. */
function repeatedBatches({ fields, shape: { batches, lists } }: HeardTopic): ReadonlySet<string> {
  for (const list of lists.keys())
    if ([...batches].some((path) => path.startsWith(list === '' ? '' : `${list}.`) && path !== ''))
      return batches;
  const byField = new Map<string, string[]>();
  if (batches.size > 1)
    for (const name of fields.keys()) {
      const batch = [...batches].find((path) => name.startsWith(`${path}.`));
      if (batch === undefined) continue;
      const field = name.slice(batch.length + 1);
      byField.set(field, [...(byField.get(field) ?? []), batch]);
    }
  const repeated = [...byField.values()].filter(({ length }) => length > 1);
  return repeated.length > 0 ? batches : new Set();
}

const NO_MEASUREMENT: ReadonlySet<string> = new Set([
  'timestamp',
  'date',
  'enum',
  'duration',
  'signal_strength',
  'data_size',
  'data_rate',
]);

/** Quantity of a field; null if unknown, 'out' if not a measurement. */
function measured(
  { claim, match }: Group,
  heard: HeardTopic,
  name: string,
  shown: string,
  range: HeardField,
  { announcements }: Survey,
): Quantity | 'out' | null {
  const subject = subjectOf(heard, name, shown, claim, match);
  const announced = announcements.of(heard.topic, name);
  if (announced?.deviceClass !== null && NO_MEASUREMENT.has(announced?.deviceClass ?? '')) return 'out';
  const unit = siblingUnit(heard, name) ?? announced?.unit ?? range.unit;
  const fact = claim === null ? undefined : factOf(claim, subject);
  if (fact === null) return 'out';
  const total = announced?.stateClass === 'total' || announced?.stateClass === 'total_increasing';
  if (fact !== undefined) return unit === null ? fact : { ...fact, unit };
  if (total) return counter(unit);
  if (claim?.family.listedOnly === true && announced === null) return 'out';
  if (range.isClock || isHousekeeping(subject) || isQualityCode(subject, range)) return 'out';
  const beside = (key: string): boolean => heard.fields.has(name.replace(/[^.]*$/, key));
  // the frequency of a radio, and the type of a value of OPC UA
  if (/(?:^|\.)frequency$/.test(name) && (beside('rssi') || beside('snr'))) return 'out';
  if (/\.Type$/.test(name) && beside('Body')) return 'out';
  // sequence number and number of records of Advantech modules, beside `t` and `q`
  if (/^[sc]$/.test(name) && ['s', 'q', 'c'].every((key) => heard.fields.has(key))) return 'out';
  const quantity = quantityOf(subject, range, unit);
  if (quantity === null && isUptime(range)) return 'out';
  if (quantity === null && claim?.family.knownOnly === true && announced === null) return 'out';
  return quantity;
}

/** Text that names the quantity: the field or a level of the topic. */
function subjectOf(
  { topic }: HeardTopic,
  name: string,
  shown: string,
  claim: Claim | null,
  match: string,
): string {
  const parts = claim?.parts;
  const named = parts?.get('quantity') ?? parts?.get('sensor') ?? parts?.get('entity');
  if (named !== undefined) return named;
  if (name !== '' && !(claim === null && GENERIC_VALUE.test(name)))
    return shown.startsWith('/') ? shown.slice(1).replaceAll('/', '.') : shown;
  return withoutGeneric(claim === null && match.includes('{') ? match : topic);
}

/** Removes a last level without information, such as `state` in `pv_power/state`. */
const withoutGeneric = (topic: string): string => topic.replace(/(?<=.)\/(?:state|value|val|raw)$/i, '');

/** Unit from a sibling member: `{"value":21.5,"unit":"°C"}`, and Tasmota's `TempUnit`. */
function siblingUnit({ shape, fields }: HeardTopic, name: string): string | null {
  const cut = name.lastIndexOf('.');
  const parent = cut < 0 ? '' : name.slice(0, cut + 1);
  const beside = [...fields.keys()].filter(
    (other) =>
      other.startsWith(parent) && !other.slice(parent.length).includes('.') && !isHousekeeping(other),
  );
  // of several readings, one value has the unit
  const owns = beside.length === 1 || GENERIC_VALUE.test(name.slice(cut + 1));
  // `{"unit":"Wh","values":{"1":5}}`
  const above = parent.replace(/[^.]+\.$/, '');
  const isSeries = shape.batches.has(parent.slice(0, -1));
  const places = /(?:^|\.)values\.$/i.test(parent) && !isSeries ? [parent, above] : [parent];
  for (const key of owns || places.length > 1
    ? ['unit', 'units', 'uom', 'unit_of_measurement', 'Unit', 'Units', 'UNIT', 'u']
    : []) {
    const values = places.map((place) => shape.labels.get(`${place}${key}`)).find((one) => one !== undefined);
    const [unit] = values ?? [];
    if (values?.size === 1 && unit !== undefined && isUnit(unit)) return unit;
  }
  const last = name.slice(cut + 1);
  const of = (key: string): string | undefined => [...(shape.labels.get(key) ?? [])][0];
  if (/^(?:Temperature|DewPoint)/.test(last)) {
    const unit = of('TempUnit');
    if (unit === 'C' || unit === 'F') return `°${unit}`;
  }
  return /^(?:Pressure|SeaPressure)$/.test(last) ? (of('PressureUnit') ?? null) : null;
}
