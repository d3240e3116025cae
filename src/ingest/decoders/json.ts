/** JSON payloads: the fields that a rule names, or every number. A bare JSON number is one reading without a field. */
import type { Decoder, DecoderSettings, DecodeSink } from '../decoder.ts';
import { compilePath, type JsonPath, lookUp, pathName } from '../json-path.ts';
import { namedValue, type WalkOptions, walkNumbers } from '../json-values.ts';
import type { Message } from '../message.ts';
import { excerpt } from '../rejects.ts';
import { parseTime } from '../time-stamp.ts';

const NOTHING: ReadonlySet<string> = new Set();

export interface JsonOptions {
  /** Top-level keys that are never readings when every number is taken. */
  readonly skip?: ReadonlySet<string>;
  /** Where to look for a time stamp when the rule names none. */
  readonly defaultTime?: string;
}

interface CompiledField {
  readonly name: string;
  readonly unit: string | null;
  readonly path: JsonPath;
}

export function jsonDecoder(settings: DecoderSettings, options: JsonOptions = {}): Decoder {
  const fields = settings.fields?.flatMap(({ path, name, unit }): CompiledField[] => {
    const compiled = compilePath(path);
    return compiled === null ? [] : [{ name, unit, path: compiled }];
  });
  const timeField = settings.time ?? options.defaultTime ?? null;
  const timePath = timeField === null ? null : compilePath(timeField);
  const timeName = timeField === null ? null : pathName(timeField);
  const skip = options.skip ?? NOTHING;
  const { numericStrings } = settings;

  return {
    selects: (field) => fields?.some(({ name }) => name === field) ?? true,
    decode(message, sink) {
      const json = message.json(sink);
      if (json === undefined) return;
      const timeMs = timePath === null ? null : timeOf(json, timePath, sink);
      if (timeMs === undefined) return;
      if (fields === undefined) {
        const walk: WalkOptions = { numericStrings, unit: null, timeMs, timeName, skip };
        if (!walkNumbers(json, walk, sink)) sink.reject('no-number', excerpt(message.text()));
      } else if (!namedFields(json, fields, numericStrings, timeMs, sink))
        sink.reject('missing-field', missing(fields, message));
    },
  };
}

/** null: none sent; undefined: sent but wrong, and rejected. */
function timeOf(json: unknown, path: JsonPath, sink: DecodeSink): number | null | undefined {
  const sent = lookUp(json, path);
  if (sent === undefined || sent === null) return null;
  const timeMs = parseTime(sent);
  if (timeMs !== null) return timeMs;
  sink.reject('bad-time', excerpt(typeof sent === 'object' ? typeof sent : String(sent), 60));
  return undefined;
}

/** A field that is absent or null is not sent this time; devices often send only what changed. */
function namedFields(
  json: unknown,
  fields: readonly CompiledField[],
  numericStrings: boolean,
  timeMs: number | null,
  sink: DecodeSink,
): boolean {
  let found = false;
  for (const { name, unit, path } of fields) {
    const value = lookUp(json, path);
    if (value === undefined || value === null) continue;
    found = true;
    namedValue(name, value, { numericStrings, unit, timeMs }, sink);
  }
  return found;
}

function missing(fields: readonly CompiledField[], message: Message): string {
  const names = fields.map(({ name }) => name).join(', ');
  return `none of ${excerpt(names, 60)} in ${excerpt(message.text(), 60)}`;
}
