/**
 * The messages of Home Assistant's MQTT device discovery: one device for each stream (state: the next median; attributes: the whole
 * forecast; one more sensor for each plain-number lead and each threshold), and one for the agent. `home-assistant.ts` decides
 * when they are sent. An empty payload removes a device.
 */
import { formatDuration } from '../../config/units.ts';
import type { Outgoing } from '../../mqtt/outbox.ts';
import { homeAssistantTopics, type Topics } from '../../mqtt/topics.ts';
import { QUANTILES } from '../../quantiles.ts';
import { sha256 } from '../../system/files.ts';
import { QUANTILE_NAMES } from '../json/messages.ts';

export interface AnnouncedStream {
  readonly name: string;
  readonly unit: string | null;
  readonly thresholds: readonly string[];
}

export interface DiscoveryParts {
  /** Discovery prefix, `homeassistant` unless configured. */
  readonly prefix: string;
  readonly base: string;
  readonly node: string;
  readonly version: string;
  readonly topics: Topics;
  readonly settings: () => { readonly quantiles: readonly number[]; readonly at: readonly number[] };
}

type Component = Readonly<Record<string, unknown>>;

/**
 * Quantiles in the attributes. The recorder drops attributes of 16,384 bytes and more: three lists of 336 leads at
 * most 14 bytes a number and a comma are 15,120.
 */
const ATTRIBUTE_QUANTILES = 3;

export class Discovery {
  private readonly id: string;
  private readonly topics: ReturnType<typeof homeAssistantTopics>;

  constructor(private readonly parts: DiscoveryParts) {
    this.id = objectId(`gatecast_${parts.base}_${parts.node}`);
    this.topics = homeAssistantTopics(parts.prefix);
  }

  /** Topic on which Home Assistant says `online`: then everything is announced again. */
  get statusTopic(): string {
    return this.topics.status;
  }

  /** The agent's own device: whether it is well. */
  agent(): Outgoing {
    const { topics, node } = this.parts;
    return this.message(this.id, {
      dev: { ids: [this.id], name: `gatecast ${node}`, mdl: 'forecast agent' },
      cmps: {
        health: {
          p: 'binary_sensor',
          unique_id: `${this.id}_health`,
          name: 'Health',
          device_class: 'problem',
          entity_category: 'diagnostic',
          state_topic: topics.health,
          value_template: "{{ 'OFF' if value_json.state == 'ok' else 'ON' }}",
          json_attributes_topic: topics.health,
        },
      },
    });
  }

  /**
   * A stream's device.
   * @param former ids of components announced before: Home Assistant keeps one until it is named without settings
   * @returns the message, and the ids of its components
   */
  stream(stream: AnnouncedStream, former: readonly string[] = []): { message: Outgoing; ids: string[] } {
    const wanted = new Map(this.components(stream));
    const gone = former.filter((id) => !wanted.has(id));
    const message = this.message(this.idOf(stream.name), {
      dev: {
        ids: [this.idOf(stream.name)],
        name: `${stream.name} forecast`,
        mdl: 'forecast',
        via_device: this.id,
      },
      cmps: Object.fromEntries([...wanted, ...gone.map((id) => [id, { p: 'sensor' }])]),
    });
    return { message, ids: [...wanted.keys()] };
  }

  /** Removes a stream's device; null: the agent's. */
  gone(stream: string | null): Outgoing {
    const id = stream === null ? this.id : this.idOf(stream);
    return { topic: this.topics.device(id), payload: '', qos: 1, retain: true };
  }

  private idOf(stream: string): string {
    return objectId(`${this.id}_${stream}`);
  }

  private message(
    id: string,
    { dev, cmps }: { dev: Component; cmps: Readonly<Record<string, Component>> },
  ): Outgoing {
    const { version, topics } = this.parts;
    const payload = JSON.stringify({
      dev: { ...dev, mf: 'gatecast', sw: version },
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
      cmps,
    });
    return { topic: this.topics.device(id), payload, qos: 1, retain: true };
  }

  private *components(stream: AnnouncedStream): Generator<[string, Component]> {
    const { topics } = this.parts;
    const settings = this.parts.settings();
    const topic = topics.forecast(stream.name);
    const entry = (id: string, component: Component): [string, Component] => [
      id,
      { p: 'sensor', unique_id: `${this.idOf(stream.name)}_${id}`, ...component },
    ];
    const number = {
      state_class: 'measurement',
      ...(stream.unit === null ? {} : { unit_of_measurement: stream.unit }),
    };
    yield entry('next', {
      name: 'next',
      ...number,
      state_topic: topic,
      value_template: `{{ value_json.${nearest(settings.quantiles, 0.5)}[0] }}`,
      json_attributes_topic: topic,
      json_attributes_template: attributes(settings.quantiles),
    });
    for (const ahead of settings.at) {
      const lead = formatDuration(ahead);
      yield entry(`in_${lead}`, {
        name: `in ${lead}`,
        ...number,
        state_topic: topics.forecastAt(stream.name, lead),
      });
    }
    for (const threshold of stream.thresholds) {
      yield entry(`when_${objectId(threshold)}`, {
        name: threshold,
        device_class: 'timestamp',
        state_topic: topic,
        value_template: crossingTemplate(threshold),
      });
    }
  }
}

/** Lowest, middle and highest of the published quantiles, with what the chart cards need beside them. */
function attributes(quantiles: readonly number[]): string {
  const sorted = [...quantiles].sort((a, b) => a - b);
  const chosen =
    sorted.length <= ATTRIBUTE_QUANTILES
      ? sorted.map(nameOf)
      : [nameOf(sorted[0]), nearest(sorted, 0.5), nameOf(sorted.at(-1)!)];
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
  return QUANTILE_NAMES[(QUANTILES as readonly number[]).indexOf(level)];
}

/** Letters, digits, `_` and `-`; another name never gives the same id. */
function objectId(name: string): string {
  const clean = name.replace(/[^A-Za-z0-9_-]/g, '_');
  return clean === name && clean.length <= 80 ? clean : `${clean.slice(0, 80)}_${sha256(name).slice(0, 8)}`;
}
