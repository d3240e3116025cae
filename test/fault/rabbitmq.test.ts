/** Fault 34: RabbitMQ's MQTT plugin, which offers less than MQTT asks for. */
import { expect, it } from 'vitest';
import { keepsBrokerContract } from '../support/broker-contract.ts';
import { fasterClock, testClient } from '../support/client.ts';
import { watch } from '../support/mosquitto.ts';
import { hasRabbit, startRabbit } from '../support/other-brokers.ts';
import { waitFor } from '../support/wait.ts';

it.skipIf(!hasRabbit)('RabbitMQ: MQTT 3.1.1, sessions, acknowledgements, `max_message_size`', async () => {
  const broker = await startRabbit(['max_message_size = 8192']);
  try {
    const contract = await keepsBrokerContract(broker.url, ['g/n/with.dot']);
    expect(contract.status().dropped).toEqual({});

    // A message above the limit is never acknowledged, nor is any behind it; pings are answered.
    const eyes = await watch(broker.url, 'g/#', { protocolVersion: 4 });
    const client = testClient(broker.url, {}, { clock: fasterClock(10), probeTopic: 'g/n/trial' });
    client.start();
    const publish = (topic: string, payload: string) =>
      client.publish({ topic, payload, qos: 1, retain: true });
    publish('g/n/forecast/a', 'A');
    publish('g/n/forecast/b', 'x'.repeat(20_000));
    publish('g/n/forecast/c', 'C');
    await waitFor('all messages', () => client.status().outbox === 0);
    await waitFor('the others', () => ['A', 'C'].every((text) => eyes.seen.some((one) => one.text === text)));
    await waitFor('the connection', () => client.status().connected);
    expect(client.status().dropped).toEqual({ 'set-aside': 1 });
    expect(client.status().limits).toContain(`at most ${client.maxMessageBytes} bytes`);
    expect(client.maxMessageBytes).toBe(20_000 + 'g/n/forecast/b'.length - 1);
    publish('g/n/forecast/b', 'B');
    await waitFor('the next forecast', () => eyes.seen.some(({ text }) => text === 'B'));
    await client.stop([]);
    await eyes.close();
  } finally {
    await broker.stop();
  }
});
