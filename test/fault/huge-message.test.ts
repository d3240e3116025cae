/** A message of 200 MB and the client: MQTT 3.1.1 has no limit that a broker would keep to. */
import { expect, it } from 'vitest';
import { cleanupsOfTest } from '../support/cleanups.ts';
import { testClient } from '../support/client.ts';
import { hasMosquitto, startMosquitto, watch } from '../support/mosquitto.ts';
import { waitFor } from '../support/wait.ts';

const cleanups = cleanupsOfTest();

it.skipIf(!hasMosquitto)('is not killed by 200 MB over MQTT 3.1.1, which cannot name a limit', async () => {
  const up = await startMosquitto();
  cleanups.push(() => up.stop());
  const texts: string[] = [];
  const client = testClient(
    up.url,
    { version: '3.1.1' },
    { message: ({ payload }) => texts.push(Buffer.from(payload).toString()) },
  );
  cleanups.push(() => client.stop([], 200));
  client.setSubscriptions([{ filter: 'big/#', qos: 1 }]);
  client.start();
  await waitFor('the connection', () => client.status().connected);
  const feeder = await watch(up.url, 'none');
  cleanups.push(() => feeder.close());
  const before = process.memoryUsage().rss;
  let most = 0;
  const meter = setInterval(() => {
    most = Math.max(most, process.memoryUsage().rss);
  }, 5);
  cleanups.push(() => clearInterval(meter));
  // A retained one comes again with each subscription.
  const payload = Buffer.alloc(200 * 2 ** 20);
  const own = process.memoryUsage().rss - before;
  await feeder.client.publishAsync('big/one', payload, { qos: 1, retain: true });
  await feeder.client.publishAsync('big/two', 'small', { qos: 1 });
  await waitFor('the small one', () => texts.includes('small'));
  expect(client.status()).toMatchObject({ connects: 1, connected: true, dropped: { 'oversize-in': 1 } });
  expect(client.status().skipped).toMatch(/^big\/one \(2097152\d\d bytes\)$/);
  // The sender lives in this process too, and holds the payload once.
  expect(most - before - own).toBeLessThan(350 * 2 ** 20);
});
