/** Streams as they are announced to Home Assistant, and their discovery messages. */
import { topicsOf } from '../../../src/mqtt/topics.ts';
import { Discovery, type DiscoverySettings } from '../../../src/outputs/home-assistant/discovery.ts';
import type { AnnouncedSpec } from '../../../src/outputs/home-assistant/entities.ts';

export const HOUR = 3_600_000;

/** The levels of the name before the last one are the device. */
export const announcedSpec = (name: string, change: Partial<AnnouncedSpec> = {}): AnnouncedSpec => ({
  name,
  device: name.split('/').slice(0, -1).join('/') || name,
  unit: '°C',
  thresholds: [],
  aggregate: 'mean',
  intervalMs: 300_000,
  horizonMs: 24 * HOUR,
  ...change,
});

export const makeDiscovery = (node: string, settings: DiscoverySettings): Discovery =>
  new Discovery({
    prefix: 'homeassistant',
    base: 'gatecast',
    node,
    version: '1.2.3',
    topics: topicsOf('gatecast', node),
    group: 'default',
    settings: () => settings,
  });
