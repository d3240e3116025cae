/** From a JSON value to a reading, and from a JSON tree to all its readings. Shared by the decoders that read JSON. */
import type { DecodeSink } from './decoder.ts';
import { parseNumberWithUnit, parseSwitch } from './number-text.ts';
import { excerpt } from './rejects.ts';
import { isPoisonKey } from './stream-name.ts';
import { epochToMs } from './time-stamp.ts';

export interface ValueOptions {
  readonly numericStrings: boolean;
  readonly unit: string | null;
  readonly timeMs: number | null;
}

/** A field that the owner named: whatever is wrong with it is a reject. */
export function namedValue(field: string, value: unknown, options: ValueOptions, sink: DecodeSink): void {
  if (typeof value === 'number') {
    if (Number.isFinite(value)) sink.reading(field, value, options.timeMs, options.unit);
    else sink.reject('not-finite', `${excerpt(field)} is too large for a double`);
  } else if (typeof value === 'boolean') sink.reading(field, value ? 1 : 0, options.timeMs, options.unit);
  else if (typeof value === 'string') namedText(field, value, options, sink);
  else sink.reject('wrong-type', `${excerpt(field)} is ${Array.isArray(value) ? 'an array' : 'an object'}`);
}

function namedText(field: string, text: string, options: ValueOptions, sink: DecodeSink): void {
  const state = parseSwitch(text);
  if (state !== null) {
    sink.reading(field, state, options.timeMs, options.unit);
    return;
  }
  const parsed = parseNumberWithUnit(text);
  if (parsed === 'bad-number')
    sink.reject('wrong-type', `${excerpt(field)} is the text "${excerpt(text, 40)}"`);
  else if (parsed === 'not-finite') sink.reject('not-finite', `${excerpt(field)} is "${excerpt(text, 40)}"`);
  else if (!options.numericStrings)
    sink.reject('wrong-type', `${excerpt(field)} is a number in quotes; "numeric_strings: true" takes those`);
  else sink.reading(field, parsed.value, options.timeMs, options.unit ?? parsed.unit);
}

/** Keys under which devices send when they measured, not what. */
const TIME_KEY =
  /^(?:time|timestamp|time_stamp|ts|t|date|datetime|epoch|last_seen|lastseen|updated|updated_at)$/i;
/** Epochs of the years 2000 to 2100. */
const EPOCH_FROM_MS = 946_684_800_000;
const EPOCH_TO_MS = 4_102_444_800_000;

function looksLikeTime(key: string, value: unknown): boolean {
  if (typeof value !== 'number' || !TIME_KEY.test(key)) return false;
  const ms = epochToMs(value);
  return ms !== null && ms >= EPOCH_FROM_MS && ms <= EPOCH_TO_MS;
}

export interface WalkOptions extends ValueOptions {
  /** Key path (joined by '.') that is the time stamp, not a reading. */
  readonly timeName: string | null;
  /** Top-level keys left out. */
  readonly skip: ReadonlySet<string>;
}

/**
 * Every number of a tree, with booleans and on/off as 1 and 0. Texts that are no numbers are not what was asked for
 * and pass silently. Depth is bounded by the check before the parse, breadth by the sink.
 * @returns whether anything was found, rejects included
 */
export function walkNumbers(json: unknown, options: WalkOptions, sink: DecodeSink): boolean {
  return walk('', '', json, options, sink);
}

function walk(name: string, key: string, value: unknown, options: WalkOptions, sink: DecodeSink): boolean {
  switch (typeof value) {
    case 'number':
      if (looksLikeTime(key, value)) return false;
      namedValue(name, value, options, sink);
      return true;
    case 'boolean':
      sink.reading(name, value ? 1 : 0, options.timeMs, options.unit);
      return true;
    case 'string':
      return walkText(name, value, options, sink);
    default:
      return value === null || value === undefined ? false : walkTree(name, value, options, sink);
  }
}

function walkText(name: string, text: string, options: WalkOptions, sink: DecodeSink): boolean {
  const state = parseSwitch(text);
  if (state !== null) {
    sink.reading(name, state, options.timeMs, options.unit);
    return true;
  }
  if (!options.numericStrings) return false;
  const parsed = parseNumberWithUnit(text);
  if (typeof parsed === 'string') return false;
  sink.reading(name, parsed.value, options.timeMs, options.unit ?? parsed.unit);
  return true;
}

function walkTree(name: string, tree: object, options: WalkOptions, sink: DecodeSink): boolean {
  let found = false;
  // Object.keys gives own keys alone, also `__proto__` where JSON.parse made one.
  for (const key of Object.keys(tree)) {
    if (isPoisonKey(key)) {
      sink.reject('forbidden-key', key);
      found = true;
      continue;
    }
    const path = name === '' ? key : `${name}.${key}`;
    if (path === options.timeName || (name === '' && options.skip.has(key))) continue;
    if (walk(path, key, (tree as Record<string, unknown>)[key], options, sink)) found = true;
  }
  return found;
}
