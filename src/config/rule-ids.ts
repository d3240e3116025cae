/** Ids of the rules in `streams`, used by pushes to address one rule. */

const MAX_ID = 63;

/**
 * The `id` of each rule, or an id derived from `match`: `zigbee2mqtt/{device}` -> `zigbee2mqtt-device`; a second rule with
 * the same pattern gets `-2`. Configured ids are not changed, even duplicates.
 */
export function ruleIds(
  rules: readonly { readonly id?: string | undefined; readonly match: string }[],
): string[] {
  const taken = new Set(rules.flatMap(({ id }) => id ?? []));
  return rules.map(({ id, match }) => {
    if (id !== undefined) return id;
    const wanted = derived(match);
    let unique = wanted;
    for (let n = 2; taken.has(unique); n += 1) unique = `${wanted.slice(0, MAX_ID - 5)}-${n}`;
    taken.add(unique);
    return unique;
  });
}

function derived(match: string): string {
  const words = match
    .replaceAll('+', 'any')
    .replaceAll('#', 'all')
    .replaceAll(/[^A-Za-z0-9_.-]+/g, '-')
    .replaceAll(/^[^A-Za-z0-9]+|-+$/g, '');
  return words.slice(0, MAX_ID) || 'rule';
}
