/** Subscribes on a broker for a while: read-only, in a clean session. */
import type { Incoming } from '../../mqtt/connection.ts';
import type { BrokerOptions } from '../../mqtt/options.ts';
import { widest } from '../../mqtt/subscriptions.ts';
import { openLink } from './broker.ts';

interface ListenOptions {
  readonly options: BrokerOptions;
  readonly filters: readonly string[];
  /** Called when the subscriptions are made; resolves when listening ends. */
  readonly until: () => Promise<unknown>;
  readonly message: (message: Incoming) => void;
}

/** @returns the filters that the broker refused @throws GatecastError BROKER_UNREACHABLE, or FILE_UNREADABLE for a secret */
export async function listen({
  options,
  filters,
  until,
  message,
}: ListenOptions): Promise<readonly string[]> {
  const link = await openLink(options, message);
  try {
    const first = widest(filters);
    const refused = await link.trySubscribe(first, 0);
    // A broker that refuses '#' may accept the narrower filters.
    const rest = filters.filter((filter) => !first.includes(filter));
    if (refused.length > 0 && rest.length > 0) refused.push(...(await link.trySubscribe(rest, 0)));
    await Promise.race([until(), link.ended]);
    return refused;
  } finally {
    await link.close();
  }
}
