/** What the client must do with every broker. */
import { expect } from 'vitest';
import type { Client } from '../../src/mqtt/client.ts';
import type { Incoming } from '../../src/mqtt/connection.ts';
import { plainBrokerOptions } from '../../src/mqtt/options.ts';
import { tryBroker } from '../../src/mqtt/trial.ts';
import { systemClock } from '../../src/system/clock.ts';
import { testClient } from './client.ts';
import { watch } from './mosquitto.ts';
import { waitFor } from './wait.ts';

export async function keepsBrokerContract(url: string, topics: readonly string[]): Promise<Client> {
  const eyes = await watch(url, 'g/#', { protocolVersion: 4 });
  const received: string[] = [];
  const message = ({ payload, acknowledge }: Incoming) => {
    received.push(Buffer.from(payload).toString());
    acknowledge?.();
  };
  const make = () => testClient(url, { maxBackoffMs: 500 }, { message });
  const first = make();
  first.setSubscriptions([{ filter: 's/+', qos: 1 }]);
  first.start();
  await waitFor('online', () => eyes.on('g/n/status').some(({ text }) => text === 'online'));
  let pinged = false;
  first.ping(() => {
    pinged = true;
  });
  await waitFor('the answer to a ping', () => pinged);
  for (let i = 0; i < 500; i++) first.publish({ topic: `g/n/f/${i}`, payload: 'F', qos: 1, retain: true });
  for (const topic of topics) first.publish({ topic, payload: 'T', qos: 1, retain: true });
  await waitFor('forecasts', () => eyes.seen.filter(({ text }) => text === 'F').length >= 500);
  await eyes.client.publishAsync('s/1', 'live', { qos: 1 });
  await waitFor('a reading', () => received.includes('live'));
  await waitFor('the outbox', () => first.status().outbox === 0);
  await waitFor('the connection', () => first.status().connected);
  await first.stop([]);
  // The broker keeps what comes meanwhile.
  await eyes.client.publishAsync('s/1', 'kept', { qos: 1 });
  const second = make();
  second.setSubscriptions([{ filter: 's/+', qos: 1 }]);
  second.start();
  await waitFor('what was kept', () => received.includes('kept'));
  expect(second.status()).toMatchObject({ connected: true, resumed: true, protocol: '3.1.1' });
  await second.stop([]);
  await tryBroker(plainBrokerOptions(url, 'me'), 'g/n/trial', systemClock);
  await eyes.close();
  return first;
}
