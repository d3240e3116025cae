/** Computes the filters to subscribe to: those of the sensors and the agent's own inbox. Pure. */
import { covers } from '../config/filters.ts';
import type { Subscription } from './connection.ts';

/**
 * A filter that lies within another one is not asked for: a broker delivers a message once for each subscription that matches it,
 * so a reading would count twice, and a request would be done twice. Desired configs are asked for in any case: a filter such as `#`
 * does not bring the retained one again with each reconnect, a shared one brings none, and remote config knows a second copy.
 */
export function subscriptionsFor(
  sensors: readonly string[],
  sensorQos: 0 | 1,
  own: readonly string[],
): Subscription[] {
  const inbox = own.filter((topic) => isDesired(topic) || !isCovered(topic, sensors));
  return [
    ...widest(sensors).map((filter) => ({ filter, qos: sensorQos })),
    // A push that the end of the agent interrupted is acknowledged, and is taken again.
    ...inbox.map((filter) => ({ filter, qos: 1 as const, ...(isDesired(filter) && { again: true }) })),
  ];
}

const isDesired = (topic: string): boolean => topic.endsWith('/config/desired');

/** Whether one of the filters matches the topic. */
export const isCovered = (topic: string, filters: readonly string[]): boolean =>
  filters.some((filter) => covers(filter, topic));

/** Without the filters that lie within another one. */
export function widest(filters: readonly string[]): string[] {
  return [...new Set(filters)].filter(
    (filter, _at, all) => !all.some((other) => other !== filter && covers(other, filter)),
  );
}
