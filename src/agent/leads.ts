/** The leads that were published as plain numbers: their retained messages outlive the run, and the config, that asked for them. */
import type { Store } from '../store/store-contract.ts';

const KEY = 'agent.leads';

/** @returns what was there before, and remembers what is now. */
export function swapLeads(
  store: Pick<Store, 'getMeta' | 'setMeta'>,
  leads: readonly string[],
): readonly string[] {
  const before = store.getMeta(KEY);
  const now = JSON.stringify(leads);
  if (before !== now) store.setMeta(KEY, now);
  try {
    const found: unknown = JSON.parse(before ?? '[]');
    return Array.isArray(found) ? found.filter((value) => typeof value === 'string') : [];
  } catch {
    return [];
  }
}
