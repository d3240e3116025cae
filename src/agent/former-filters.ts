/** The subscriptions of the last run: a session that the broker kept still has them, wanted or not. */
import type { Store } from '../store/store-contract.ts';

const KEY = 'agent.filters';

/** @returns what was subscribed before, and remembers what is now. */
export function swapFilters(
  store: Pick<Store, 'getMeta' | 'setMeta'>,
  filters: readonly string[],
): readonly string[] {
  const before = store.getMeta(KEY);
  const now = JSON.stringify(filters);
  if (before !== now) store.setMeta(KEY, now);
  try {
    const list: unknown = JSON.parse(before ?? '[]');
    return Array.isArray(list) ? list.filter((filter) => typeof filter === 'string') : [];
  } catch {
    return [];
  }
}
