/**
 * Stream names, safe as MQTT topic levels whatever a topic, a payload or a config holds: no `+`, `#`, NUL or other
 * control characters, no empty levels, no leading `$`.
 */

const MAX_NAME_LENGTH = 200;
const MAX_LEVELS = 16;
/** Wildcards, quotes, control and invisible characters, lone surrogates. */
const UNSAFE = /[+#"\\\p{Cc}\p{Cf}\p{Cs}\u2028\u2029\ufffd]/gu;
/** `{capture}`, or `{/model}` for a member of the payload. */
export const PLACEHOLDER = /\{([A-Za-z0-9_]+|\/[^{}]+)\}/g;
/** With the separator in front, which goes with a member that is not there. */
const WITH_SEPARATOR = /([-_.: ]?)\{([A-Za-z0-9_]+|\/[^{}]+)\}/g;
/** Keys that objects treat specially; as names they would only ever be an attack. */
const POISON = new Set(['__proto__', 'constructor', 'prototype']);

export function isPoisonKey(key: string): boolean {
  return POISON.has(key);
}

/** One level made safe; '_' when nothing is left of it. */
export function safeLevel(text: string): string {
  const clean = text.replace(UNSAFE, '_').replaceAll('/', '_').trim();
  if (clean === '' || clean === '.' || clean === '..' || POISON.has(clean)) return '_';
  // `<stream>/at/<duration>` carries plain numbers; a level of that name would collide with another stream's.
  if (clean === 'at') return 'at_';
  return clean.startsWith('$') ? `_${clean.slice(1)}` : clean;
}

/** A name of safe levels from text that may hold '/'; null when it is empty, too long or too deep. */
export function safeName(text: string): string | null {
  if (text.length > MAX_NAME_LENGTH * 4) return null;
  const levels = text.split('/').filter((level) => level !== '');
  if (levels.length === 0 || levels.length > MAX_LEVELS) return null;
  const name = levels.map(safeLevel).join('/');
  return name.length <= MAX_NAME_LENGTH ? name : null;
}

/** Whether a name is what `safeName` gives. */
export function isSafeName(name: string): boolean {
  return safeName(name) === name;
}

/** Placeholders of a template, in order: capture names, wildcard numbers from 1, `field`, `topic`, `/member`. */
export function placeholders(template: string): string[] {
  return [...template.matchAll(PLACEHOLDER)].map((found) => found[1]);
}

/** The members that a template takes from the payload, as JSON Pointers, in order. */
export const identityPointers = (template: string): string[] =>
  placeholders(template).filter((placeholder) => placeholder.startsWith('/'));

/**
 * Puts values in; an unknown placeholder becomes empty, and a member that the payload lacks takes the separator before it
 * along. Values are made safe by the caller, through `safeName`.
 */
export function fillTemplate(template: string, values: ReadonlyMap<string, string>): string {
  return template.replace(WITH_SEPARATOR, (_, separator: string, key: string) => {
    const value = values.get(key) ?? '';
    return value === '' && key.startsWith('/') ? '' : `${separator}${value}`;
  });
}
