/**
 * Announces the forecasts to Home Assistant by MQTT device discovery: one device, a sensor a stream (its state is the
 * next median, its attributes the whole forecast), one for each plain-number lead, one a threshold (when it will be
 * crossed), and whether gatecast itself is well. Retained; said again when Home Assistant comes back.
 */
import { formatDuration } from '../config/units.ts';
import { MEDIAN, QUANTILES } from '../forecast/forecast.ts';
import { sha256 } from '../system/files.ts';
import { QUANTILE_NAMES } from './messages.ts';
import type { Outgoing } from './outbox.ts';
import { homeAssistantTopics, type Topics } from './topics.ts';

export interface AnnouncedStream {
  readonly name: string;
  readonly unit: string | null;
  readonly thresholds: readonly string[];
}

export interface HomeAssistantParts {
  /** Discovery prefix, `homeassistant` unless configured. */
  readonly prefix: string;
  readonly base: string;
  readonly node: string;
  readonly version: string;
  readonly topics: Topics;
  readonly send: (message: Outgoing) => void;
  readonly settings: () => { readonly quantiles: readonly number[]; readonly atMs: readonly number[] };
}

type Component = Readonly<Record<string, unknown>>;

/** Components a message: Home Assistant reads each as a whole, and brokers have limits. */
const COMPONENTS_PER_MESSAGE = 100;
/**
 * Quantiles in the attributes. The recorder drops attributes of 16,384 bytes and more: three lists of 336 leads at
 * most 14 bytes a number are 14,112.
 */
const ATTRIBUTE_QUANTILES = 3;

export class HomeAssistant {
  readonly #parts: HomeAssistantParts;
  readonly #id: string;
  /** Ids announced so far, with their platform: a component goes only when it is named without its settings. */
  readonly #announced = new Map<string, string>();
  #messages = 0;

  constructor(parts: HomeAssistantParts) {
    this.#parts = parts;
    this.#id = objectId(`gatecast_${parts.base}_${parts.node}`);
  }

  /** Topic on which Home Assistant says `online`; call `announce` then. */
  get statusTopic(): string {
    return homeAssistantTopics(this.#parts.prefix).status;
  }

  /** Call at the start, whenever streams or settings change, and when Home Assistant comes back. */
  announce(streams: readonly AnnouncedStream[]): void {
    const wanted = new Map<string, Component>([['health', this.#health()]]);
    for (const stream of streams)
      for (const [id, component] of this.#components(stream)) wanted.set(id, component);
    const all = [...wanted];
    for (const [id, platform] of this.#announced) if (!wanted.has(id)) all.push([id, { p: platform }]);
    this.#announced.clear();
    for (const [id, component] of wanted) this.#announced.set(id, String(component.p));
    let messages = 0;
    for (let from = 0; from < all.length; from += COMPONENTS_PER_MESSAGE) {
      this.#send(messages++, this.#device(all.slice(from, from + COMPONENTS_PER_MESSAGE)));
    }
    for (let gone = messages; gone < this.#messages; gone++) this.#send(gone, '');
    this.#messages = messages;
  }

  /** Takes everything back. */
  retract(): void {
    for (let message = 0; message < Math.max(1, this.#messages); message++) this.#send(message, '');
    this.#announced.clear();
    this.#messages = 0;
  }

  #send(message: number, payload: string): void {
    const id = message === 0 ? this.#id : `${this.#id}_${message + 1}`;
    const topic = homeAssistantTopics(this.#parts.prefix).device(id);
    this.#parts.send({ topic, payload, qos: 1, retain: true });
  }

  #device(components: readonly (readonly [string, Component])[]): string {
    const { node, version, topics } = this.#parts;
    return JSON.stringify({
      dev: { ids: [this.#id], name: `gatecast ${node}`, mf: 'gatecast', mdl: 'forecast agent', sw: version },
      o: { name: 'gatecast', sw: version },
      availability: [
        {
          topic: topics.status,
          value_template: '{{ value_json.state }}',
          payload_available: 'online',
          payload_not_available: 'offline',
        },
      ],
      qos: 1,
      cmps: Object.fromEntries(components),
    });
  }

  #health(): Component {
    return {
      p: 'binary_sensor',
      unique_id: `${this.#id}_health`,
      name: 'Health',
      device_class: 'problem',
      entity_category: 'diagnostic',
      state_topic: this.#parts.topics.health,
      value_template: "{{ 'OFF' if value_json.state == 'ok' else 'ON' }}",
      json_attributes_topic: this.#parts.topics.health,
    };
  }

  *#components(stream: AnnouncedStream): Generator<[string, Component]> {
    const { topics } = this.#parts;
    const settings = this.#parts.settings();
    const topic = topics.forecast(stream.name);
    const key = objectId(stream.name);
    const shared = { p: 'sensor', ...(stream.unit === null ? {} : { unit_of_measurement: stream.unit }) };
    const middle = nearest(settings.quantiles, QUANTILES[MEDIAN]!);
    yield this.#entry(`${key}_next`, {
      ...shared,
      name: `${stream.name} forecast`,
      state_class: 'measurement',
      state_topic: topic,
      value_template: `{{ value_json.${middle}[0] }}`,
      json_attributes_topic: topic,
      json_attributes_template: attributes(settings.quantiles),
    });
    for (const ahead of settings.atMs) {
      const lead = formatDuration(ahead);
      yield this.#entry(`${key}_in_${lead}`, {
        ...shared,
        name: `${stream.name} in ${lead}`,
        state_class: 'measurement',
        state_topic: topics.forecastAt(stream.name, lead),
      });
    }
    for (const threshold of stream.thresholds) {
      yield this.#entry(`${key}_when_${objectId(threshold)}`, {
        p: 'sensor',
        name: `${stream.name} ${threshold}`,
        device_class: 'timestamp',
        state_topic: topic,
        value_template: crossingTemplate(threshold),
      });
    }
  }

  #entry(id: string, component: Component): [string, Component] {
    return [id, { unique_id: `${this.#id}_${id}`, ...component }];
  }
}

/** Lowest, middle and highest of the published quantiles, with what the chart cards need beside them. */
function attributes(quantiles: readonly number[]): string {
  const sorted = [...quantiles].sort((a, b) => a - b);
  const chosen =
    sorted.length <= ATTRIBUTE_QUANTILES
      ? sorted.map(nameOf)
      : [nameOf(sorted[0]!), nearest(sorted, QUANTILES[MEDIAN]!), nameOf(sorted.at(-1)!)];
  const lists = chosen.map((name) => `'${name}': value_json.${name}`);
  return `{{ {'origin': value_json.origin, 'step_s': value_json.step_s, 'kind': value_json.model.kind, 'quality': value_json.input.quality, ${lists.join(', ')}} | tojson }}`;
}

/** The name is text of the config: it stands in the template as a quoted string that cannot be left. */
function crossingTemplate(threshold: string): string {
  const quoted = [...threshold].map((c) => `\\u${c.codePointAt(0)!.toString(16).padStart(4, '0')}`).join('');
  const safe = /^[\w .-]+$/.test(threshold) ? threshold : quoted;
  return `{% set hit = value_json.crossing | default([]) | selectattr('name', 'eq', '${safe}') | list %}{{ hit[0].at if hit and hit[0].at else None }}`;
}

function nearest(quantiles: readonly number[], level: number): string {
  return nameOf(quantiles.reduce((best, q) => (Math.abs(q - level) < Math.abs(best - level) ? q : best)));
}

function nameOf(level: number): string {
  return QUANTILE_NAMES[(QUANTILES as readonly number[]).indexOf(level)]!;
}

/** Letters, digits, `_` and `-`; another name never gives the same id. */
function objectId(name: string): string {
  const clean = name.replace(/[^A-Za-z0-9_-]/g, '_');
  return clean === name && clean.length <= 80 ? clean : `${clean.slice(0, 80)}_${sha256(name).slice(0, 8)}`;
}
