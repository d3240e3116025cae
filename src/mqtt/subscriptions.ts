/** Computes the filters to subscribe to: those of the sensors and of the agent's inbox. Pure. */
import { covers } from '../config/filters.ts';
import type { Subscription } from './connection.ts';

/**
 * A filter covered by another one is omitted: a broker may deliver a message once for each matching subscription,
 * so a reading would count twice and a request would run twice. Desired configs are always included: a filter such as `#`
 * does not return the retained message on each reconnect, a shared one never does, and remote config ignores a second copy.
 */
export function subscriptionsFor(
  sensors: readonly string[],
  sensorQos: 0 | 1,
  own: readonly string[],
): Subscription[] {
  const inbox = own.filter((topic) => isDesired(topic) || !isCovered(topic, sensors));
  return [
    ...widest(sensors).map((filter) => ({ filter, qos: sensorQos })),
    // Desired configs are sent again on each connection, so that an interrupted push can continue.
    ...inbox.map((filter) => ({ filter, qos: 1 as const, ...(isDesired(filter) && { again: true }) })),
  ];
}

const isDesired = (topic: string): boolean => topic.endsWith('/config/desired');

/** Whether one of the filters matches the topic. */
export const isCovered = (topic: string, filters: readonly string[]): boolean =>
  filters.some((filter) => covers(filter, topic));

/** The filters that are not covered by another one. */
export function widest(filters: readonly string[]): string[] {
  return [...new Set(filters)].filter(
    (filter, _at, all) => !all.some((other) => other !== filter && covers(other, filter)),
  );
}
