/** What to subscribe to: the sensors' filters, and the agent's own inbox beside them. Pure. */
import type { Subscription } from './connection.ts';

/**
 * A filter that lies within another one is not asked for: a broker delivers a message once for each subscription that matches it,
 * so a reading would count twice, and a request would be done twice.
 */
export function subscriptionsFor(
  sensors: readonly string[],
  sensorQos: 0 | 1,
  own: readonly string[],
): Subscription[] {
  const inbox = own.filter((topic) => !sensors.some((filter) => covers(filter, topic)));
  return [
    ...widest(sensors).map((filter) => ({ filter, qos: sensorQos })),
    ...inbox.map((filter) => ({ filter, qos: 1 as const })),
  ];
}

/** Without the filters that lie within another one. */
export function widest(filters: readonly string[]): string[] {
  return [...new Set(filters)].filter(
    (filter, _at, all) => !all.some((other) => other !== filter && covers(other, filter)),
  );
}

/** Whether `filter` matches every topic that `other`, a filter or a topic, matches. */
export function covers(filter: string, other: string): boolean {
  const levels = filter.replace(/^\$share\/[^/]*\//, '').split('/');
  const others = other.split('/');
  // Wildcards of the first level do not match what begins with $, such as $SYS (MQTT 5, 4.7.2).
  if (other.startsWith('$') && !filter.startsWith('$')) return false;
  for (let at = 0; ; at++) {
    if (levels[at] === '#') return true;
    if (at === levels.length || at === others.length) return levels.length === others.length;
    if (levels[at] === '+') {
      if (others[at] === '#') return false;
    } else if (levels[at] !== others[at]) return false;
  }
}
