/**
 * MQTT topic filters with named captures: `zigbee2mqtt/{device}`, `plant/+/{line}/#`. A capture takes one level, like
 * `+`; `+` and `#` are as in MQTT 5, 4.7.
 */
import { GatecastError } from '../errors.ts';

/** The limit of MQTT itself, in bytes of UTF-8. */
const MAX_TOPIC_BYTES = 65_535;
/** `{name}`, or `{name:a|b}` for the levels `a` and `b` alone. */
const CAPTURE = /^\{([A-Za-z][A-Za-z0-9_]{0,31})(?::([^{}]*))?\}$/;
/** Most filters for a pattern with named levels; one with more is subscribed to with `+` there. */
const MAX_FILTERS = 64;
/** Words with a special meaning in name templates. */
const RESERVED_CAPTURES = ['field', 'topic'];

export type PatternLevel =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'one'; readonly capture: string | null; readonly only: readonly string[] | null }
  | { readonly kind: 'rest' };

export interface TopicPattern {
  /** As written. */
  readonly source: string;
  /** One filter for all topics that it matches: captures replaced by `+`. */
  readonly filter: string;
  /** What to subscribe to: the same, with named levels written out. */
  readonly filters: readonly string[];
  readonly levels: readonly PatternLevel[];
  /** Names of the captures, in order. */
  readonly captures: readonly string[];
}

/** Throws GatecastError CONFIG_INVALID. */
export function parsePattern(source: string): TopicPattern {
  const fail = (message: string, hint: string): never => {
    throw new GatecastError('CONFIG_INVALID', `"${source}" is not a topic pattern: ${message}`, { hint });
  };
  if (source === '') fail('it is empty', 'write a topic such as "zigbee2mqtt/{device}"');
  if (Buffer.byteLength(source) > MAX_TOPIC_BYTES) fail('it is too long', 'MQTT allows 65535 bytes');
  if (source.includes('\0')) fail('it contains a NUL character', 'remove it');
  if (source.startsWith('$share/'))
    fail('a shared subscription delivers only some of the messages', 'remove "$share/<group>/"');
  const texts = source.split('/');
  const captures: string[] = [];
  const levels = texts.map((text, at): PatternLevel => {
    if (text === '+') return { kind: 'one', capture: null, only: null };
    if (text === '#') {
      if (at !== texts.length - 1) fail('"#" is not its last level', '"#" is allowed only at the end');
      return { kind: 'rest' };
    }
    const [, capture, named] = CAPTURE.exec(text) ?? [];
    if (capture !== undefined) {
      if (captures.includes(capture)) fail(`{${capture}} appears twice`, 'give each capture its own name');
      if (RESERVED_CAPTURES.includes(capture)) fail(`{${capture}} is a reserved word`, 'choose another name');
      captures.push(capture);
      const only = named === undefined ? null : [...new Set(named.split('|'))];
      if (only?.some((one) => one === '' || /[+#]/.test(one)))
        fail(
          `"${text}" has an empty level or a wildcard`,
          'write the levels that match: {room:cellar|attic}',
        );
      return { kind: 'one', capture, only };
    }
    if (/[+#]/.test(text)) fail(`"${text}" mixes text with a wildcard`, '"+" and "#" take a whole level');
    if (/[{}]/.test(text))
      fail(`"${text}" is not a capture`, 'a capture is a whole level: {name}, of letters, digits and _');
    return { kind: 'literal', text };
  });
  const filter = levels.map((level) => textOf(level)).join('/');
  return { source, filter, filters: filtersOf(levels) ?? [filter], levels, captures };
}

const textOf = (level: PatternLevel): string =>
  level.kind === 'literal' ? level.text : level.kind === 'one' ? '+' : '#';

/** Null: they are too many. */
function filtersOf(levels: readonly PatternLevel[]): string[] | null {
  let filters: string[][] = [[]];
  for (const level of levels) {
    const texts = (level.kind === 'one' ? level.only : null) ?? [textOf(level)];
    if (filters.length * texts.length > MAX_FILTERS) return null;
    filters = filters.flatMap((before) => texts.map((text) => [...before, text]));
  }
  return filters.map((texts) => texts.join('/'));
}

/** Whether a level matches any text. */
const isOpen = (level: PatternLevel | undefined): boolean =>
  level?.kind === 'rest' || (level?.kind === 'one' && level.only === null);

/** Text matched by `+`, captures and `#` (its levels joined by '/'), in order; null if the topic does not match. */
export function matchPattern(pattern: TopicPattern, topicLevels: readonly string[]): string[] | null {
  const { levels } = pattern;
  const taken: string[] = [];
  // MQTT 5, 4.7.2: a wildcard in the first level does not match topics that begin with '$'.
  if (isOpen(levels[0]) && topicLevels[0]?.startsWith('$')) return null;
  for (let at = 0; at < levels.length; at += 1) {
    const level = levels[at] as PatternLevel;
    if (level.kind === 'rest') {
      taken.push(topicLevels.slice(at).join('/'));
      return taken;
    }
    const text = topicLevels[at];
    if (text === undefined) return null;
    if (level.kind === 'one') {
      if (level.only !== null && !level.only.includes(text)) return null;
      taken.push(text);
    } else if (level.text !== text) return null;
  }
  return topicLevels.length === levels.length ? taken : null;
}

/** Whether a string is a valid topic name: no wildcards, no NUL, not empty, not too long. */
export function isTopic(topic: string): boolean {
  if (topic === '' || topic.length > MAX_TOPIC_BYTES) return false;
  for (let at = 0; at < topic.length; at += 1) {
    const code = topic.charCodeAt(at);
    if (code === 0 || code === 35 || code === 43) return false;
  }
  return true;
}
