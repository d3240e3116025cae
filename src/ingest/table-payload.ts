/** Reads a message that says what will be: a list of points, or a list of times beside a list of values. */
import { GatecastError } from '../errors.ts';
import type { TablePoint } from '../series/covariate-sources.ts';
import { jsonDepthExceeds } from './json-depth.ts';
import { compilePath, type JsonPath, lookUp } from './json-path.ts';
import { parseTime } from './time-stamp.ts';

export interface TableFields {
  /** Where the list stands; null: the whole message. */
  readonly list: string | null;
  readonly time: string;
  readonly value: string;
}

const MAX_DEPTH = 32;

/**
 * Points whose value is no number are left out; at least one must be left.
 * @throws GatecastError COVARIATE_INVALID
 */
export function readTablePayload(payload: Uint8Array, { list, time, value }: TableFields): TablePoint[] {
  const root = parse(payload);
  const at = list === null ? root : lookUp(root, path(list));
  if (at === undefined) throw invalid(`it has no ${list}`);
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
    throw invalid('it is no JSON');
  }
}

function ofPoints(list: readonly unknown[], time: JsonPath, value: JsonPath): [unknown, unknown][] {
  return list.map((point) => [lookUp(point, time), lookUp(point, value)]);
}

function ofLists(at: unknown, time: string, value: string): [unknown, unknown][] {
  const times = lookUp(at, path(time));
  const values = lookUp(at, path(value));
  if (!Array.isArray(times) || !Array.isArray(values))
    throw invalid(`neither it nor its ${time} and ${value} are lists`);
  if (times.length !== values.length)
    throw invalid(`${time} has ${times.length} entries, ${value} ${values.length}`);
  return times.map((t, i) => [t, values[i]]);
}

/** The config has checked it. */
const path = (text: string): JsonPath => compilePath(text) ?? [[text]];

const invalid = (reason: string): GatecastError =>
  new GatecastError('COVARIATE_INVALID', `The message cannot be used: ${reason}.`);
