/** The schema of one entry of `streams`: topics, payload, and the settings of the resulting streams. */
import { z } from 'zod';
import { PAYLOAD_KINDS } from '../ingest/decoders/index.ts';
import { AGGREGATES, FILLS, MAX_LEADS } from '../series/spec.ts';
import { checkFieldPath, checkNode, checkPattern, checkPayloadZone, checkStreamName } from './checks.ts';
import { covariateSchema } from './covariate-schema.ts';
import { checkRule } from './rule-checks.ts';
import { ALWAYS, bounded, durationOr, finite, flag, hot, rate, text } from './values.ts';

const unit = () => text('a unit such as °C').max(32, 'is longer than 32 characters');

const limits = z
  .strictObject({
    min: hot(finite().optional(), 'Readings below this are rejected; forecasts are never below it.'),
    max: hot(finite().optional(), 'Readings above this are rejected; forecasts are never above it.'),
    max_rate: hot(rate(), 'A reading that changes faster is rejected.'),
  })
  .superRefine((value, context) => {
    if (typeof value?.min === 'number' && typeof value.max === 'number' && value.min >= value.max)
      context.addIssue({ code: 'custom', path: ['min'], message: 'must be below `max`' });
  }, ALWAYS);

const field = z.union([
  text('a field name or JSON Pointer', checkFieldPath),
  z.strictObject({
    field: hot(text('a field name or JSON Pointer', checkFieldPath), 'Name or JSON Pointer of the field.'),
    name: hot(
      text('a stream name', checkStreamName).optional(),
      'Name of the field in stream names; by default the field itself.',
    ),
    unit: hot(unit().optional(), 'Unit of this field; overrides the unit of the rule.'),
    aggregate: hot(
      z.enum(AGGREGATES).optional(),
      'Aggregate of this field; overrides the `aggregate` of the rule.',
    ),
    limits: hot(limits.optional(), 'Limits of this field; each overrides that of the rule.'),
  }),
]);

const threshold = z
  .strictObject({
    name: hot(
      text('a name').max(64, 'is longer than 64 characters'),
      'Name of the threshold in the forecast message.',
    ),
    below: hot(finite().optional(), 'Crossed when the value falls below this.'),
    above: hot(finite().optional(), 'Crossed when the value rises above this.'),
  })
  .superRefine((value, context) => {
    if ((value?.below === undefined) === (value?.above === undefined))
      context.addIssue({ code: 'custom', message: 'must have either `below` or `above`' });
  }, ALWAYS);

const gaps = z.strictObject({
  fill: hot(
    z.enum(FILLS).default('model'),
    'Value used for a missing bucket: the forecast itself (`model`), none, only a flag that the bucket is missing (`mask`), the last value (`hold`), a straight line (`linear`, on history only), the seasonal value, mean, median or mode of the stream, or a skipped step (`drop`).',
  ),
  max: hot(
    durationOr('auto', { min: '1s', max: '90d' }),
    'A longer gap makes the stream stale. `auto`: 2h or eight intervals, whichever is longer.',
  ),
});

export const streamSchema = z
  .strictObject({
    id: hot(
      text('a rule id', checkNode).optional(),
      'Name of the rule, used by remote config to refer to it. Default: derived from `match`; `gatecast config show` lists it.',
    ),
    match: hot(
      text('a topic pattern', checkPattern),
      'Topics of the rule. `{name}` matches and captures one level, `{name:a|b}` only the levels `a` and `b`; `+` and `#` are as in MQTT. A reading goes to the first rule that matches its topic and selects its field.',
      'topic pattern',
    ),
    payload: hot(
      z.enum(PAYLOAD_KINDS).default('auto'),
      'Format of the payloads. `auto`: JSON if the payload looks like JSON, else one number, or a text with several readings (`text`: `temp=21.5,hum=40`, `21.5;40`).',
    ),
    fields: hot(
      z
        .union([
          z.literal('auto'),
          z.array(field).min(1, 'must name a field').max(256, 'has more than 256 entries'),
        ])
        .default('auto'),
      'Values that become streams: names, JSON Pointers (`/ENERGY/Power`), members of a list of devices selected by an identifying member (`meters[meter=A].E`, `meters[meter].E` for each), the members of all devices that are keys of an object (`*.temperature`), or `{ field, name, unit, aggregate, limits }`. `auto`: every number, with booleans and on/off as 1 and 0.',
      '`auto` or list of fields',
    ),
    time: hot(
      text('a field name or JSON Pointer', checkFieldPath).optional(),
      'Field of the time stamp: seconds, ms, us or ns since 1970, ISO 8601, `20261129014445`, `29.11.2026 01:44`, `2026/11/29 01:44` or the form of DSMR meters. Without it the arrival time is used. In a list of readings that each have a time, these times are used without this key.',
    ),
    time_zone: hot(
      text('a time zone', checkPayloadZone).default('UTC'),
      'Zone of time stamps without an offset: `UTC`, `local`, an IANA zone such as `Europe/Berlin`, or an offset such as `+02:00`.',
      '`UTC`, `local`, IANA zone or offset',
    ),
    records: hot(
      text('a field name or JSON Pointer', checkFieldPath).optional(),
      'Location of a list of readings in a JSON payload, such as `/data/readings`, or of columns of equal length. `fields` and `time` then refer to one reading. Detected automatically if each reading has a time.',
    ),
    numeric_strings: hot(
      flag().default(false),
      'Read texts such as "21.5" and "21.5 °C" as numbers: a number alone, or with a known unit or the `unit` of the rule.',
    ),
    decimal_comma: hot(
      flag().default(false),
      'Numbers in texts have a decimal comma: "21,5" is 21.5, "1.234,5" is 1234.5. In JSON this needs `numeric_strings`.',
    ),
    name: hot(
      text('a name template').max(200, 'is longer than 200 characters').optional(),
      'Template of stream names, with `{capture}`, `{1}` for the first wildcard, `{field}`, `{topic}`, and `{/model}` for a member of the JSON payload, where one topic carries many devices. Default: the levels matched by wildcards, then the field, such as `cellar/temperature`; without wildcards, the topic.',
    ),
    device: hot(
      text('a name template').max(200, 'is longer than 200 characters').optional(),
      'Template of the device that the streams belong to, with the placeholders of `name`: Home Assistant and Sparkplug group the streams of one device. Default: the name of the stream up to `{device}`, else without its field, such as `cellar`.',
    ),
    unit: hot(
      unit().optional(),
      'Unit of the values, as shown and published. Default: the unit in the message, if the format has one.',
    ),
    interval: hot(
      durationOr('auto', { min: '100ms', max: '7d' }),
      'Length of a bucket, which is the step of the forecast. `auto`: learnt from the times of the readings.',
    ),
    aggregate: hot(
      z.enum(AGGREGATES).default('mean'),
      "How the readings of one bucket are combined into one value. `delta` is for counters: the increase, with resets, dropouts and the end of a counter's range handled; `change` for those that also run backwards: the signed increase. `circular-mean` is for directions in degrees: mean and forecast on the circle.",
    ),
    gaps: hot(gaps.prefault({}), 'What to do when readings are missing.'),
    limits: hot(limits.prefault({}), 'Physically possible values.'),
    lateness: hot(
      durationOr('auto', { min: '0s', max: '1h' }),
      'How long a bucket stays open for late readings. `auto`: the top-level `lateness`.',
    ),
    horizon: hot(
      durationOr('auto', { min: '1s', max: '90d' }),
      `How far ahead to forecast, at most ${MAX_LEADS} intervals. \`auto\`: 24h or ${MAX_LEADS} intervals, whichever is shorter.`,
    ),
    thresholds: hot(
      z.array(threshold).max(16, 'has more than 16 entries').default([]),
      'Thresholds whose crossing is forecast, with time and probability.',
    ),
    coverage: hot(
      bounded(0.5, 0.95, false).default(0.8),
      'Share of readings that the interval from p10 to p90 should contain. With a value other than 0.8 the quantiles are spread or narrowed around the median, by a factor that is learnt.',
    ),
    covariates: hot(
      z.union([z.literal('auto'), z.array(covariateSchema).max(8, 'has more than 8 entries')]).default([]),
      'Series that help to forecast these streams: names of other streams, or values known ahead (a weather forecast, a tariff) as `{ topic, list, time, value }` or `{ file, time, column }`. `auto`: up to three other streams of the gateway with the same interval, chosen and kept by what they add to the forecasts.',
      '`auto` or list of stream names, topics or files',
    ),
  })
  .superRefine(checkRule, ALWAYS);

export type StreamConfig = z.output<typeof streamSchema>;
/** An entry of `fields` with its own settings. */
export type FieldConfig = Exclude<Exclude<StreamConfig['fields'], 'auto'>[number], string>;
