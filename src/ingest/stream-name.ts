/**
 * Makes stream names that are safe as MQTT topic levels, from any text: no `+`, `#`, NUL or other control characters, no
 * empty levels, no leading `$`.
 */

const MAX_NAME_LENGTH = 200;
const MAX_LEVELS = 16;
/** Wildcards, quotes, control and invisible characters, lone surrogates. */
const UNSAFE = /[+#"\\\p{Cc}\p{Cf}\p{Cs}\u2028\u2029\ufffd]/gu;
/** `{capture}`, or `{/model}` for a member of the payload. */
export const PLACEHOLDER = /\{([A-Za-z0-9_]+|\/[^{}]+)\}/g;
/** Includes the preceding separator, which is dropped with an absent member. */
const WITH_SEPARATOR = /([-_.: ]?)\{([A-Za-z0-9_]+|\/[^{}]+)\}/g;
/** Keys with a special meaning in objects; no sensor needs them. */
const POISON = new Set(['__proto__', 'constructor', 'prototype']);

export function isPoisonKey(key: string): boolean {
  return POISON.has(key);
}

/** Makes one level safe; '_' if nothing remains. */
export function safeLevel(text: string): string {
  const clean = text.replace(UNSAFE, '_').replaceAll('/', '_').trim();
  if (clean === '' || clean === '.' || clean === '..' || POISON.has(clean)) return '_';
  // `<stream>/at/<duration>` carries plain numbers; a level of that name would collide with another stream's.
  if (clean === 'at') return 'at_';
  return clean.startsWith('$') ? `_${clean.slice(1)}` : clean;
}

/** A name of safe levels from text that may contain '/'; null if empty, too long or too deep. */
export function safeName(text: string): string | null {
  if (text.length > MAX_NAME_LENGTH * 4) return null;
  const levels = text.split('/').filter((level) => level !== '');
  if (levels.length === 0 || levels.length > MAX_LEVELS) return null;
  const name = levels.map(safeLevel).join('/');
  return name.length <= MAX_NAME_LENGTH ? name : null;
}

/** Whether `safeName` returns the name unchanged. */
export function isSafeName(name: string): boolean {
  return safeName(name) === name;
}

/** Placeholders of a template, in order: capture names, wildcard numbers from 1, `field`, `topic`, `/member`. */
export function placeholders(template: string): string[] {
  return [...template.matchAll(PLACEHOLDER)].map((found) => found[1]);
}

/** JSON Pointers of the payload members in a template, in order. */
export const identityPointers = (template: string): string[] =>
  placeholders(template).filter((placeholder) => placeholder.startsWith('/'));

/**
 * Fills a template. Unknown placeholders become empty; a member absent from the payload is removed with the separator
 * before it. The caller makes the result safe with `safeName`.
 */
export function fillTemplate(template: string, values: ReadonlyMap<string, string>): string {
  return template.replace(WITH_SEPARATOR, (_, separator: string, key: string) => {
    const value = values.get(key) ?? '';
    return value === '' && key.startsWith('/') ? '' : `${separator}${value}`;
  });
}
