/** What to subscribe to: the sensors' filters, and the agent's own inbox beside them. Pure. */
import type { Subscription } from './connection.ts';

/**
 * An own topic that a sensor's filter reads anyway is not asked for again: the broker would deliver each message twice,
 * and a request would be done twice.
 */
export function subscriptionsFor(
  sensors: readonly string[],
  sensorQos: 0 | 1,
  own: readonly string[],
): Subscription[] {
  const inbox = own.filter((topic) => !sensors.some((filter) => covers(filter, topic)));
  return [
    ...sensors.map((filter) => ({ filter, qos: sensorQos })),
    ...inbox.map((filter) => ({ filter, qos: 1 as const })),
  ];
}

/** Whether `filter` matches every topic that `other`, a filter or a topic, matches. */
export function covers(filter: string, other: string): boolean {
  const levels = filter.replace(/^\$share\/[^/]*\//, '').split('/');
  const others = other.split('/');
  for (let at = 0; ; at++) {
    if (levels[at] === '#') return true;
    if (at === levels.length || at === others.length) return levels.length === others.length;
    if (levels[at] === '+') {
      if (others[at] === '#') return false;
    } else if (levels[at] !== others[at]) return false;
  }
}
