/** Lists of the last run that outlive it at the broker: what was subscribed to, and which leads were published as numbers. */
import type { Store } from '../store/store-contract.ts';

const KEYS = { filters: 'agent.filters', leads: 'agent.leads' } as const;

/** @returns what was there before, and remembers what is now. */
export function swapFormer(
  store: Pick<Store, 'getMeta' | 'setMeta'>,
  list: keyof typeof KEYS,
  values: readonly string[],
): readonly string[] {
  const before = store.getMeta(KEYS[list]);
  const now = JSON.stringify(values);
  if (before !== now) store.setMeta(KEYS[list], now);
  try {
    const found: unknown = JSON.parse(before ?? '[]');
    return Array.isArray(found) ? found.filter((value) => typeof value === 'string') : [];
  } catch {
    return [];
  }
}
