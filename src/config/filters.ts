/** Relations between MQTT topic filters. */

/** Whether `filter` matches every topic that `other`, a filter or a topic, matches. */
export function covers(filter: string, other: string): boolean {
  const levels = filter.replace(/^\$share\/[^/]*\//, '').split('/');
  const others = other.split('/');
  // wildcards in the first level do not match topics that start with $, such as $SYS (MQTT 5, 4.7.2)
  if (other.startsWith('$') && !filter.startsWith('$')) return false;
  for (let at = 0; ; at++) {
    if (levels[at] === '#') return true;
    if (at === levels.length || at === others.length) return levels.length === others.length;
    if (levels[at] === '+') {
      if (others[at] === '#') return false;
    } else if (levels[at] !== others[at]) return false;
  }
}
