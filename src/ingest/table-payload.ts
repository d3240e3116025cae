/** Reads a message with values known ahead: a list of points, or a list of times and a list of values. */
import { GatecastError } from '../errors.ts';
import type { TablePoint } from '../series/covariate-sources.ts';
import { parseTime } from '../series/time-stamp.ts';
import { jsonDepthExceeds } from './json-depth.ts';
import { compilePath, type JsonPath, lookUp } from './json-path.ts';

export interface TableFields {
  /** Path of the list; null: the whole message. */
  readonly list: string | null;
  readonly time: string;
  readonly value: string;
}

const MAX_DEPTH = 32;

/**
 * Points without a number are skipped; at least one must remain.
 * @throws GatecastError COVARIATE_INVALID
 */
export function readTablePayload(payload: Uint8Array, { list, time, value }: TableFields): TablePoint[] {
  const root = parse(payload);
  const at = list === null ? root : lookUp(root, path(list));
  if (at === undefined) throw invalid(`it does not contain ${list}`);
  const points = Array.isArray(at) ? ofPoints(at, path(time), path(value)) : ofLists(at, time, value);
  const known = points.flatMap(([t, v]) => {
    const timeMs = parseTime(t);
    const number = typeof v === 'string' && v.trim() !== '' ? Number(v) : v;
    return timeMs !== null && typeof number === 'number' && Number.isFinite(number)
      ? [{ timeMs, value: number }]
      : [];
  });
  if (known.length === 0) throw invalid(`no point has a time in ${time} and a number in ${value}`);
  return known;
}

function parse(payload: Uint8Array): unknown {
  const text = new TextDecoder().decode(payload);
  if (jsonDepthExceeds(text, MAX_DEPTH)) throw invalid('it is nested too deeply');
  try {
    return JSON.parse(text);
  } catch {
    throw invalid('it is not valid JSON');
  }
}

function ofPoints(list: readonly unknown[], time: JsonPath, value: JsonPath): [unknown, unknown][] {
  return list.map((point) => [lookUp(point, time), lookUp(point, value)]);
}

function ofLists(at: unknown, time: string, value: string): [unknown, unknown][] {
  const times = lookUp(at, path(time));
  const values = lookUp(at, path(value));
  if (!Array.isArray(times) || !Array.isArray(values))
    throw invalid(`it must be a list, or ${time} and ${value} in it must be lists`);
  if (times.length !== values.length)
    throw invalid(`${time} has ${times.length} entries, ${value} ${values.length}`);
  return times.map((t, i) => [t, values[i]]);
}

/** The config schema has validated the path. */
const path = (text: string): JsonPath => compilePath(text) ?? [[text]];

const invalid = (reason: string): GatecastError =>
  new GatecastError('COVARIATE_INVALID', `The message cannot be used: ${reason}.`);
