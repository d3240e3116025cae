/**
 * SenML in JSON (RFC 8428): a list of records whose base fields apply to the following records. Numbers, booleans and
 * sums are readings, named by their resolved name; texts and binary values are not. Also its drafts, which LwM2M 1.0 uses:
 * an object of base fields, with the records under `e`.
 */
import type { Decoder, DecoderSettings, DecodeSink, FieldSelector, PayloadFormat } from '../decoder.ts';
import { isTree } from '../json-tree.ts';
import { shownValue } from '../json-values.ts';
import type { Message } from '../message.ts';
import { excerpt } from '../rejects.ts';

/** RFC 8428, 4.5.3: smaller times are seconds relative to now. */
const RELATIVE_BELOW = 2 ** 28;
/** The version of RFC 8428; packs of a later version are refused. */
const VERSION = 10;
/** RFC 8428, 4.5.1; names of LwM2M begin with a slash, `/3303/0/5700`, which is left out. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9\-:./_]*$/;
const LARGEST_S = 8.64e12;
const BASES = ['bn', 'bt', 'bu', 'bv', 'bs', 'bver'] as const;

interface Base {
  name: string;
  timeS: number;
  unit: string | null;
  value: number;
  sum: number;
}

type Record_ = Readonly<Record<string, unknown>>;

function senmlDecoder({ fields }: DecoderSettings): Decoder {
  return {
    selects: (field) => fields?.some(({ path, name }) => name === field || field.endsWith(path)) ?? true,
    decode(message, sink) {
      const json = message.json(sink);
      if (json === undefined) return;
      const pack = draftRecords(json) ?? json;
      if (!Array.isArray(pack)) {
        sink.reject('bad-payload', 'SenML is a list of records');
        return;
      }
      const base: Base = { name: '', timeS: 0, unit: null, value: 0, sum: 0 };
      let found = pack.length === 0;
      if (found) sink.reject('empty', 'no SenML record');
      for (const record of pack as unknown[]) {
        if (sink.full === true) return;
        const problem = rebase(record, base);
        if (problem !== null) {
          // the following records depend on this record's base fields
          sink.reject('bad-payload', problem);
          return;
        }
        if (readRecord(record as Record_, base, fields, message, sink)) found = true;
      }
      if (!found) sink.reject(fields === null ? 'no-number' : 'missing-field', excerpt(message.text(), 80));
    },
  };
}

/** The records of a draft of SenML, as those of the RFC; null for anything else. */
function draftRecords(json: unknown): readonly unknown[] | null {
  if (!isTree(json) || !Array.isArray(json.e)) return null;
  // the object is no record: other members of it are no value
  const base = Object.fromEntries(
    Object.entries(json).filter(([key]) => BASES.some((one) => one === key) || key.endsWith('_')),
  );
  const records = (json.e as unknown[]).map((record) => {
    if (!isTree(record)) return record;
    // in the drafts, a value that is a boolean or a text
    const { bv: vb, sv: vs, ...rest } = record;
    return { ...rest, ...(vb === undefined ? {} : { vb }), ...(vs === undefined ? {} : { vs }) };
  });
  return [{ ...base, ...(json.ver === undefined ? {} : { bver: json.ver }) }, ...records];
}

/** Applies the base fields of a record to `base`. Returns the problem, or null. */
function rebase(record: unknown, base: Base): string | null {
  if (typeof record !== 'object' || record === null || Array.isArray(record))
    return 'a record is not an object';
  const own = record as Record_;
  // RFC 8428, 4.4: a field that ends with an underscore must be understood
  for (const key of Object.keys(own))
    if (key.endsWith('_')) return `field "${excerpt(key, 40)}" must be understood, but is unknown`;
  for (const key of BASES) {
    const value = Object.hasOwn(own, key) ? own[key] : undefined;
    if (value === undefined) continue;
    if (key === 'bn' || key === 'bu') {
      if (typeof value !== 'string') return `${key} is not a text`;
      if (key === 'bn') base.name = value;
      else base.unit = value;
      continue;
    }
    if (typeof value !== 'number' || !Number.isFinite(value)) return `${key} is not a number`;
    if (key === 'bt') base.timeS = value;
    else if (key === 'bv') base.value = value;
    else if (key === 'bs') base.sum = value;
    else if (value > VERSION) return `version ${value} is newer than ${VERSION}`;
  }
  return null;
}

/** @returns whether the record contained a reading or reject for this rule */
function readRecord(
  record: Record_,
  base: Base,
  fields: readonly FieldSelector[] | null,
  message: Message,
  sink: DecodeSink,
): boolean {
  const own = (key: string): unknown => (Object.hasOwn(record, key) ? record[key] : undefined);
  const sentName = own('n') ?? '';
  const value = numericValue(own, base);
  if (value === undefined) return false;
  const local = typeof sentName === 'string' ? sentName : '';
  const name = (base.name + local).replace(/^\//, '');
  const selector = fields === null ? undefined : selectorOf(fields, name, local);
  if (fields !== null && selector === undefined) return false;
  if (!NAME.test(name)) sink.reject('bad-payload', `"${excerpt(name, 60)}" is not a valid SenML name`);
  else if (value === null) sink.reject('wrong-type', `the value of ${excerpt(name, 60)} is not a number`);
  else if (!Number.isFinite(value))
    sink.reject('not-finite', `${excerpt(name, 60)} is too large for a double`);
  else {
    const timeMs = timeOf(own('t'), base, message.arrivalMs);
    const unit = own('u') ?? base.unit;
    if (timeMs === undefined) sink.reject('bad-time', shownValue(own('t')));
    else
      sink.reading(
        selector === undefined || selector.name === selector.path ? name : selector.name,
        value,
        timeMs,
        selector?.unit ?? (typeof unit === 'string' && unit !== '' ? unit : null),
      );
  }
  return true;
}

/** undefined: no numeric value in the record; null: the value is not a number. */
function numericValue(own: (key: string) => unknown, base: Base): number | null | undefined {
  const v = own('v');
  if (v !== undefined) return typeof v === 'number' ? base.value + v : null;
  const flag = own('vb');
  if (flag !== undefined) return typeof flag === 'boolean' ? Number(flag) : null;
  if (own('vs') !== undefined || own('vd') !== undefined) return undefined;
  const sum = own('s');
  if (sum !== undefined) return typeof sum === 'number' ? base.sum + sum : null;
  return undefined;
}

/** null: no time in the record; undefined: invalid. */
function timeOf(sent: unknown, base: Base, arrivalMs: number): number | null | undefined {
  if (sent !== undefined && (typeof sent !== 'number' || !Number.isFinite(sent))) return undefined;
  const seconds = base.timeS + (sent ?? 0);
  if (seconds === 0) return null;
  if (Math.abs(seconds) > LARGEST_S) return undefined;
  return Math.round(seconds < RELATIVE_BELOW ? arrivalMs + seconds * 1000 : seconds * 1000);
}

/** A rule may select a record by its resolved name or by its local name. */
function selectorOf(
  fields: readonly FieldSelector[],
  name: string,
  local: string,
): FieldSelector | undefined {
  return fields.find(({ path }) => path === name || path === local || path === `/${name}`);
}

const VALUE_KEYS = ['v', 'vs', 'vb', 'vd', 's', 'bv', 'bs'];

function isSenmlRecord(record: unknown): boolean {
  if (typeof record !== 'object' || record === null) return false;
  const named = Object.hasOwn(record, 'n') || Object.hasOwn(record, 'bn');
  return named && VALUE_KEYS.some((key) => Object.hasOwn(record, key));
}

export const SENML = {
  kind: 'senml',
  create: senmlDecoder,
  example: { topic: 's/a', payload: '[{"n":"t","v":20}]', field: 't', value: 20 },
  sniff: ({ json }) => {
    const pack = draftRecords(json) ?? json;
    return Array.isArray(pack) && pack.some(isSenmlRecord) ? 3 : 0;
  },
  suggestion: { fields: (names) => names },
} as const satisfies PayloadFormat;
