/**
 * Reads Home Assistant's descriptions of topics: discovery messages (`homeassistant/sensor/…/config` and
 * `homeassistant/device/…/config`) and the attributes published by MQTT Statestream. Their units and device classes are
 * more reliable than guesses from names. For `gatecast check` and `init`.
 */
import { isTree } from './json-tree.ts';

interface Announcement {
  readonly unit: string | null;
  readonly deviceClass: string | null;
  readonly stateClass: string | null;
}

const MAX_ANNOUNCED = 20_000;
const MAX_BYTES = 64 * 1024;
const MAX_COMPONENTS = 256;
const DISCOVERY = /^[^/]+\/(sensor|number|device)\/(?:[^/]+\/){1,2}config$/;
const ATTRIBUTE = /^(.+\/[^/]+\/[^/]+)\/(unit_of_measurement|device_class|state_class)$/;
const MEMBER = /value_json((?:\.[A-Za-z_]\w*|\[\s*['"][^'"\]]+['"]\s*\]|\[\s*\d+\s*\])+)/;
const SEPARATOR = '\u001f';

export class Announcements {
  private readonly known = new Map<string, Announcement>();

  /** @returns whether the message is an announcement, which contains no reading */
  hear(topic: string, payload: Uint8Array): boolean {
    const discovery = DISCOVERY.exec(topic);
    if (discovery !== null) {
      const json = parsed(payload);
      if (!isTree(json)) return true;
      if (discovery[1] === 'device') this.addDevice(json);
      else this.addComponent(json, json);
      return true;
    }
    const attribute = ATTRIBUTE.exec(topic);
    if (attribute === null) return false;
    const value = parsed(payload);
    if (typeof value !== 'string') return false;
    const [, entity = '', name] = attribute;
    const before = this.of(`${entity}/state`, '');
    this.set(`${entity}/state`, '', {
      unit: name === 'unit_of_measurement' ? value : (before?.unit ?? null),
      deviceClass: name === 'device_class' ? value : (before?.deviceClass ?? null),
      stateClass: name === 'state_class' ? value : (before?.stateClass ?? null),
    });
    return true;
  }

  /** @param field '' if the whole payload is the value */
  of(topic: string, field: string): Announcement | null {
    return this.known.get(`${topic}${SEPARATOR}${field}`) ?? null;
  }

  private addDevice(json: Readonly<Record<string, unknown>>): void {
    const components = json.cmps ?? json.components;
    if (!isTree(components)) return;
    for (const component of Object.values(components).slice(0, MAX_COMPONENTS)) {
      if (!isTree(component)) continue;
      const platform = textOf(component.p ?? component.platform);
      if (platform === null || platform === 'sensor' || platform === 'number')
        this.addComponent(component, json);
    }
  }

  private addComponent(
    one: Readonly<Record<string, unknown>>,
    device: Readonly<Record<string, unknown>>,
  ): void {
    const base = textOf(one['~'] ?? device['~']) ?? '';
    const stated = textOf(one.stat_t ?? one.state_topic ?? device.stat_t ?? device.state_topic);
    if (stated === null) return;
    const topic = stated.replace(/^~|~$/, base);
    const template = textOf(one.val_tpl ?? one.value_template) ?? '';
    const field = (MEMBER.exec(template)?.[1] ?? '')
      .replaceAll(/\[\s*['"]?([^'"\]]+?)['"]?\s*\]/g, '.$1')
      .slice(1);
    this.set(topic, field, {
      unit: textOf(one.unit_of_meas ?? one.unit_of_measurement),
      deviceClass: textOf(one.dev_cla ?? one.device_class),
      stateClass: textOf(one.stat_cla ?? one.state_class),
    });
  }

  private set(topic: string, field: string, announcement: Announcement): void {
    const key = `${topic}${SEPARATOR}${field}`;
    if (this.known.has(key) || this.known.size < MAX_ANNOUNCED) this.known.set(key, announcement);
  }
}

function parsed(payload: Uint8Array): unknown {
  if (payload.length === 0 || payload.length > MAX_BYTES) return undefined;
  const text = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8');
  try {
    return JSON.parse(text);
  } catch {
    return text.length <= 32 ? text : undefined;
  }
}

const textOf = (value: unknown): string | null =>
  typeof value === 'string' && value !== '' && value.length <= 1024 ? value : null;
