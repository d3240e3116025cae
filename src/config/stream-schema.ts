/** The schema of one entry of `streams`: topics, payload, and what each stream that they give is like. */
import { z } from 'zod';
import { PAYLOAD_KINDS } from '../ingest/decoders/index.ts';
import { AGGREGATES, FILLS, MAX_LEADS } from '../series/spec.ts';
import { checkFieldPath, checkNode, checkPattern, checkPayloadZone, checkStreamName } from './checks.ts';
import { covariateSchema } from './covariate-schema.ts';
import { checkRule } from './rule-checks.ts';
import { ALWAYS, bounded, durationOr, finite, flag, note, rate, TYPE_KEY, text } from './values.ts';

const unit = () => text('a unit such as °C').max(32, 'is longer than 32 characters');

const limits = z
  .strictObject({
    min: note(finite().optional(), 'hot', 'Readings below are rejected, forecasts never go below.'),
    max: note(finite().optional(), 'hot', 'Readings above are rejected, forecasts never go above.'),
    max_rate: rate('hot', 'A reading that changes faster is rejected.'),
  })
  .superRefine((value, context) => {
    if (typeof value?.min === 'number' && typeof value.max === 'number' && value.min >= value.max)
      context.addIssue({ code: 'custom', path: ['min'], message: 'must be below `max`' });
  }, ALWAYS);

const field = z.union([
  text('a field name or JSON Pointer', checkFieldPath),
  z.strictObject({
    field: note(
      text('a field name or JSON Pointer', checkFieldPath),
      'hot',
      'Name or JSON Pointer of the field.',
    ),
    name: note(
      text('a stream name', checkStreamName).optional(),
      'hot',
      'What the field is called in stream names; the field itself by default.',
    ),
    unit: note(unit().optional(), 'hot', 'Unit of this field; goes before the unit of the rule.'),
    aggregate: note(
      z.enum(AGGREGATES).optional(),
      'hot',
      'Aggregate of this field; goes before the `aggregate` of the rule.',
    ),
    limits: note(limits.optional(), 'hot', 'Limits of this field; each goes before that of the rule.'),
  }),
]);

const threshold = z
  .strictObject({
    name: note(
      text('a name').max(64, 'is longer than 64 characters'),
      'hot',
      'What the threshold is called in the forecast message.',
    ),
    below: note(finite().optional(), 'hot', 'Crossed when the value falls below this.'),
    above: note(finite().optional(), 'hot', 'Crossed when the value rises above this.'),
  })
  .superRefine((value, context) => {
    if ((value?.below === undefined) === (value?.above === undefined))
      context.addIssue({ code: 'custom', message: 'must have either `below` or `above`' });
  }, ALWAYS);

const gaps = z.strictObject({
  fill: note(
    z.enum(FILLS).default('model'),
    'hot',
    'What stands in for a missing bucket: the forecast itself (`model`), nothing but the fact that it is missing (`mask`), the last value (`hold`), a straight line (`linear`, on history only), the seasonal value, mean, median or mode of the stream, or a skipped step (`drop`).',
  ),
  max: durationOr(
    'auto',
    { min: '1s', max: '90d' },
    'hot',
    'A longer gap makes the stream stale. `auto`: 2h, or eight intervals where that is longer.',
  ),
});

export const streamSchema = z
  .strictObject({
    id: note(
      text('a rule id', checkNode).optional(),
      'hot',
      'Name of the rule, by which remote config refers to it. Default: derived from `match`; `gatecast config show` lists it.',
    ),
    match: note(
      text('a topic pattern', checkPattern),
      'hot',
      'Topics of the rule. `{name}` takes one level and captures it; `+` and `#` are as in MQTT. A reading goes to the first rule that matches its topic and selects its field.',
      { [TYPE_KEY]: 'topic pattern' },
    ),
    payload: note(
      z.enum(PAYLOAD_KINDS).default('auto'),
      'hot',
      'How payloads are read. `auto`: JSON where it looks like JSON, else one number.',
    ),
    fields: note(
      z
        .union([
          z.literal('auto'),
          z.array(field).min(1, 'must name a field').max(256, 'has more than 256 entries'),
        ])
        .default('auto'),
      'hot',
      'Which values are streams: names, JSON Pointers (`/ENERGY/Power`), members of a list of devices by what identifies them (`meters[meter=A].E`, `meters[meter].E` for each), or `{ field, name, unit, aggregate, limits }`. `auto`: every number, with booleans and on/off as 1 and 0.',
      { [TYPE_KEY]: '`auto` or list of fields' },
    ),
    time: note(
      text('a field name or JSON Pointer', checkFieldPath).optional(),
      'hot',
      'Field of the time stamp: seconds, ms, us or ns since 1970, ISO 8601, `20261129014445`, `29.11.2026 01:44`, `2026/11/29 01:44` or the form of DSMR meters. Arrival time where it is absent. A list of readings that each have a time is read at their own times without it.',
    ),
    time_zone: note(
      text('a time zone', checkPayloadZone).default('UTC'),
      'hot',
      'Zone of time stamps that carry no offset: `UTC`, `local`, an IANA zone such as `Europe/Berlin`, or an offset such as `+02:00`.',
      { [TYPE_KEY]: '`UTC`, `local`, IANA zone or offset' },
    ),
    records: note(
      text('a field name or JSON Pointer', checkFieldPath).optional(),
      'hot',
      'Where a JSON payload holds a list of readings, such as `/data/readings`, or columns of equal length. `fields` and `time` are then those of one reading. Found without it where the readings have a time each.',
    ),
    numeric_strings: note(
      flag().default(false),
      'hot',
      'Take texts such as "21.5" and "21.5 °C" as numbers: a number alone, or with a unit that is known or the `unit` of the rule.',
    ),
    decimal_comma: note(
      flag().default(false),
      'hot',
      'Numbers in texts have a decimal comma: "21,5" is 21.5, "1.234,5" is 1234.5. In JSON together with `numeric_strings`.',
    ),
    name: note(
      text('a name template').max(200, 'is longer than 200 characters').optional(),
      'hot',
      'Template of stream names, with `{capture}`, `{1}` for the first wildcard, `{field}`, `{topic}`, and `{/model}` for a member of the JSON payload, where one topic carries many devices. Default: what the wildcards took, then the field, such as `cellar/temperature`; the topic where there is no wildcard.',
    ),
    unit: note(
      unit().optional(),
      'hot',
      'Unit of the values, as shown and published; the one sent with the value where the format carries one.',
    ),
    interval: durationOr(
      'auto',
      { min: '100ms', max: '7d' },
      'hot',
      'Length of a bucket, which is the step of the forecast. `auto`: learnt from the arrivals.',
    ),
    aggregate: note(
      z.enum(AGGREGATES).default('mean'),
      'hot',
      "How the readings of one bucket become one value. `delta` is for counters: the increase, with resets, dropouts and the end of a counter's range handled; `change` for those that also run backwards: the signed increase. `circular-mean` is for directions in degrees: mean and forecast on the circle.",
    ),
    gaps: note(gaps.prefault({}), 'hot', 'What to do when readings are missing.'),
    limits: note(limits.prefault({}), 'hot', 'What is physically possible.'),
    lateness: durationOr(
      'auto',
      { min: '0s', max: '1h' },
      'hot',
      'How long a bucket stays open for late readings. `auto`: the `lateness` of the whole config.',
    ),
    horizon: durationOr(
      'auto',
      { min: '1s', max: '90d' },
      'hot',
      `How far ahead to forecast, at most ${MAX_LEADS} intervals. \`auto\`: 24h, or ${MAX_LEADS} intervals where that is shorter.`,
    ),
    thresholds: note(
      z.array(threshold).max(16, 'has more than 16 entries').default([]),
      'hot',
      'Values whose crossing is forecast, with time and probability.',
    ),
    coverage: note(
      bounded(0.5, 0.95, false).default(0.8),
      'hot',
      'Share of the outcomes that the interval from p10 to p90 shall hold. Another than 0.8 draws the quantiles apart or together around the median as it is learnt.',
    ),
    covariates: note(
      z.array(covariateSchema).max(8, 'has more than 8 entries').default([]),
      'hot',
      'What helps to forecast these: names of other streams, `{ topic, list, time, value }` or `{ file, time, column }` of what is known ahead, such as a weather forecast or a tariff.',
      { [TYPE_KEY]: 'list of stream names, topics or files' },
    ),
  })
  .superRefine(checkRule, ALWAYS);

export type StreamConfig = z.output<typeof streamSchema>;
/** An entry of `fields` with settings of its own. */
export type FieldConfig = Exclude<Exclude<StreamConfig['fields'], 'auto'>[number], string>;
