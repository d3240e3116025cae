/** The schema of one entry of `covariates`: another stream, or values known ahead from a topic or a file. */
import { z } from 'zod';
import { type Check, checkFieldPath, checkStreamName, checkTopic } from './checks.ts';
import { ALWAYS, hot, text } from './values.ts';

/** Allowed keys of each kind. */
const KINDS = { stream: [], topic: ['list', 'time', 'value'], file: ['time', 'column'] } as const;
const KEYS = ['list', 'time', 'value', 'column'] as const;

const key = (what: string, description: string, check?: Check, type?: string) =>
  hot(text(what, check).optional(), description, type);

const covariate = z
  .strictObject({
    stream: key('a stream name', 'Name of another stream.', checkStreamName),
    topic: key(
      'a topic without wildcards',
      'Topic of JSON messages with values known ahead, such as a weather forecast; each message replaces the previous one.',
      checkTopic,
    ),
    file: key(
      'a file name',
      'CSV file with values known ahead, such as a tariff, of at most 16 MB; read again when it changes.',
      undefined,
      'file',
    ),
    list: key(
      'a field name or JSON Pointer',
      'For a topic: location of the list of points in the message; by default the message itself.',
      checkFieldPath,
    ),
    time: key(
      'a field name, JSON Pointer or column',
      'Time of a point, `time` by default: seconds, ms, us or ns since 1970, or ISO 8601 (UTC without an offset).',
    ),
    value: key(
      'a field name or JSON Pointer',
      'For a topic: value of a point, `value` by default. Times and values may also be two lists of equal length.',
      checkFieldPath,
    ),
    column: key('a column name', 'For a file: column of the values.'),
  })
  .superRefine((entry, context) => {
    if (typeof entry !== 'object' || entry === null) return;
    const report = (message: string, path: string[] = []): void =>
      context.addIssue({ code: 'custom', message, path });
    const kinds = (['stream', 'topic', 'file'] as const).filter((kind) => entry[kind] !== undefined);
    const [kind] = kinds;
    if (kinds.length !== 1 || kind === undefined) {
      report('must have one of `stream`, `topic` and `file`');
      return;
    }
    for (const key of KEYS) {
      if (entry[key] !== undefined && !(KINDS[kind] as readonly string[]).includes(key))
        report(`cannot be used with \`${kind}\``, [key]);
    }
    if (kind === 'file' && entry.column === undefined)
      report('must name the column of the values', ['column']);
    if (kind === 'topic' && typeof entry.time === 'string') {
      const wrong = checkFieldPath(entry.time);
      if (wrong !== null) report(wrong, ['time']);
    }
  }, ALWAYS);

export const covariateSchema = z.union([text('a stream name', checkStreamName), covariate]);

export type CovariateConfig = z.output<typeof covariateSchema>;
