/**
 * The messages of Home Assistant's MQTT device discovery (Home Assistant 2024.11 and later): one for each physical device, with the
 * entities of all its streams, and one for the agent. `home-assistant.ts` decides when they are sent. An empty payload removes a
 * device.
 */
import { hostname } from 'node:os';
import type { Outgoing } from '../../mqtt/outbox.ts';
import { homeAssistantTopics, type Topics } from '../../mqtt/topics.ts';
import { sha256 } from '../../system/files.ts';
import {
  type AnnouncedSpec,
  agentComponents,
  type Component,
  type EntitySettings,
  placeOf,
  STATE,
  streamComponents,
} from './entities.ts';

export interface DiscoverySettings extends EntitySettings {
  /** URL of the page; null: Home Assistant's users cannot reach it. */
  readonly pageUrl: string | null;
  readonly supportUrl: string | null;
}

interface DiscoveryParts {
  /** Discovery prefix, default `homeassistant`. */
  readonly prefix: string;
  readonly base: string;
  readonly node: string;
  readonly version: string;
  readonly topics: Topics;
  /** Group of the streams that share a model. */
  readonly group: string;
  readonly settings: () => DiscoverySettings;
}

/** A stored component, `<platform>:<key>`: the data needed to remove it. */
export type ComponentId = string;

export interface Announcement {
  readonly message: Outgoing;
  readonly ids: ReadonlyMap<string, readonly ComponentId[]>;
}

export class Discovery {
  private readonly id: string;
  private readonly topics: ReturnType<typeof homeAssistantTopics>;

  constructor(private readonly parts: DiscoveryParts) {
    this.id = objectId(`gatecast_${parts.base}_${parts.node}`);
    this.topics = homeAssistantTopics(parts.prefix);
  }

  /** Topic of Home Assistant's status: on `online` everything is announced again. */
  get statusTopic(): string {
    return this.topics.status;
  }

  /** Object id of the agent's own device. */
  get agentId(): string {
    return this.id;
  }

  /** Object id of a stream's device. A device with many streams has several messages. @param part from 1 */
  deviceId(spec: AnnouncedSpec, part: number): string {
    const id = objectId(`${this.id}_device_${placeOf(spec).device}`);
    return part === 1 ? id : `${id}_${part}`;
  }

  /** Object id of a stream in old versions, which announced a device per stream. */
  formerId(stream: string): string {
    return objectId(`${this.id}_${stream}`);
  }

  /** @param most entities */
  agent(former: readonly ComponentId[] = [], most = Number.POSITIVE_INFINITY): Announcement {
    const { topics, node, group } = this.parts;
    const dev = { ids: [this.id], name: `gatecast ${node}`, mdl: 'forecast agent' };
    const components = Object.entries(agentComponents(this.parts.settings(), topics, group))
      .slice(0, most)
      .map(([id, component]) => [id, { unique_id: `${this.id}_${id}`, ...component }] as const);
    return this.announcement(this.id, dev, new Map([['', components]]), former);
  }

  /**
   * @param id of one of the device's messages
   * @param specs streams of one device
   * @param former previously announced components: Home Assistant removes a component that is listed without settings
   * @param most entities of each stream
   */
  device(
    id: string,
    specs: readonly AnnouncedSpec[],
    former: readonly ComponentId[] = [],
    most = Number.POSITIVE_INFINITY,
  ): Announcement {
    const { topics } = this.parts;
    const settings = this.parts.settings();
    const [first] = specs;
    const device = first === undefined ? '' : placeOf(first).device;
    const dev = {
      ids: [objectId(`${this.id}_device_${device}`)],
      name: `${device.replaceAll('/', ' ')} forecast`,
      mdl: 'forecast',
      via_device: this.id,
    };
    const components = new Map(
      specs.map((spec) => {
        const stream = this.formerId(spec.name);
        const made = Object.entries(streamComponents(spec, settings, topics))
          .slice(0, most)
          .map(
            ([key, component]) =>
              [`${objectId(spec.name)}_${key}`, { unique_id: `${stream}_${key}`, ...component }] as const,
          );
        return [spec.name, made];
      }),
    );
    return this.announcement(id, dev, components, former);
  }

  /** Removes what a message announced. */
  gone(id: string): Outgoing {
    return { topic: this.topics.device(id), payload: '', qos: 1, retain: true };
  }

  private announcement(
    id: string,
    dev: Readonly<Record<string, unknown>>,
    components: ReadonlyMap<string, readonly (readonly [string, Component])[]>,
    former: readonly ComponentId[],
  ): Announcement {
    const { version, topics } = this.parts;
    const { pageUrl, supportUrl } = this.parts.settings();
    const ids = new Map(
      [...components].map(([stream, list]) => [stream, list.map(([key, { p }]) => `${p}:${key}`)]),
    );
    const kept = new Set([...ids.values()].flat());
    const removed = former
      .filter((one) => !kept.has(one))
      .map((one) => {
        const colon = one.indexOf(':');
        return [one.slice(colon + 1), { p: one.slice(0, colon) }];
      });
    const payload = JSON.stringify({
      dev: {
        ...dev,
        mf: 'gatecast',
        sw: version,
        ...(pageUrl === null ? {} : { cu: pageUrl }),
      },
      o: { name: 'gatecast', sw: version, ...(supportUrl === null ? {} : { url: supportUrl }) },
      availability: [{ topic: topics.status, value_template: STATE }],
      qos: 1,
      cmps: Object.fromEntries([...removed, ...[...components.values()].flat()]),
    });
    return { message: { topic: this.topics.device(id), payload, qos: 1, retain: true }, ids };
  }
}

/**
 * URL of the page for other machines; null if it listens on loopback only.
 * @param listen as `http.listen`
 */
export function pageUrlOf(listen: string): string | null {
  const colon = listen.lastIndexOf(':');
  const host = listen.slice(0, Math.max(0, colon));
  const port = listen.slice(colon + 1);
  if (colon < 0 || port === '0' || /^(?:127\.|localhost$|\[::1\]$)/.test(host)) return null;
  const name = /^(?:|0\.0\.0\.0|\[::\])$/.test(host) ? hostname() : host;
  return `http://${name}:${port}`;
}

/** Encodes a name with letters, digits, `_` and `-`; different names give different ids. */
function objectId(name: string): string {
  const clean = name.replace(/[^A-Za-z0-9_-]/g, '_');
  return clean === name && clean.length <= 80 ? clean : `${clean.slice(0, 80)}_${sha256(name).slice(0, 8)}`;
}
