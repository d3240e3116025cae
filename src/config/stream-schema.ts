/** The schema of one entry of `streams`: topics, payload, and the settings of the resulting streams. */
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
    min: note(finite().optional(), 'hot', 'Readings below this are rejected; forecasts are never below it.'),
    max: note(finite().optional(), 'hot', 'Readings above this are rejected; forecasts are never above it.'),
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
      'Name of the field in stream names; by default the field itself.',
    ),
    unit: note(unit().optional(), 'hot', 'Unit of this field; overrides the unit of the rule.'),
    aggregate: note(
      z.enum(AGGREGATES).optional(),
      'hot',
      'Aggregate of this field; overrides the `aggregate` of the rule.',
    ),
    limits: note(limits.optional(), 'hot', 'Limits of this field; each overrides that of the rule.'),
  }),
]);

const threshold = z
  .strictObject({
    name: note(
      text('a name').max(64, 'is longer than 64 characters'),
      'hot',
      'Name of the threshold in the forecast message.',
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
    'Value used for a missing bucket: the forecast itself (`model`), none, only a flag that the bucket is missing (`mask`), the last value (`hold`), a straight line (`linear`, on history only), the seasonal value, mean, median or mode of the stream, or a skipped step (`drop`).',
  ),
  max: durationOr(
    'auto',
    { min: '1s', max: '90d' },
    'hot',
    'A longer gap makes the stream stale. `auto`: 2h or eight intervals, whichever is longer.',
  ),
});

export const streamSchema = z
  .strictObject({
    id: note(
      text('a rule id', checkNode).optional(),
      'hot',
      'Name of the rule, used by remote config to refer to it. Default: derived from `match`; `gatecast config show` lists it.',
    ),
    match: note(
      text('a topic pattern', checkPattern),
      'hot',
      'Topics of the rule. `{name}` matches and captures one level, `{name:a|b}` only the levels `a` and `b`; `+` and `#` are as in MQTT. A reading goes to the first rule that matches its topic and selects its field.',
      { [TYPE_KEY]: 'topic pattern' },
    ),
    payload: note(
      z.enum(PAYLOAD_KINDS).default('auto'),
      'hot',
      'Format of the payloads. `auto`: JSON if the payload looks like JSON, else one number, or a text with several readings (`text`: `temp=21.5,hum=40`, `21.5;40`).',
    ),
    fields: note(
      z
        .union([
          z.literal('auto'),
          z.array(field).min(1, 'must name a field').max(256, 'has more than 256 entries'),
        ])
        .default('auto'),
      'hot',
      'Values that become streams: names, JSON Pointers (`/ENERGY/Power`), members of a list of devices selected by an identifying member (`meters[meter=A].E`, `meters[meter].E` for each), the members of all devices that are keys of an object (`*.temperature`), or `{ field, name, unit, aggregate, limits }`. `auto`: every number, with booleans and on/off as 1 and 0.',
      { [TYPE_KEY]: '`auto` or list of fields' },
    ),
    time: note(
      text('a field name or JSON Pointer', checkFieldPath).optional(),
      'hot',
      'Field of the time stamp: seconds, ms, us or ns since 1970, ISO 8601, `20261129014445`, `29.11.2026 01:44`, `2026/11/29 01:44` or the form of DSMR meters. Without it the arrival time is used. In a list of readings that each have a time, these times are used without this key.',
    ),
    time_zone: note(
      text('a time zone', checkPayloadZone).default('UTC'),
      'hot',
      'Zone of time stamps without an offset: `UTC`, `local`, an IANA zone such as `Europe/Berlin`, or an offset such as `+02:00`.',
      { [TYPE_KEY]: '`UTC`, `local`, IANA zone or offset' },
    ),
    records: note(
      text('a field name or JSON Pointer', checkFieldPath).optional(),
      'hot',
      'Location of a list of readings in a JSON payload, such as `/data/readings`, or of columns of equal length. `fields` and `time` then refer to one reading. Detected automatically if each reading has a time.',
    ),
    numeric_strings: note(
      flag().default(false),
      'hot',
      'Read texts such as "21.5" and "21.5 °C" as numbers: a number alone, or with a known unit or the `unit` of the rule.',
    ),
    decimal_comma: note(
      flag().default(false),
      'hot',
      'Numbers in texts have a decimal comma: "21,5" is 21.5, "1.234,5" is 1234.5. In JSON this needs `numeric_strings`.',
    ),
    name: note(
      text('a name template').max(200, 'is longer than 200 characters').optional(),
      'hot',
      'Template of stream names, with `{capture}`, `{1}` for the first wildcard, `{field}`, `{topic}`, and `{/model}` for a member of the JSON payload, where one topic carries many devices. Default: the levels matched by wildcards, then the field, such as `cellar/temperature`; without wildcards, the topic.',
    ),
    device: note(
      text('a name template').max(200, 'is longer than 200 characters').optional(),
      'hot',
      'Template of the device that the streams belong to, with the placeholders of `name`: Home Assistant and Sparkplug group the streams of one device. Default: the name of the stream up to `{device}`, else without its field, such as `cellar`.',
    ),
    unit: note(
      unit().optional(),
      'hot',
      'Unit of the values, as shown and published. Default: the unit in the message, if the format has one.',
    ),
    interval: durationOr(
      'auto',
      { min: '100ms', max: '7d' },
      'hot',
      'Length of a bucket, which is the step of the forecast. `auto`: learnt from the times of the readings.',
    ),
    aggregate: note(
      z.enum(AGGREGATES).default('mean'),
      'hot',
      "How the readings of one bucket are combined into one value. `delta` is for counters: the increase, with resets, dropouts and the end of a counter's range handled; `change` for those that also run backwards: the signed increase. `circular-mean` is for directions in degrees: mean and forecast on the circle.",
    ),
    gaps: note(gaps.prefault({}), 'hot', 'What to do when readings are missing.'),
    limits: note(limits.prefault({}), 'hot', 'Physically possible values.'),
    lateness: durationOr(
      'auto',
      { min: '0s', max: '1h' },
      'hot',
      'How long a bucket stays open for late readings. `auto`: the top-level `lateness`.',
    ),
    horizon: durationOr(
      'auto',
      { min: '1s', max: '90d' },
      'hot',
      `How far ahead to forecast, at most ${MAX_LEADS} intervals. \`auto\`: 24h or ${MAX_LEADS} intervals, whichever is shorter.`,
    ),
    thresholds: note(
      z.array(threshold).max(16, 'has more than 16 entries').default([]),
      'hot',
      'Thresholds whose crossing is forecast, with time and probability.',
    ),
    coverage: note(
      bounded(0.5, 0.95, false).default(0.8),
      'hot',
      'Share of readings that the interval from p10 to p90 should contain. With a value other than 0.8 the quantiles are spread or narrowed around the median, by a factor that is learnt.',
    ),
    covariates: note(
      z.union([z.literal('auto'), z.array(covariateSchema).max(8, 'has more than 8 entries')]).default([]),
      'hot',
      'Series that help to forecast these streams: names of other streams, or values known ahead (a weather forecast, a tariff) as `{ topic, list, time, value }` or `{ file, time, column }`. `auto`: up to three other streams of the gateway with the same interval, chosen and kept by what they add to the forecasts.',
      { [TYPE_KEY]: '`auto` or list of stream names, topics or files' },
    ),
  })
  .superRefine(checkRule, ALWAYS);

export type StreamConfig = z.output<typeof streamSchema>;
/** An entry of `fields` with its own settings. */
export type FieldConfig = Exclude<Exclude<StreamConfig['fields'], 'auto'>[number], string>;
