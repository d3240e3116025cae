/**
 * The entities in Home Assistant: those of a stream and those of the agent, as components of a discovery message. No forecast has
 * a `state_class`: Home Assistant defines it for current values, and long-term statistics of a forecast would mix up the
 * time of the forecast and the forecast time.
 */
import { formatDuration } from '../../config/units.ts';
import type { Topics } from '../../mqtt/topics.ts';
import { QUANTILES } from '../../quantiles.ts';
import { isCounter, type StreamSpec } from '../../series/spec.ts';
import { QUANTILE_NAMES } from '../json/messages.ts';
import { crossingKey, NEXT } from './summary.ts';
import { type EntityQuantity, quantityOf } from './units.ts';

export type AnnouncedSpec = Pick<StreamSpec, 'name' | 'unit' | 'device' | 'thresholds'> &
  Partial<Pick<StreamSpec, 'aggregate' | 'intervalMs' | 'horizonMs'>>;

/** The settings of the config that entities depend on. */
export interface EntitySettings {
  readonly quantiles: readonly number[];
  /** ms */
  readonly leads: readonly number[];
  readonly attributes: 'none' | 'slim' | 'full';
  readonly anomalies: boolean;
  /** Verbs that a button may request. */
  readonly verbs: readonly string[];
}

/** Settings of one entity. `p` is its platform. */
export interface Component {
  readonly p: 'sensor' | 'binary_sensor' | 'button';
  readonly [key: string]: unknown;
}

/** By id within the stream. */
type Components = Readonly<Record<string, Component>>;

/** The device of a stream, and the stream's name within the device. */
export function placeOf({ name, device = name }: Pick<AnnouncedSpec, 'name' | 'device'>): {
  readonly device: string;
  readonly label: string;
} {
  const label = name.startsWith(`${device}/`) ? name.slice(device.length + 1) : name === device ? '' : name;
  return { device, label };
}

/** Whether values are increases per bucket, so that their sum over the horizon is meaningful. */
export const isAdditive = ({ aggregate }: Pick<AnnouncedSpec, 'aggregate'>): boolean =>
  aggregate !== undefined && (isCounter(aggregate) || aggregate === 'sum');

export const quantityOfStream = (spec: AnnouncedSpec): EntityQuantity =>
  quantityOf(spec.unit, placeOf(spec).label || spec.name, isAdditive(spec));

/** Leads within the horizon of a stream that are not the next step, ms. */
export function leadsOf({ intervalMs = null, horizonMs }: AnnouncedSpec, leads: readonly number[]): number[] {
  const least = 1.5 * (intervalMs ?? 0);
  return [...new Set(leads)].filter((ms) => ms >= least && ms <= (horizonMs ?? ms)).sort((a, b) => a - b);
}

export function streamComponents(spec: AnnouncedSpec, settings: EntitySettings, topics: Topics): Components {
  const { label } = placeOf(spec);
  const quantity = quantityOfStream(spec);
  const topic = topics.summary(spec.name);
  const named = (text: string): string => sentence(`${label.replace(/[/_.:]+/g, ' ')} ${text}`.trim());
  const base = {
    state_topic: topic,
    availability: [
      { topic: topics.status, value_template: STATE },
      { topic, value_template: STATE },
    ],
    availability_mode: 'all',
  };
  const attributes = (template: string) =>
    settings.attributes === 'none'
      ? {}
      : { json_attributes_topic: topic, json_attributes_template: template };
  const value = {
    ...(quantity.deviceClass === null ? {} : { device_class: quantity.deviceClass }),
    ...(quantity.unit === null ? {} : { unit_of_measurement: quantity.unit }),
    ...(quantity.decimals === null ? {} : { suggested_display_precision: quantity.decimals }),
  };
  const lead = (key: string, text: string): Component => ({
    p: 'sensor',
    name: named(text),
    ...base,
    ...value,
    value_template: `{{ value_json.median['${key}'] }}`,
    ...attributes(`{{ value_json.range['${key}'] | tojson }}`),
  });
  const found: Record<string, Component> = { [NEXT]: lead(NEXT, 'next') };
  for (const ms of leadsOf(spec, settings.leads)) {
    const key = formatDuration(ms);
    found[`in_${key}`] = lead(key, `in ${key}`);
  }
  if (isAdditive(spec) && spec.horizonMs !== undefined)
    found.total = {
      p: 'sensor',
      name: named(`in the next ${formatDuration(spec.horizonMs)}`),
      ...base,
      ...value,
      value_template: '{{ value_json.total }}',
    };
  for (const threshold of spec.thresholds) {
    const key = crossingKey(threshold.name);
    found[`when_${key}`] = {
      p: 'sensor',
      name: named(`${threshold.name} at`),
      ...base,
      device_class: 'timestamp',
      value_template: crossing(key, 'at'),
    };
    found[`probability_${key}`] = {
      p: 'sensor',
      name: named(`${threshold.name} probability`),
      ...base,
      unit_of_measurement: '%',
      suggested_display_precision: 0,
      icon: 'mdi:percent-outline',
      value_template: crossing(key, 'percent'),
    };
  }
  if (settings.anomalies)
    found.anomaly = {
      p: 'binary_sensor',
      name: named('anomaly'),
      ...base,
      device_class: 'problem',
      entity_category: 'diagnostic',
      value_template: '{{ value_json.anomaly }}',
    };
  if (settings.attributes !== 'none')
    found.fan = {
      p: 'sensor',
      name: named('fan'),
      ...base,
      state_topic: topics.forecast(spec.name),
      device_class: 'timestamp',
      entity_category: 'diagnostic',
      enabled_by_default: settings.attributes === 'full',
      icon: 'mdi:chart-bell-curve',
      value_template: '{{ value_json.origin }}',
      json_attributes_topic: topics.forecast(spec.name),
      json_attributes_template: fan(settings.quantiles),
    };
  return found;
}

/** @param group of streams that share a model */
export function agentComponents(settings: EntitySettings, topics: Topics, group: string): Components {
  const model = topics.model(group);
  const button = (verb: string, name: string, icon: string): Components =>
    settings.verbs.includes(verb)
      ? {
          [verb.replaceAll('-', '_')]: {
            p: 'button',
            name,
            icon,
            entity_category: 'config',
            command_topic: topics.request(verb),
            payload_press: '{}',
          },
        }
      : {};
  const diagnostic = { entity_category: 'diagnostic' };
  return {
    health: {
      p: 'binary_sensor',
      name: 'Health',
      ...diagnostic,
      device_class: 'problem',
      state_topic: topics.health,
      value_template: "{{ 'OFF' if value_json.state == 'ok' else 'ON' }}",
      json_attributes_topic: topics.health,
      json_attributes_template: "{{ {'degraded': value_json.degraded} | tojson }}",
    },
    alerts: {
      p: 'sensor',
      name: 'Alerts',
      ...diagnostic,
      icon: 'mdi:alert-outline',
      state_topic: topics.alerts,
      value_template: '{{ value_json.count }}',
      json_attributes_topic: topics.alerts,
      json_attributes_template: "{{ {'alerts': value_json.alerts} | tojson }}",
    },
    streams: {
      p: 'sensor',
      name: 'Streams',
      ...diagnostic,
      icon: 'mdi:chart-line-variant',
      state_class: 'measurement',
      state_topic: topics.health,
      value_template: '{{ value_json.streams }}',
    },
    model: {
      p: 'sensor',
      name: 'Model',
      ...diagnostic,
      icon: 'mdi:brain',
      state_topic: model,
      value_template: '{{ value_json.champion }}',
      json_attributes_topic: model,
      json_attributes_template:
        "{{ {'version': value_json.version, 'trained_at': value_json.trained_at, 'previous': value_json.previous, 'holdout': value_json.holdout} | tojson }}",
    },
    tuning: {
      p: 'sensor',
      name: 'Fine-tune',
      ...diagnostic,
      icon: 'mdi:tune',
      state_topic: model,
      value_template: '{{ value_json.last_run.status }}',
      json_attributes_topic: model,
      json_attributes_template:
        "{{ {'reason': value_json.last_run.reason, 'trigger': value_json.last_run.trigger, 'waits_for': value_json.waits_for} | tojson }}",
    },
    tuned: {
      p: 'sensor',
      name: 'Last fine-tune',
      ...diagnostic,
      device_class: 'timestamp',
      state_topic: model,
      value_template: '{{ value_json.last_run.ended }}',
    },
    ...button('finetune', 'Fine-tune now', 'mdi:play'),
    ...button('rollback-model', 'Roll back the model', 'mdi:undo'),
  };
}

/** The state in topic `status` and in the summaries is `online` or `offline`, as Home Assistant expects. */
export const STATE = '{{ value_json.state }}';

/** `None` is Home Assistant's word for an unknown state. */
const crossing = (key: string, member: string): string =>
  `{{ value_json.crossing['${key}']['${member}'] if value_json.crossing is defined and '${key}' in value_json.crossing else None }}`;

/**
 * Lowest, middle and highest of the published quantiles, and the other data for a chart. The recorder drops attributes of
 * 16,384 bytes and more: three lists of 336 leads with at most 14 bytes per number and a comma need 15,120.
 */
function fan(quantiles: readonly number[]): string {
  const sorted = [...quantiles].sort((a, b) => a - b);
  const middle = sorted.reduce((best, q) => (Math.abs(q - 0.5) < Math.abs(best - 0.5) ? q : best));
  const chosen = new Set([sorted[0] ?? middle, middle, sorted.at(-1) ?? middle]);
  const lists = [...chosen].map((level) => {
    const name = QUANTILE_NAMES[(QUANTILES as readonly number[]).indexOf(level)];
    return `'${name}': value_json.${name}`;
  });
  return `{{ {'origin': value_json.origin, 'step_s': value_json.step_s, 'unit': value_json.unit, ${lists.join(', ')}} | tojson }}`;
}

const sentence = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
