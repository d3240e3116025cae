/**
 * The form of a device family: which topics it has, how its streams are named, and what its fields measure. The families
 * themselves are data (`families.ts`).
 *
 * A template is a topic with variable levels: `{device}` becomes a capture of the suggested pattern, `<part>` keeps the received
 * text, and `<path...>` keeps one or more received levels. Other levels may contain `*` for any text.
 */
import type { PayloadKind } from '../../ingest/decoders/index.ts';
import type { HeardTopic } from '../../ingest/survey.ts';
import type { Quantity } from './quantities.ts';

export interface Family {
  readonly name: string;
  readonly topics: readonly FamilyTopic[];
  /** Templates of topics without measurements. */
  readonly ignore?: readonly string[];
  /** Quantity of each field, by its name or, if the topic names the quantity, by `<quantity>`; `*` is any text. `null`: not a measurement. */
  readonly fields?: readonly (readonly [glob: string, quantity: Quantity | null])[];
  /** Fields that are neither listed nor of a known quantity are ignored as settings. */
  readonly knownOnly?: boolean;
  /** Only the listed fields are measurements. */
  readonly listedOnly?: boolean;
  /** Usual sending interval, used if too few messages were received, ms. */
  readonly usualMs?: number;
}

export interface FamilyTopic {
  readonly template: string;
  /** What `<part>` or `{capture}` must look like. */
  readonly where?: Readonly<Record<string, RegExp>>;
  readonly payloads: readonly PayloadKind[];
  /** `payload` of the rule, if it differs from the recognised one. */
  readonly payload?: PayloadKind;
  /** The payload must have one of these fields or texts; `*` is any text. */
  readonly has?: readonly string[];
  /** Minimum number of `has` in the payload; default 1. */
  readonly hasAtLeast?: number;
  /** The member that is the value, if the topic names the quantity. */
  readonly value?: string;
  /** As `fields` of the family; takes precedence. */
  readonly fields?: Family['fields'];
  /** Member that contains the fields; not part of their names. */
  readonly within?: string;
  /** `name` of the rule; `<part>` is filled in. Without it: the captures, then the field. */
  readonly name?: string;
  /** `device` of the rule, if it is not the part of the name before the field or the last level. */
  readonly device?: string;
  /** Members of the payload that identify the device; the received ones form the name. */
  readonly identity?: readonly string[];
  /** Several gateways may receive the same device, whose readings form one stream. */
  readonly shared?: boolean;
  /** Member with the time of the reading. */
  readonly time?: string;
  /** Ignored if a topic of this template was received, because it has the same readings. */
  readonly unless?: string;
  /** Whether the topics of a `<part>` belong to the family. */
  readonly when?: (parts: ReadonlyMap<string, string>, topics: TopicNames) => boolean;
}

/** All received topics, including those without numbers. */
type TopicNames = ReadonlySet<string>;

export interface Claim {
  readonly family: Family;
  readonly topic: FamilyTopic;
  /** The suggested pattern. */
  readonly match: string;
  readonly parts: ReadonlyMap<string, string>;
}

const FIXED = /^<([a-z]+)>$/;
const PATH = /^<([a-z]+)\.\.\.>$/;
const CAPTURE = /^\{([a-z]+)\}$/;

type Level =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'any' }
  | { readonly kind: 'rest' }
  | { readonly kind: 'capture' | 'part' | 'path'; readonly name: string; readonly text: string };

interface Template {
  readonly levels: readonly Level[];
  /** Index of a path or `#`; -1 without one. */
  readonly open: number;
}

const compiled = new Map<string, Template>();
/** Limit, because templates with a filled-in part can be as many as topics. */
const MAX_COMPILED = 2000;

function compile(template: string): Template {
  const known = compiled.get(template);
  if (known !== undefined) return known;
  const levels = template.split('/').map((text): Level => {
    const name = CAPTURE.exec(text)?.[1];
    if (name !== undefined) return { kind: 'capture', name, text };
    const part = FIXED.exec(text)?.[1];
    if (part !== undefined) return { kind: 'part', name: part, text };
    const path = PATH.exec(text)?.[1];
    if (path !== undefined) return { kind: 'path', name: path, text };
    return text === '+' ? { kind: 'any' } : text === '#' ? { kind: 'rest' } : { kind: 'text', text };
  });
  const made = { levels, open: levels.findIndex(({ kind }) => kind === 'path' || kind === 'rest') };
  if (compiled.size < MAX_COMPILED) compiled.set(template, made);
  return made;
}

/** The parts of a topic, with the suggested pattern under ''; null if the topic does not fit the template. */
function fitTemplate(
  template: string,
  topic: string,
  where: Readonly<Record<string, RegExp>> = {},
): ReadonlyMap<string, string> | null {
  const { levels, open } = compile(template);
  const texts = topic.split('/');
  const behind = open < 0 ? 0 : levels.length - open - 1;
  const least = levels[open]?.kind === 'rest' ? levels.length - 1 : levels.length;
  if (open < 0 ? texts.length !== levels.length : texts.length < least) return null;
  const textAt = (at: number): string =>
    open < 0 || at < open
      ? (texts[at] ?? '')
      : at === open
        ? texts.slice(open, texts.length - behind).join('/')
        : (texts[texts.length - levels.length + at] ?? '');
  // Checks the fixed levels first, because most templates do not fit.
  for (const [at, level] of levels.entries())
    if (level.kind === 'text' && !globMatches(level.text, textAt(at))) return null;
  const parts = new Map<string, string>();
  const match: string[] = [];
  for (const [at, level] of levels.entries()) {
    const text = textAt(at);
    if (level.kind === 'text') match.push(text);
    else if (level.kind === 'rest') match.push('#');
    else if (level.kind !== 'any') {
      if (text === '' || where[level.name]?.test(text) === false) return null;
      // A brace in a topic would read as a capture.
      match.push(level.kind === 'capture' ? level.text : text.replaceAll(/[^/]*[{}][^/]*/g, '+'));
      parts.set(level.name, text);
    }
  }
  return parts.set('', match.join('/'));
}

/** The family of a topic; 'ignored' for a family's topic without measurements; null if no family fits. */
export function claimTopic(
  families: readonly Family[],
  heard: HeardTopic,
  topics: TopicNames,
): Claim | 'ignored' | null {
  for (const family of families) {
    for (const topic of family.topics) {
      const parts = fitTemplate(topic.template, heard.topic, topic.where);
      if (parts === null || !topic.payloads.includes(heard.kind) || !hasMembers(topic, heard)) continue;
      if (topic.when?.(parts, topics) === false) continue;
      const other = topic.unless === undefined ? undefined : fill(topic.unless, parts);
      if (other !== undefined && hasTopic(topics, other)) return 'ignored';
      return { family, topic, match: parts.get('') ?? heard.topic, parts };
    }
    if (family.ignore?.some((template) => fitTemplate(template, heard.topic) !== null)) return 'ignored';
  }
  return null;
}

/** Cached answers about a set of topics, by question. */
const answers = new WeakMap<TopicNames, Map<string, boolean>>();

/** Caches the answer to a question about the topics: thousands of topics ask the same. */
export function asked(topics: TopicNames, question: string, find: () => boolean): boolean {
  const known = answers.get(topics) ?? new Map<string, boolean>();
  answers.set(topics, known);
  const before = known.get(question);
  if (before !== undefined) return before;
  const answer = find();
  known.set(question, answer);
  return answer;
}

const hasTopic = (topics: TopicNames, template: string): boolean =>
  asked(topics, template, () => {
    for (const name of topics) if (fitTemplate(template, name) !== null) return true;
    return false;
  });

function hasMembers({ has, hasAtLeast = 1 }: FamilyTopic, { fields, shape }: HeardTopic): boolean {
  if (has === undefined) return true;
  const names = [...fields.keys(), ...shape.labels.keys(), ...shape.switches];
  return has.filter((glob) => names.some((name) => globMatches(glob, name))).length >= hasAtLeast;
}

/** Replaces `<part>` and `{capture}` by the received text. @param fixedOnly keep the captures */
export function fill(template: string, parts: ReadonlyMap<string, string>, fixedOnly = false): string {
  const fixed = template.replaceAll(/<([a-z]+)(?:\.\.\.)?>/g, (all, part: string) => parts.get(part) ?? all);
  return fixedOnly ? fixed : fixed.replaceAll(/\{([a-z]+)\}/g, (all, part: string) => parts.get(part) ?? all);
}

/** Whether a text matches a pattern in which `*` is any text. */
function globMatches(glob: string, text: string): boolean {
  const [first = '', ...rest] = glob.split('*');
  if (rest.length === 0) return glob === text;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const [index, piece] of rest.entries()) {
    if (index === rest.length - 1) return text.length - piece.length >= at && text.endsWith(piece);
    const found = text.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return true;
}

/** The quantity of a field of a family; undefined if the family does not list it. */
export function factOf({ family, topic }: Claim, name: string): Quantity | null | undefined {
  const facts = [...(topic.fields ?? []), ...(family.fields ?? [])];
  return facts.find(([glob]) => globMatches(glob, name))?.[1];
}
