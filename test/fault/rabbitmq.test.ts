/** Fault 34: RabbitMQ's MQTT plugin, which offers less than MQTT asks for. */
import { expect, it } from 'vitest';
import { keepsBrokerContract } from '../support/broker-contract.ts';
import { hasRabbit, startRabbit } from '../support/other-brokers.ts';

it.skipIf(!hasRabbit)('RabbitMQ: MQTT 3.1.1, sessions, acknowledgements', async () => {
  const broker = await startRabbit();
  try {
    const client = await keepsBrokerContract(broker.url, ['g/n/with.dot']);
    expect(client.status().dropped).toEqual({});
  } finally {
    await broker.stop();
  }
});
