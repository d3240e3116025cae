/**
 * Structure of a JSON payload besides its numbers: switches, texts, time stamps, lists of devices and batches of readings.
 * For `gatecast check` and `init`, not for the hot path. Paths are the reading names of `json-values.ts`.
 */

import { isLocalTime, parseTime } from '../series/time-stamp.ts';
import {
  batchIdentity,
  identityKey,
  identityOf,
  identityPair,
  isKindOfReading,
  mixingKeys,
  namedElements,
  numbersRows,
  pairName,
  rowName,
} from './json-identity.ts';
import { columnNames, columnsOf, rowsWithTimes } from './json-rows.ts';
import { batchTimeKey, isTimeKey, isTimeMember, timeIn, timeKeyOf } from './json-times.ts';
import { isTree, memberOf } from './json-tree.ts';
import { parseNumber, parseNumberWithUnit, parseSwitch } from './number-text.ts';
import { Unreadable } from './tolerant-json.ts';

const MAX_MEMBERS = 256;
const MAX_VALUES = 32;
const MAX_STAMPS = 16;
const MAX_DEPTH = 16;

interface TimeMember {
  /** Time stamp (UTC if without an offset) minus arrival time, of live messages, ms. */
  readonly offsetsMs: number[];
  /** Whether the time stamps have no UTC offset. */
  local: boolean;
}

/** The members of a row and, by path, of the objects in it. */
const textsOf = (row: Readonly<Record<string, unknown>>): [string, unknown][] =>
  Object.entries(row).flatMap(([key, value]): [string, unknown][] =>
    isTree(value)
      ? Object.entries(value).map(([inner, text]): [string, unknown] => [`${key}.${inner}`, text])
      : [[key, value]],
  );

export class PayloadShape {
  /** Booleans and on/off words. */
  readonly switches = new Set<string>();
  /** Numbers in quotes. */
  readonly quoted = new Set<string>();
  /** Short texts and integers that could identify a device: values seen, by path. */
  readonly labels = new Map<string, Set<string>>();
  /** Time stamps at the top level, or in an object there. */
  readonly times = new Map<string, TimeMember>();
  /** Texts under other keys that could be time stamps. */
  readonly otherTimes = new Map<string, TimeMember>();
  /** Values under the usual keys of time stamps that are not understood. */
  readonly unreadTimes = new Map<string, string>();
  /** Lists whose elements have neither a name nor a time. */
  readonly unnamed = new Set<string>();
  /** Lists of devices, with the identifying member. */
  readonly lists = new Map<string, string>();
  /** Lists whose elements are named by their only key, or by their first cell. */
  readonly named = new Set<string>();
  /** Lists of devices that two members identify together, with the names of the elements. */
  readonly pairs = new Map<string, Set<string>>();
  /** Lists, or objects of columns, whose readings have their own times; '' is the whole payload. */
  readonly batches = new Set<string>();
  /** Those without keys in the readings, or with times as keys: the decoder reads them by full path only. */
  readonly rowBatches = new Set<string>();
  /** The last key of the path of each batch. */
  readonly batchKeys = new Map<string, string>();
  /** Texts of the members of such readings, and integers under `id`, by key: values seen, and whether one was seen again. */
  readonly batchLabels = new Map<string, { readonly values: Map<string, string>; repeated: boolean }>();
  /** The members that tell devices of one batch apart. */
  readonly mixing = new Set<string>();
  /** By batch, the values by which the decoder names its readings. */
  readonly batchNames = new Map<string, Set<string>>();

  /** JSON Pointers of members whose keys contain a dot or a bracket. */
  readonly pointers = new Map<string, string>();

  /** @param live false for a retained message */
  add(json: unknown, arrivalMs: number, live: boolean): void {
    this.walk('', '', json, 0, live ? arrivalMs : null);
  }

  private walk(path: string, key: string, value: unknown, depth: number, arrivalMs: number | null): void {
    if (depth > MAX_DEPTH) return;
    if (Array.isArray(value)) this.walkList(path, key, value, depth, arrivalMs);
    else if (isTimeMember(key, value)) {
      if (depth <= 2) this.stamp(this.times, path, value, arrivalMs);
    } else if (isTree(value) && !(value instanceof Unreadable)) {
      const rows = rowsWithTimes(value, null, arrivalMs);
      if (columnsOf(value) !== null || rows !== null) {
        this.noteBatch(path, key);
        if (rows !== null) this.note(this.rowBatches, path);
        return;
      }
      const columns = columnNames(value);
      const timeKey = timeKeyOf(value);
      for (const [name, inner] of Object.entries(value))
        if (columns !== null && rowsWithTimes(inner, columns, arrivalMs) !== null) {
          const batch = path === '' ? name : `${path}.${name}`;
          this.noteBatch(batch, name);
          this.note(this.rowBatches, batch);
        } else this.walkMember(path, name, name === timeKey ? timeIn(value, name) : inner, depth, arrivalMs);
    } else if (typeof value === 'boolean' || (typeof value === 'string' && parseSwitch(value) !== null))
      this.note(this.switches, path);
    else {
      const text = value instanceof Unreadable ? value.text : value;
      if (typeof text === 'string' && typeof parseNumberWithUnit(text, { decimalComma: true }) === 'object')
        this.note(this.quoted, path);
      if (depth <= 2 && isTimeMember('time', text) && typeof text === 'string')
        this.stamp(this.otherTimes, path, text, arrivalMs);
      else if (
        path === key &&
        isTimeKey(key) &&
        identityOf(text) !== null &&
        this.unreadTimes.size < MAX_VALUES
      )
        this.unreadTimes.set(path, String(text));
      this.label(path, value);
    }
  }

  private walkMember(
    path: string,
    name: string,
    value: unknown,
    depth: number,
    arrivalMs: number | null,
  ): void {
    this.walk(this.memberPath(path, name), name, value, depth + 1, arrivalMs);
  }

  /** The path of a member; keeps its pointer if the path cannot be split at its dots. */
  private memberPath(path: string, name: string): string {
    const member = path === '' ? name : `${path}.${name}`;
    const above = this.pointers.get(path);
    const needsPointer = above !== undefined || /^\/|[.[\]]/.test(name) || (name === '' && path !== '');
    if (needsPointer && this.pointers.size < MAX_MEMBERS) {
      const parent = above ?? (path === '' ? '' : `/${path.replaceAll('.', '/')}`);
      this.pointers.set(member, `${parent}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`);
    }
    return member;
  }

  private walkList(path: string, key: string, list: readonly unknown[], depth: number, at: number | null) {
    const timeKey = batchTimeKey(list);
    if (timeKey !== null || rowsWithTimes(list, null, at) !== null) {
      this.noteBatch(path, key);
      if (timeKey !== null) this.addRows(path, list.filter(isTree), timeKey);
      return;
    }
    const member = identityKey(list, key);
    if (member !== null && this.lists.size < MAX_MEMBERS) this.lists.set(path, member);
    const pair = member === null ? identityPair(list, key) : null;
    const named = member === null && pair === null ? namedElements(list) : null;
    if (named !== null) {
      this.note(this.named, path);
      this.walk(path, key, named, depth, at);
      return;
    }
    if (member === null && pair === null) this.note(this.unnamed, path);
    for (const [index, element] of list.entries()) {
      if (index >= MAX_MEMBERS) return;
      if (pair !== null) {
        const own = pairName(element as Record<string, unknown>, pair) ?? String(index);
        this.noteName(this.pairs, path, own);
        this.walk(this.memberPath(path, own), '', element, depth + 1, at);
        continue;
      }
      const name = member === null ? String(index) : identityOf(memberOf(element, member));
      if (name === null) continue;
      this.walk(path === '' ? `${name}` : `${path}.${name}`, '', element, depth + 1, at);
    }
  }

  private addRows(path: string, rows: readonly Readonly<Record<string, unknown>>[], timeKey: string): void {
    for (const key of mixingKeys(rows, timeKey)) this.note(this.mixing, key);
    const named = batchIdentity(rows);
    for (const row of rows.slice(0, MAX_MEMBERS)) {
      const name = rowName(row, named);
      if (name !== null) this.noteName(this.batchNames, path, name);
      if (name !== null && this.batchNames.get(path)?.size !== 1)
        for (const key of named)
          if (isKindOfReading(key) || key.includes('.') || typeof row[key] === 'number')
            this.note(this.mixing, key);
      for (const [key, value] of textsOf(row)) {
        const isNumbering = numbersRows(key) && /^\d+$/.test(identityOf(value) ?? '');
        const text =
          key === timeKey || !(isNumbering || typeof value === 'string') ? null : identityOf(value);
        if (text === null) continue;
        const time = JSON.stringify(row[timeKey]);
        const known = this.batchLabels.get(key);
        if (known === undefined) {
          if (this.batchLabels.size < MAX_MEMBERS)
            this.batchLabels.set(key, { values: new Map([[text, time]]), repeated: false });
          // the number of a record may be sent again, with its time
        } else if (known.values.has(text)) known.repeated ||= !isNumbering || known.values.get(text) !== time;
        else if (known.values.size < MAX_VALUES) known.values.set(text, time);
      }
    }
  }

  private noteBatch(path: string, key: string): void {
    this.note(this.batches, path);
    if (this.batches.has(path)) this.batchKeys.set(path, key);
  }

  private noteName(all: Map<string, Set<string>>, path: string, text: string): void {
    const names = all.get(path);
    if (names !== undefined) this.note(names, text);
    else if (all.size < MAX_MEMBERS) all.set(path, new Set([text]));
  }

  private note(set: Set<string>, path: string): void {
    if (set.size < MAX_MEMBERS) set.add(path);
  }

  private label(path: string, value: unknown): void {
    const text = identityOf(value);
    if (
      text === null ||
      (typeof value === 'string' && typeof parseNumber(value) === 'number' && /[.e]/i.test(value))
    )
      return;
    const known = this.labels.get(path);
    if (known !== undefined) {
      if (known.size < MAX_VALUES) known.add(text);
    } else if (this.labels.size < MAX_MEMBERS) this.labels.set(path, new Set([text]));
  }

  private stamp(
    times: Map<string, TimeMember>,
    path: string,
    value: unknown,
    arrivalMs: number | null,
  ): void {
    const stampMs = parseTime(value);
    if (stampMs === null) return;
    let member = times.get(path);
    if (member === undefined) {
      if (times.size >= MAX_MEMBERS) return;
      member = { offsetsMs: [], local: false };
      times.set(path, member);
    }
    member.local ||= isLocalTime(value);
    if (arrivalMs !== null && member.offsetsMs.length < MAX_STAMPS)
      member.offsetsMs.push(stampMs - arrivalMs);
  }
}
