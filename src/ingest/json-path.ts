/**
 * Looks up fields in parsed JSON by key, dotted key or JSON Pointer (RFC 6901), using own properties only. Elements of a
 * list are selected by index or by an identifying member: `meters[meter=A].E` is the `E` of the element whose `meter` is
 * A, `meters[meter].E` the `E` of every element. `meters.A.E`, the name of such a reading, is accepted as a path too.
 * `*.E` is the `E` of every member, in an object whose keys are names of devices.
 */
import {
  findByPair,
  findByRecordId,
  identityKey,
  identityOf,
  isRecordId,
  namedElements,
} from './json-identity.ts';
import { isTree, memberOf } from './json-tree.ts';
import { isPoisonKey } from './stream-name.ts';

/** One step: a key or index, or the elements of a list selected by a member. */
type PathToken = string | { readonly member: string /** null: every element */; readonly is: string | null };

/** A compiled path: alternatives, tried in order. */
export type JsonPath = readonly (readonly PathToken[])[];

const MAX_DEPTH = 32;
const ANY_KEY = '*';
/** A level of a dotted path, with its selectors. */
const LEVEL = /^([^[\]]*)((?:\[[^[\]]+\])*)$/;
const SELECTOR = /\[([^[\]=]+)(?:=([^[\]]+))?\]/g;

/** Compiles `temperature`, `ENERGY.Power`, `/ENERGY/Power` or `meters[meter=A].E`. null if invalid or too deep. */
export function compilePath(path: string): JsonPath | null {
  if (path.startsWith('/')) {
    if (/~(?![01])/.test(path)) return null;
    const tokens = path
      .slice(1)
      .split('/')
      .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
    return tokens.length <= MAX_DEPTH ? [tokens] : null;
  }
  if (path === '') return null;
  // a key that itself contains a dot or a bracket takes precedence
  if (path.includes('[')) {
    const selected = withSelectors(path);
    return selected === null ? [[path]] : selected.length > MAX_DEPTH ? null : [[path], selected];
  }
  const dotted = path.split('.');
  if (dotted.length > MAX_DEPTH) return null;
  if (dotted.length === 1 || dotted.includes('')) return [[path]];
  const every = dotted.filter((key) => key === ANY_KEY).length;
  if (every > 1) return null;
  return [[path], dotted.map((key) => (key === ANY_KEY ? { member: ANY_KEY, is: null } : key))];
}

/** Tokens of `meters[meter=A].E`; null if the brackets are unbalanced. A value may contain dots. */
function withSelectors(path: string): PathToken[] | null {
  const tokens: PathToken[] = [];
  for (const level of path.split(/\.(?![^[]*\])/)) {
    const found = LEVEL.exec(level);
    const [, key = '', selectors = ''] = found ?? [];
    if (found === null || (key === '' && selectors === '')) return null;
    if (key !== '') tokens.push(key);
    for (const [, member = '', is] of selectors.matchAll(SELECTOR))
      tokens.push(
        is === undefined && /^\d+$/.test(member) ? member : { member: member.trim(), is: is?.trim() ?? null },
      );
  }
  return tokens;
}

/** Whether a path selects several values: `meters[meter].E`, `*.E`. */
export const isMany = (path: JsonPath): boolean =>
  path.some((tokens) => tokens.some((token) => typeof token !== 'string' && token.is === null));

/** For `*.E`, the text before and after the key that it selects; null for other paths. */
export function aroundAnyKey(path: string): readonly [before: string, after: string] | null {
  if (/[/[]/.test(path)) return null;
  const keys = path.split('.');
  const at = keys.length > 1 ? keys.indexOf(ANY_KEY) : -1;
  return at < 0
    ? null
    : [
        keys
          .slice(0, at)
          .map((key) => `${key}.`)
          .join(''),
        keys
          .slice(at + 1)
          .map((key) => `.${key}`)
          .join(''),
      ];
}

/** The value, or undefined if absent. Never uses the prototype chain. */
export function lookUp(json: unknown, path: JsonPath): unknown {
  // fast path: one key of the payload
  const [only] = path;
  if (path.length === 1 && only?.length === 1) {
    const [key] = only;
    if (typeof key === 'string' && isTree(json)) return Object.hasOwn(json, key) ? json[key] : undefined;
  }
  for (const tokens of path) {
    let value = json;
    for (let at = 0; at < tokens.length && value !== undefined; at += 1)
      value = step(value, tokens[at] as PathToken, tokens[at - 1]);
    if (value !== undefined) return value;
  }
  return undefined;
}

function step(value: unknown, token: PathToken, before: PathToken | undefined): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  if (typeof token !== 'string')
    return Array.isArray(value) ? value.find((element) => isSelected(element, token)) : undefined;
  if (Array.isArray(value)) {
    const listKey = typeof before === 'string' ? before : '';
    const key = identityKey(value, listKey);
    const named =
      key === null ? undefined : value.find((element) => identityOf(memberOf(element, key)) === token);
    if (named !== undefined) return named;
    const record = isRecordId(token) ? findByRecordId(value, token) : undefined;
    if (record !== undefined) return record;
    const own = key === null ? namedElements(value, 1) : null;
    if (own !== null && Object.hasOwn(own, token)) return own[token];
    if (token.includes('-')) return findByPair(value, listKey, token);
    // if integers identify the elements, an index would select another device as soon as one is missing
    if (key !== null && value.every((element) => /^\d+$/.test(identityOf(memberOf(element, key)) ?? '')))
      return undefined;
  }
  return Object.hasOwn(value, token) ? (value as Record<string, unknown>)[token] : undefined;
}

function isSelected(element: unknown, { member, is }: Exclude<PathToken, string>): boolean {
  const identity = identityOf(memberOf(element, member));
  return identity !== null && (is === null || identity === is);
}

/** Calls `found` with every value selected by a path, and the identities of the list elements on the way. */
export function lookUpEvery(
  json: unknown,
  path: JsonPath,
  found: (value: unknown, identities: readonly string[]) => void,
): void {
  for (const tokens of path) walk(json, tokens, 0, [], found);
}

function walk(
  value: unknown,
  tokens: readonly PathToken[],
  at: number,
  identities: readonly string[],
  found: (value: unknown, identities: readonly string[]) => void,
): void {
  const token = tokens[at];
  if (value === undefined) return;
  if (token === undefined) found(value, identities);
  else if (typeof token === 'string' || token.is !== null)
    walk(step(value, token, tokens[at - 1]), tokens, at + 1, identities, found);
  else if (Array.isArray(value)) {
    for (const element of value)
      if (isSelected(element, token))
        walk(
          element,
          tokens,
          at + 1,
          [...identities, identityOf(memberOf(element, token.member)) ?? ''],
          found,
        );
  } else if (token.member === ANY_KEY && isTree(value))
    for (const key of Object.keys(value))
      if (!isPoisonKey(key)) walk(value[key], tokens, at + 1, [...identities, key], found);
}

/** The field's part of a stream name: levels joined by dots, `meters[meter=A].E` as `meters.A.E`. */
export function pathName(path: string): string {
  if (path.startsWith('/'))
    return path.slice(1).replaceAll('/', '.').replaceAll('~1', '_').replaceAll('~0', '~');
  const tokens = path.includes('[') ? withSelectors(path) : null;
  if (tokens === null) return path;
  return tokens.map((token) => (typeof token === 'string' ? token : (token.is ?? '*'))).join('.');
}

/** The name of one value of `meters[meter].E`: `meters.A.E`. */
export const nameOfOne = (name: string, identities: readonly string[]): string => {
  let next = 0;
  return name.includes('*')
    ? name.replace(/(^|[./])\*(?=[./]|$)/g, (_, dot: string) => `${dot}${identities[next++] ?? ''}`)
    : [...identities, name].join('.');
};
