import { expect, it } from 'vitest';
import { keepsBrokerContract } from '../support/broker-contract.ts';
import { hasNats, startNats } from '../support/other-brokers.ts';

it.skipIf(!hasNats)(
  'nats-server: all but topics with dots and spaces, which it closes the connection for',
  async () => {
    const broker = await startNats();
    try {
      const client = await keepsBrokerContract(broker.url, ['g/n/with.dot', 'g/n/with space']);
      expect(client.status().dropped).toEqual({ 'set-aside': 2 });
    } finally {
      await broker.stop();
    }
  },
);
