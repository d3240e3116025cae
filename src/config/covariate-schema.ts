/** The schema of one entry of `covariates`: another stream, or what is known ahead from a topic or a file. */
import { z } from 'zod';
import { checkFieldPath, checkStreamName, checkTopic } from './checks.ts';
import { ALWAYS, note, text } from './values.ts';

/** Keys that belong to each kind. */
const KINDS = { stream: [], topic: ['list', 'time', 'value'], file: ['time', 'column'] } as const;
const KEYS = ['list', 'time', 'value', 'column'] as const;

const covariate = z
  .strictObject({
    stream: note(text('a stream name', checkStreamName).optional(), 'hot', 'Name of another stream.'),
    topic: note(
      text('a topic without wildcards', checkTopic).optional(),
      'hot',
      'Topic of JSON messages that say what will be, such as a weather forecast; each takes the place of the one before.',
    ),
    file: note(
      text('a file name').optional(),
      'hot',
      'CSV file that says what will be, such as a tariff; read again when it changes.',
    ),
    list: note(
      text('a field name or JSON Pointer', checkFieldPath).optional(),
      'hot',
      'Of a topic: where the list of points stands in the message; the message itself by default.',
    ),
    time: note(
      text('a field name, JSON Pointer or column').optional(),
      'hot',
      'Where a point has its time, `time` by default: seconds, ms, us or ns since 1970, or ISO 8601 (UTC where it has no offset).',
    ),
    value: note(
      text('a field name or JSON Pointer', checkFieldPath).optional(),
      'hot',
      'Of a topic: where a point has its value, `value` by default. Times and values may also be two lists of equal length.',
    ),
    column: note(text('a column name').optional(), 'hot', 'Of a file: the column of the values.'),
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
        report(`has no meaning beside \`${kind}\``, [key]);
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
