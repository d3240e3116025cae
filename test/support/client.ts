/** The MQTT client of the agent in a test: the real clock, no log, and a status message for birth and will. */
import { silentLogger } from '../../src/log.ts';
import { Client, type ClientParts } from '../../src/mqtt/client.ts';
import { type BrokerOptions, plainBrokerOptions } from '../../src/mqtt/options.ts';
import { type Clock, systemClock } from '../../src/system/clock.ts';

export const status = (payload: string) => ({ topic: 'g/n/status', payload, qos: 1, retain: true }) as const;

/** The real clock, on which long timers run earlier. */
export const fasterClock = (times: number): Clock => ({
  ...systemClock,
  after: (delayMs, action) => systemClock.after(delayMs >= 10_000 ? delayMs / times : delayMs, action),
});

/** A client that keeps its session for a minute and connects again within 200 ms. */
export function testClient(
  url: string,
  options: Partial<BrokerOptions> = {},
  parts: Partial<ClientParts> = {},
): Client {
  return new Client({
    options: {
      ...plainBrokerOptions(url, 'gatecast-test'),
      sessionExpiryMs: 60_000,
      maxBackoffMs: 200,
      ...options,
    },
    clock: systemClock,
    random: () => 0,
    log: silentLogger,
    will: () => status('offline'),
    birth: () => [status('online')],
    message: () => {},
    session: { former: [], remember: () => {} },
    ...parts,
  });
}
