/** Converts JSON values to readings. Shared by the decoders of JSON payloads. */
import type { ZoneOffset } from '../series/calendar.ts';
import { parseTime, timeProblem } from '../series/time-stamp.ts';
import type { DecodeSink } from './decoder.ts';
import {
  batchIdentity,
  identityKey,
  identityOf,
  identityPair,
  mixedRows,
  namedElements,
  pairName,
  rowName,
} from './json-identity.ts';
import { columnNames, columnsOf, rowsWithTimes, unmatchedTimes } from './json-rows.ts';
import { batchTimeKey, isTimeMember, timeIn } from './json-times.ts';
import { isTree, memberOf, type Tree } from './json-tree.ts';
import { type NumberFormat, parseNumberWithUnit, parseSwitch } from './number-text.ts';
import { excerpt } from './rejects.ts';
import { isPoisonKey } from './stream-name.ts';
import { Unreadable } from './tolerant-json.ts';

export interface ValueOptions {
  readonly numericStrings: boolean;
  readonly numbers: NumberFormat;
  readonly unit: string | null;
  readonly timeMs: number | null;
}

/** Reads a field named by a rule; any problem with it is a reject. */
export function namedValue(field: string, value: unknown, options: ValueOptions, sink: DecodeSink): void {
  if (typeof value === 'number') {
    if (Number.isFinite(value)) sink.reading(field, value, options.timeMs, options.unit);
    else sink.reject('not-finite', `${excerpt(field)} is too large for a double`);
  } else if (typeof value === 'boolean') sink.reading(field, value ? 1 : 0, options.timeMs, options.unit);
  else if (typeof value === 'string') namedText(field, value, options, sink);
  else if (value instanceof Unreadable) unreadable(field, value, options, sink);
  else sink.reject('wrong-type', `${excerpt(field)} is ${Array.isArray(value) ? 'an array' : 'an object'}`);
}

/** A member such as `21,5` or `21.5 C` without quotes is a number, if the rule says so. */
function unreadable(field: string, value: Unreadable, options: ValueOptions, sink: DecodeSink): void {
  const { numbers, numericStrings } = options;
  const plain = value.text === '' ? 'bad-number' : parseNumberWithUnit(value.text, numbers);
  const comma = value.text === '' ? 'bad-number' : parseNumberWithUnit(value.text, { decimalComma: true });
  const needs =
    typeof plain === 'object' && plain.unit !== null
      ? 'numeric_strings'
      : typeof comma === 'object' && comma.unit === null
        ? 'decimal_comma'
        : null;
  if (typeof plain === 'object' && (plain.unit === null ? numbers.decimalComma === true : numericStrings))
    sink.reading(field, plain.value, options.timeMs, options.unit ?? plain.unit);
  else
    sink.reject(
      value.reason,
      `${excerpt(field, 60)}: ${value.detail}${needs === null ? '' : `; "${needs}: true" takes those`}`,
    );
}

function namedText(field: string, text: string, options: ValueOptions, sink: DecodeSink): void {
  const state = parseSwitch(text);
  if (state !== null) {
    sink.reading(field, state, options.timeMs, options.unit);
    return;
  }
  const parsed = parseNumberWithUnit(text, options.numbers);
  if (parsed === 'bad-number')
    sink.reject('wrong-type', `${excerpt(field)} is the text "${excerpt(text, 40)}"`);
  else if (parsed === 'not-finite') sink.reject('not-finite', `${excerpt(field)} is "${excerpt(text, 40)}"`);
  else if (!options.numericStrings)
    sink.reject('wrong-type', `${excerpt(field)} is a number in quotes; "numeric_strings: true" takes those`);
  else sink.reading(field, parsed.value, options.timeMs, options.unit ?? parsed.unit);
}

export interface WalkOptions extends ValueOptions {
  /** Path of the time stamp, joined by '.'. */
  readonly timeName: string | null;
  /** Paths to skip, joined by '.'. */
  readonly skip: ReadonlySet<string>;
  /** Zone of times without an offset. */
  readonly zone: ZoneOffset;
  readonly arrivalMs: number;
  /** Reads batches of several devices under one name. */
  readonly mixed: boolean;
  /** Key of a list of times above this part of the payload. */
  readonly times?: string;
}

/**
 * Reads every number of a tree, and booleans and on/off as 1 and 0. Other texts are ignored. A nested batch of readings is
 * read with its own times. The depth is limited by the check before parsing, the breadth by the sink.
 * @param name of the tree; '' for a whole payload
 * @returns whether there was a reading or reject
 */
export function walkNumbers(json: unknown, options: WalkOptions, sink: DecodeSink, name = ''): boolean {
  return walk(name, '', json, options, sink);
}

function walk(name: string, key: string, value: unknown, options: WalkOptions, sink: DecodeSink): boolean {
  switch (typeof value) {
    case 'number':
      if (isTimeMember(key, value)) return false;
      namedValue(name, value, options, sink);
      return true;
    case 'boolean':
      sink.reading(name, value ? 1 : 0, options.timeMs, options.unit);
      return true;
    case 'string':
      return walkText(name, key, value, options, sink);
    default:
      if (value === null || value === undefined) return false;
      if (isTimeMember(key, value)) return false;
      if (value instanceof Unreadable) {
        namedValue(name, value, options, sink);
        return true;
      }
      return Array.isArray(value)
        ? walkList(name, key, value, null, options, sink)
        : walkTree(name, value as Tree, options, sink);
  }
}

function walkText(name: string, key: string, text: string, options: WalkOptions, sink: DecodeSink): boolean {
  const state = parseSwitch(text);
  if (state !== null) {
    sink.reading(name, state, options.timeMs, options.unit);
    return true;
  }
  if (!options.numericStrings || isTimeMember(key, text)) return false;
  const parsed = parseNumberWithUnit(text, options.numbers);
  if (typeof parsed === 'string') return false;
  sink.reading(name, parsed.value, options.timeMs, options.unit ?? parsed.unit);
  return true;
}

function walkTree(name: string, whole: Tree, options: WalkOptions, sink: DecodeSink): boolean {
  const byTime = rowsWithTimes(whole, null, options.arrivalMs);
  if (byTime !== null) return walkRows(name, byTime.rows, byTime.key, options, sink, byTime.single);
  const columns = columnsOf(whole);
  let found = columns !== null && walkRows(name, columns.rows, columns.key, options, sink);
  const tree = columns?.rest ?? whole;
  const times = columns?.key ?? unmatchedTimes(tree) ?? options.times ?? null;
  const inner = times === null || options.times !== undefined ? options : { ...options, times };
  // Object.keys returns only own keys, including a `__proto__` created by JSON.parse
  for (const key of Object.keys(tree)) {
    if (sink.full === true) return true;
    if (isPoisonKey(key)) {
      sink.reject('forbidden-key', key);
      found = true;
      continue;
    }
    const value = tree[key];
    const path = name === '' ? key : `${name}.${key}`;
    if (path === options.timeName || options.skip.has(path)) continue;
    if (Array.isArray(value)) {
      if (times === key) continue;
      if (times !== null && typeof value[0] === 'number') {
        sink.reject(
          'bad-time',
          `${excerpt(path, 40)} and ${excerpt(times, 40)} are lists of different lengths`,
        );
        found = true;
        continue;
      }
      if (walkList(path, key, value, columnNames(tree), options, sink)) found = true;
      continue;
    }
    if (walk(path, key, value, inner, sink)) found = true;
  }
  return found;
}

function walkList(
  name: string,
  key: string,
  list: readonly unknown[],
  columns: readonly unknown[] | null,
  options: WalkOptions,
  sink: DecodeSink,
): boolean {
  const timeKey = batchTimeKey(list);
  if (timeKey !== null) return walkRows(name, list, timeKey, options, sink);
  const rows = rowsWithTimes(list, columns, options.arrivalMs);
  if (rows !== null) return walkRows(name, rows.rows, rows.key, options, sink, rows.single);
  const member = identityKey(list, key);
  const pair = member === null ? identityPair(list, key) : null;
  const named = member === null && pair === null ? namedElements(list) : null;
  if (named !== null) return walkTree(name, named, options, sink);
  let found = false;
  for (const [at, element] of list.entries()) {
    if (sink.full === true) return true;
    if (pair !== null) {
      const own = pairName(element as Tree, pair) ?? String(at);
      const path = name === '' ? own : `${name}.${own}`;
      // the identifying members are no readings
      const skip = new Set([...options.skip, ...pair.map((member) => `${path}.${member}`)]);
      if (walk(path, '', element, { ...options, skip }, sink)) found = true;
      continue;
    }
    const identity = member === null ? String(at) : identityOf(memberOf(element, member));
    if (identity === null) {
      sink.reject('no-identity', `an element of ${excerpt(name, 40)} has no ${excerpt(member ?? '', 40)}`);
      found = true;
      continue;
    }
    const path = name === '' ? identity : `${name}.${identity}`;
    // the identifying member is not a reading
    const own = member === null ? options : { ...options, timeName: `${path}.${member}` };
    if (walk(path, member === null ? key : '', element, own, sink)) found = true;
  }
  return found;
}

/**
 * Reads a batch: each element with its own time, under the name of the list, and of the member that tells the elements apart.
 * @param single the member that is read under the name of the batch; null: each member has its own name
 */
function walkRows(
  name: string,
  rows: readonly unknown[],
  timeKey: string,
  options: WalkOptions,
  sink: DecodeSink,
  single: string | null = null,
): boolean {
  let found = false;
  const members = batchIdentity(rows);
  const mixed = options.mixed ? [] : mixedRows(rows, timeKey, members);
  if (mixed.length > 0) {
    sink.reject('no-identity', severalDevices(mixed));
    return true;
  }
  for (const row of rows) {
    if (sink.full === true) return true;
    if (!isTree(row)) {
      sink.reject('wrong-type', 'an element of the batch is not an object');
      found = true;
      continue;
    }
    const sent = timeIn(row, timeKey);
    const timeMs = parseTime(sent, options.zone, options.arrivalMs);
    if (timeMs === null) {
      sink.reject('bad-time', `${excerpt(timeKey, 40)} is ${shownTime(sent)}`);
      found = true;
      continue;
    }
    const identity = rowName(row, members);
    const path = identity === null ? name : name === '' ? identity : `${name}.${identity}`;
    const own = {
      ...options,
      timeMs,
      timeName: path === '' ? timeKey : `${path}.${timeKey}`,
      skip: withMembers(name === '' ? options.skip : NOTHING, path, row, members),
    };
    if (single === null ? walkTree(path, row, own, sink) : walk(path, '', row[single], own, sink))
      found = true;
  }
  return found;
}

/** Text of a value for a reject. Objects are not converted, because they may contain a `toString` member. */
export const shownValue = (value: unknown): string =>
  typeof value === 'object' ? 'an object' : value === undefined ? 'missing' : excerpt(String(value), 60);

/** A time that is not understood, and why. */
export const shownTime = (value: unknown): string => `${shownValue(value)}${timeProblem(value)}`;

const NOTHING: ReadonlySet<string> = new Set();

/** Integers that name a reading are no readings. */
export const withMembers = (
  skip: ReadonlySet<string>,
  path: string,
  row: Tree,
  members: readonly string[],
): ReadonlySet<string> => {
  const numbers = members.filter((key) => typeof row[key] === 'number');
  return numbers.length === 0 ? skip : new Set([...skip, ...numbers.map((key) => `${path}.${key}`)]);
};

/** The reject of readings that several members distinguish. */
export const severalDevices = (keys: readonly string[]): string =>
  `a batch of several devices; separate them by name: "{topic}/${keys.map((key) => `{/${key}}`).join('-')}/{field}"`;
