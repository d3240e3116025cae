/** What the agent remembers, from run to run, of its session with the broker: a kept session goes on delivering what a former run subscribed to. */
import type { BrokerOptions } from '../mqtt/options.ts';
import type { SessionMemory } from '../mqtt/session-filters.ts';
import type { Store } from '../store/store-contract.ts';

const KEY = 'agent.session';

/** Known only where the data directory has met this broker under this client id, last of all. */
export function sessionMemory(
  store: Pick<Store, 'getMeta' | 'setMeta'>,
  { url, clientId }: Pick<BrokerOptions, 'url' | 'clientId'>,
): SessionMemory {
  let text = store.getMeta(KEY);
  return {
    former: filtersIn(text, url, clientId),
    remember: (filters) => {
      const now = JSON.stringify({ url, clientId, filters });
      if (now !== text) store.setMeta(KEY, now);
      text = now;
    },
  };
}

function filtersIn(text: string | null, url: string, clientId: string): readonly string[] | null {
  try {
    const found = JSON.parse(text ?? 'null') as Record<string, unknown> | null;
    if (found?.url !== url || found.clientId !== clientId || !Array.isArray(found.filters)) return null;
    return found.filters.filter((filter) => typeof filter === 'string');
  } catch {
    return null;
  }
}
