/**
 * JSON payloads: reads the fields named by a rule, or every number. A bare JSON number is one reading without a field. A
 * batch (a list of readings with their own times, or columns) is read record by record; members used in the stream name
 * are looked up in the record, then in the whole payload. Each of several objects in one payload (NDJSON) is read like a separate message.
 */

import { parseTime } from '../../series/time-stamp.ts';
import type { Decoder, DecoderSettings, DecodeSink, PayloadFormat } from '../decoder.ts';
import { batchIdentity, identityOf, KnownRows, mixedRows, mixingKeys, rowName } from '../json-identity.ts';
import {
  aroundAnyKey,
  compilePath,
  isMany,
  type JsonPath,
  lookUp,
  lookUpEvery,
  nameOfOne,
  pathName,
} from '../json-path.ts';
import { columnsOf, rowsWithTimes } from '../json-rows.ts';
import { batchTimeKey, timeIn, timeKeyOf } from '../json-times.ts';
import { isTree } from '../json-tree.ts';
import {
  namedValue,
  severalDevices,
  shownTime,
  shownValue,
  type ValueOptions,
  type WalkOptions,
  walkNumbers,
  withMembers,
} from '../json-values.ts';
import type { Message } from '../message.ts';
import { payloadZone } from '../payload-zone.ts';
import { excerpt, type RejectReason } from '../rejects.ts';
import { Unreadable } from '../tolerant-json.ts';

const NOTHING: ReadonlySet<string> = new Set();

interface JsonOptions {
  /** Top-level keys that are never readings when every number is taken. */
  readonly skip?: ReadonlySet<string>;
  /** Path of the time stamp if the rule names none. */
  readonly defaultTime?: string;
}

interface CompiledField {
  readonly name: string;
  readonly unit: string | null;
  readonly path: JsonPath;
  /** The name of its readings when every number is read. */
  readonly source: string;
  /** Selects several values: `meters[meter].E`, `*.E`. */
  readonly many: boolean;
  /** Another field of the rule is below this one: devices of one channel send a number, others a list or an object. */
  readonly hasInner: boolean;
  /** For `*.E`, the text of `source` around the key. */
  readonly around: readonly [before: string, after: string] | null;
}

/** The text of a member in a stream name; null: the member is absent; undefined: it identifies nothing. */
function nameOf(sent: unknown): string | null | undefined {
  if (sent === undefined || sent === null || (typeof sent === 'string' && sent.trim() === '')) return null;
  const isFraction = typeof sent === 'number' && !Number.isInteger(sent) && Number.isFinite(sent);
  return isFraction ? String(sent) : (identityOf(sent) ?? undefined);
}

interface JsonDecoder extends Decoder {
  /** Reads a value that stands for the payload. */
  decodeDocument(json: unknown, message: Message, sink: DecodeSink): void;
}

export function jsonDecoder(settings: DecoderSettings, options: JsonOptions = {}): JsonDecoder {
  const fields = settings.fields?.flatMap(({ path, name, unit }): CompiledField[] => {
    const compiled = compilePath(path);
    return compiled === null
      ? []
      : [
          {
            name,
            unit,
            path: compiled,
            source: pathName(path),
            many: isMany(compiled),
            hasInner: settings.fields?.some((other) => other.path.startsWith(`${path}.`)) === true,
            around: aroundAnyKey(path),
          },
        ];
  });
  const anyKey = fields?.some(({ around }) => around !== null) === true;
  const fieldKeys = new Set(fields?.flatMap(({ path }) => path.map(([key]) => String(key))));
  const timeField = settings.time ?? options.defaultTime ?? null;
  const timePath = timeField === null ? null : compilePath(timeField);
  const timeName = timeField === null ? null : pathName(timeField);
  const recordsPath = settings.records === undefined ? null : compilePath(settings.records);
  const identity = (settings.identity ?? []).map((pointer) => compilePath(pointer) ?? [[pointer]]);
  // Members of the stream name are no readings.
  const named = identity.flatMap((path) => (path[0] === undefined ? [] : [path[0].join('.')]));
  const skip = named.length === 0 ? (options.skip ?? NOTHING) : new Set([...(options.skip ?? []), ...named]);
  /** What the whole payload has at a path: looked up once, not for each record of a long list. */
  const foundInWhole = new Map<JsonPath, unknown>();
  const once = (path: JsonPath, find: () => unknown): unknown => {
    if (!foundInWhole.has(path)) foundInWhole.set(path, find());
    return foundInWhole.get(path);
  };
  const { numericStrings } = settings;
  const zone = payloadZone(settings.zone ?? 'UTC');
  const numbers = { decimalComma: settings.decimalComma ?? false, ownUnit: settings.unit ?? null };

  /**
   * @param whole the payload that contains the record
   * @param timeKey key of the time in a batch
   * @param name of the record within its batch, by `members`
   * @returns whether the record contained a reading or reject for this rule
   */
  const readRecord = (
    record: unknown,
    whole: unknown,
    message: Message,
    sink: DecodeSink,
    timeKey: string | null,
    name = '',
    members: readonly string[] = [],
  ): boolean => {
    let timeMs: number | null = null;
    if (timePath !== null || timeKey !== null) {
      const inWhole = (path: JsonPath): unknown =>
        record === whole ? undefined : once(path, () => timeAt(whole, path));
      const sent = timeOf(record, timePath, timeKey, inWhole);
      if (record === whole && Array.isArray(sent) && readColumns(whole, message, sink)) return true;
      if (sent !== undefined && sent !== null) timeMs = parseTime(sent, zone, message.arrivalMs);
      // A batch record without a valid time must not get the arrival time.
      if (timeMs === null && (timeKey !== null || (sent !== undefined && sent !== null))) {
        sink.reject('bad-time', shownTime(sent));
        return true;
      }
    }
    // the fields, and the members of the name, may be in a nested batch
    if (record === whole && identity.length > 0 && lacksFields(record)) return false;
    if (identity.length > 0 && !identify(record, whole, message, sink)) return true;
    if (fields !== undefined) {
      const options = { numericStrings, numbers, unit: null, timeMs };
      return namedFields(record, fields, options, message, sink, record === whole ? readColumns : null);
    }
    const ownTime = name === '' ? (timeName ?? timeKey) : `${name}.${timeName ?? timeKey}`;
    const options = walkOptions(message.arrivalMs, timeMs, ownTime);
    if (members.length === 0 || !isTree(record)) return walkNumbers(record, options, sink, name);
    return walkNumbers(record, { ...options, skip: withMembers(skip, name, record, members) }, sink, name);
  };

  const walkOptions = (arrivalMs: number, timeMs: number | null, time: string | null): WalkOptions => ({
    numericStrings,
    numbers,
    unit: null,
    timeMs,
    timeName: time,
    skip,
    mixed: settings.mixed === true,
    zone,
    arrivalMs,
  });

  /** A batch may be further down. */
  const isDeep = fields?.some(({ source }) => source.includes('.')) ?? false;
  const lacksFields = (record: unknown): boolean =>
    fields?.every(({ path, many }) => !many && lookUp(record, path) === undefined) ?? false;

  /** Passes the payload members used in the stream name to the sink. @returns false after a reject */
  const identify = (record: unknown, whole: unknown, message: Message, sink: DecodeSink): boolean => {
    const values: (string | null)[] = [];
    for (const [at, path] of identity.entries()) {
      const sent = lookUp(record, path) ?? once(path, () => lookUp(whole, path));
      const value = nameOf(sent);
      // Without it, devices would share a stream.
      if (value === undefined) {
        sink.reject(
          'no-identity',
          `${excerpt(settings.identity?.[at] ?? '', 40)} is ${shownValue(sent)}: no text of up to 64 characters, number of up to 15 digits or boolean`,
        );
        return false;
      }
      values.push(value);
    }
    if (values.every((value) => value === null)) {
      sink.reject('no-identity', excerpt(message.text(), 80));
      return false;
    }
    sink.identify?.(values.map((value) => value ?? ''));
    return true;
  };

  const lacksIdentity = (record: unknown): boolean =>
    identity.length > 0 && identity.every((path) => (lookUp(record, path) ?? null) === null);

  const isReading = (name: string, value: unknown): boolean => {
    let found = false;
    const reading = (): void => {
      found = true;
    };
    if (value !== null && value !== undefined)
      namedValue(
        name,
        value,
        { numericStrings, numbers, unit: null, timeMs: null },
        { reading, reject: () => {}, request: () => {} },
      );
    return found;
  };

  /** The members that a stream name needs, because the batch has readings of one field from several devices; empty if it has not. */
  const mixedBy = ({ records, timeKey }: Batch): readonly string[] => {
    if (fields === undefined || identity.length > 0 || records.length < 2) return [];
    const known = new KnownRows();
    for (const { name, path, many } of fields) {
      if (many) continue;
      const rows = records.filter(isTree).filter((record) => isReading(name, lookUp(record, path)));
      const keys = mixingKeys(rows, timeKey, fieldKeys, known);
      if (keys.length > 0) return keys;
    }
    return [];
  };

  const readBatch = (batch: Batch, whole: unknown, message: Message, sink: DecodeSink): boolean => {
    const { records, timeKey } = batch;
    const isNamed = fields === undefined && identity.length === 0 && timeKey !== null;
    const members = isNamed ? batchIdentity(records) : [];
    const mixing =
      settings.mixed === true ? [] : isNamed ? mixedRows(records, timeKey, members) : mixedBy(batch);
    if (mixing.length > 0) {
      sink.reject('no-identity', severalDevices(mixing));
      return true;
    }
    let found = false;
    for (const record of records) {
      if (sink.full === true) return true;
      const name = isTree(record) ? (rowName(record, members) ?? '') : '';
      if (readRecord(record, whole, message, sink, timeKey, name, members)) found = true;
    }
    return found;
  };

  /** @returns false if the payload contains no columns */
  const readColumns = (whole: unknown, message: Message, sink: DecodeSink): boolean => {
    const batch = isTree(whole) ? batchOf(whole, timePath, false) : null;
    if (batch !== null) return readBatch(batch, { ...(whole as object) }, message, sink);
    const options = walkOptions(message.arrivalMs, null, timeName);
    const selected = new SelectedFields(fields ?? [], sink, whole);
    walkNumbers(whole, options, selected);
    return selected.found;
  };

  const decodeDocument = (json: unknown, message: Message, sink: DecodeSink): void => {
    foundInWhole.clear();
    let batch: Batch | null = null;
    if (recordsPath !== null) {
      const at = lookUp(json, recordsPath);
      batch = batchOf(at, timePath, true) ?? { records: at === undefined ? [] : [at], timeKey: null };
    } else if (Array.isArray(json)) batch = batchOf(json, timePath, identity.length > 0);
    else if (isTree(json) && lacksIdentity(json)) {
      const records = identifiedRecords(json, (record) => !lacksIdentity(record));
      batch = records === null ? null : batchOf(records, timePath, true);
    }
    let found =
      batch === null ? readRecord(json, json, message, sink, null) : readBatch(batch, json, message, sink);
    // the fields may be in a nested batch
    if ((!found || anyKey) && fields !== undefined && typeof json === 'object' && json !== null) {
      const inner = isTree(json) ? innerBatch(json, timePath) : null;
      // each field may be in a batch of its own
      if (inner !== null && anyKey && readColumns(json, message, sink)) found = true;
      if (inner !== null && !found)
        found = readBatch(inner, json, message, sink) || readColumns(json, message, sink);
      if (inner === null && !found && (isDeep || rowsWithTimes(json, null, message.arrivalMs) !== null))
        found = readColumns(json, message, sink);
    }
    if (identity.length > 0) sink.identify?.(null);
    if (found) return;
    if (fields === undefined) sink.reject('no-number', excerpt(message.text()));
    else sink.reject('missing-field', missing(fields, message));
  };

  return {
    decodeDocument,
    selects: (field) =>
      fields?.some((one) => (one.many ? couldBe(one, field) : one.name === field)) ?? !skip.has(field),
    decode(message, sink) {
      const json = message.json(sink, true);
      if (json !== undefined) decodeDocument(json, message, sink);
      for (const document of message.documents) {
        if (sink.full === true) return;
        decodeDocument(document, message, sink);
      }
    },
  };
}

/** Takes the fields of a rule from readings of every number. */
class SelectedFields implements DecodeSink {
  found = false;

  constructor(
    private readonly fields: readonly CompiledField[],
    private readonly sink: DecodeSink,
    private readonly whole: unknown,
  ) {}

  get full(): boolean {
    return this.sink.full === true;
  }

  reading(name: string, value: number, timeMs: number | null, unit: string | null): void {
    for (const field of this.fields) {
      const key = field.around === null ? null : keyWithin(name, field.around);
      if (field.source !== name && key === null) continue;
      // without a time it is an element of a list that is no column
      if (timeMs === null) {
        if (key !== null) this.withoutTime(`${field.around?.[0] ?? ''}${key}`);
        return;
      }
      this.found = true;
      this.sink.reading(
        key === null ? field.name : nameOfOne(field.name, [key]),
        value,
        timeMs,
        field.unit ?? unit,
      );
      return;
    }
  }

  /** Reports an element of a list; other members are read by their paths, with the time of the message. */
  private withoutTime(path: string): void {
    const list = compilePath(path.replace(/\.\d+$/, ''));
    if (list === null || !Array.isArray(lookUp(this.whole, list))) return;
    this.found = true;
    this.sink.reject('bad-time', `${excerpt(path, 60)} has no time`);
  }

  reject(reason: RejectReason, detail: string): void {
    if (reason === 'bad-time' || this.fields.some(({ source }) => isAbout(detail, source))) {
      this.found = true;
      this.sink.reject(reason, detail);
    }
  }

  request(): void {}
}

/** Whether a reject is about this reading, and not about one whose name is longer. */
const isAbout = (detail: string, source: string): boolean =>
  detail.startsWith(source) && /^(?:$|[ :])/.test(detail.slice(source.length));

/** The key that `*` selects in the name of a reading; null if the name does not fit. */
function keyWithin(name: string, [before, after]: readonly [string, string]): string | null {
  const fits = name.length > before.length + after.length && name.startsWith(before) && name.endsWith(after);
  return fits ? name.slice(before.length, name.length - after.length) : null;
}

/** The sent time of a record: at the rule's path in the record, at the batch's key, or at the rule's path in the payload. */
function timeOf(
  record: unknown,
  timePath: JsonPath | null,
  timeKey: string | null,
  inWhole: (path: JsonPath) => unknown,
): unknown {
  const named = timePath === null ? undefined : timeAt(record, timePath);
  if (named !== undefined && named !== null) return named;
  if (timeKey !== null && isTree(record) && Object.hasOwn(record, timeKey)) return timeIn(record, timeKey);
  return timePath === null ? undefined : inWhole(timePath);
}

function timeAt(json: unknown, path: JsonPath): unknown {
  const time = lookUp(json, path);
  const key = path[0]?.at(-1);
  const above =
    typeof time === 'string' && time.length <= 10
      ? lookUp(
          json,
          path.map((tokens) => tokens.slice(0, -1)),
        )
      : undefined;
  return typeof key === 'string' && isTree(above) && above[key] === time ? timeIn(above, key) : time;
}

interface Batch {
  readonly records: readonly unknown[];
  /** Key of the records' times; null: each record is read like a separate message. */
  readonly timeKey: string | null;
}

/** @param any accept lists whose elements have no time */
function batchOf(json: unknown, timePath: JsonPath | null, any: boolean): Batch | null {
  if (Array.isArray(json)) {
    const timeKey = batchTimeKey(json) ?? (timePath === null ? null : firstKey(json, timePath));
    return timeKey !== null || any ? { records: json, timeKey } : null;
  }
  if (!isTree(json)) return null;
  const named = timePath === null ? undefined : lookUp(json, timePath);
  const columns = Array.isArray(named)
    ? columnsOf(json, { key: String(timePath?.[0]?.at(-1) ?? ''), times: named as readonly unknown[] })
    : timePath === null || named === undefined
      ? columnsOf(json)
      : null;
  return columns === null ? null : { records: columns.rows, timeKey: columns.key };
}

/** The key of the rule's time path, if an element of the list has it. */
function firstKey(list: readonly unknown[], timePath: JsonPath): string | null {
  const key = timePath[0]?.at(-1);
  return typeof key === 'string' && list.some((element) => lookUp(element, timePath) !== undefined)
    ? key
    : null;
}

/** The list, or object, of the devices that the members of a stream name identify, up to three levels below the payload. */
function identifiedRecords(
  tree: Readonly<Record<string, unknown>>,
  isIdentified: (record: unknown) => boolean,
  depth = 0,
): readonly unknown[] | null {
  const members = Object.values(tree);
  if (members.some((member) => isTree(member) && isIdentified(member))) return members.filter(isTree);
  for (const member of members) {
    if (Array.isArray(member) && member.some(isIdentified)) return member;
    const inner = isTree(member) && depth < 2 ? identifiedRecords(member, isIdentified, depth + 1) : null;
    if (inner !== null) return inner;
  }
  return null;
}

/** A batch one or two levels below the payload. */
function innerBatch(
  tree: Readonly<Record<string, unknown>>,
  timePath: JsonPath | null,
  depth = 0,
): Batch | null {
  for (const key of Object.keys(tree)) {
    const value = tree[key];
    const batch = batchOf(value, timePath, false);
    if (batch !== null) return batch;
    const inner =
      depth === 0 && isTree(value) && timeKeyOf(value) === null ? innerBatch(value, timePath, 1) : null;
    if (inner !== null) return inner;
  }
  return null;
}

/**
 * Absent and null fields are skipped, because devices often send only changes.
 * @param columns reads the payload as columns, if it has any; null for a part of a payload
 */
function namedFields(
  json: unknown,
  fields: readonly CompiledField[],
  options: ValueOptions,
  message: Message,
  sink: DecodeSink,
  columns: ((whole: unknown, message: Message, sink: DecodeSink) => boolean) | null,
): boolean {
  let found = false;
  for (const { name, unit, path, many, around, hasInner } of fields) {
    if (sink.full === true) return true;
    const own = unit === null ? options : { ...options, unit };
    if (many) {
      lookUpEvery(json, path, (value, identities) => {
        if (value === null || sink.full === true) return;
        // a list may be a column with times
        if (columns !== null && around !== null && Array.isArray(value)) return;
        found = true;
        namedValue(nameOfOne(name, identities), value, own, sink);
      });
      continue;
    }
    const value = lookUp(json, path);
    if (value === undefined || value === null) continue;
    if (hasInner && typeof value === 'object' && !(value instanceof Unreadable)) continue;
    const isPlain = typeof value !== 'object' || value instanceof Unreadable;
    if (columns !== null && !isPlain && columns(json, message, sink)) return true;
    found = true;
    namedValue(name, value, own, sink);
  }
  return found;
}

/** Whether `meters[meter].E` can produce a reading of this name. */
function couldBe({ name }: CompiledField, field: string): boolean {
  const [head = '', tail = ''] = name.includes('*') ? name.split('*', 2) : ['', `.${name}`];
  return field.startsWith(head) && field.endsWith(tail) && field.length > head.length + tail.length;
}

function missing(fields: readonly CompiledField[], message: Message): string {
  const names = fields.map(({ name }) => name).join(', ');
  return `none of ${excerpt(names, 60)} in ${excerpt(message.text(), 60)}`;
}

export const JSON_FORMAT = {
  kind: 'json',
  create: (settings) => jsonDecoder(settings),
  example: { topic: 's/a', payload: '{"t":20}', field: 't', value: 20 },
  sniff: ({ json }) => (json === undefined ? 0 : 1),
  suggestion: { fields: (names) => names },
} as const satisfies PayloadFormat;
