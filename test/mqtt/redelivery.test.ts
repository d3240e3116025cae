/** What a broker sends again because its acknowledgement was lost is known again, and nothing else is. */
import { describe, expect, it } from 'vitest';
import type { Incoming } from '../../src/mqtt/connection.ts';
import { Redelivery } from '../../src/mqtt/redelivery.ts';
import { cleanupsOfTest } from '../support/cleanups.ts';
import { testClient } from '../support/client.ts';
import { hasMosquitto, startMosquitto, watch } from '../support/mosquitto.ts';
import { startProxy } from '../support/proxy.ts';
import { waitFor } from '../support/wait.ts';

const cleanups = cleanupsOfTest();
const bytes = (text: string) => Buffer.from(text);

describe('Redelivery', () => {
  it('recognises a message of an earlier connection by packet identifier, DUP flag and content', () => {
    const redelivery = new Redelivery();
    redelivery.begin(false);
    expect(redelivery.again(1, false, 's/a', bytes('20'))).toBe(false);
    expect(redelivery.again(2, false, 's/a', bytes('20'))).toBe(false);
    // Within one connection nothing is a repetition.
    expect(redelivery.again(1, true, 's/a', bytes('20'))).toBe(false);
    redelivery.begin(true);
    expect(redelivery.again(1, true, 's/a', bytes('20'))).toBe(true);
    expect(redelivery.again(2, false, 's/a', bytes('20'))).toBe(false);
    redelivery.begin(true);
    // Lost once more: what was repeated can be repeated again. Another message with the identifier of an old one is new.
    expect(redelivery.again(1, true, 's/a', bytes('20'))).toBe(true);
    expect(redelivery.again(2, true, 's/b', bytes('20'))).toBe(false);
    redelivery.begin(false);
    expect(redelivery.again(1, true, 's/a', bytes('20'))).toBe(false);
  });

  it('remembers a bounded number of messages', () => {
    const redelivery = new Redelivery();
    redelivery.begin(false);
    for (let id = 1; id <= 3000; id++) redelivery.again(id, false, 's', bytes(String(id)));
    redelivery.begin(true);
    expect(redelivery.again(1, true, 's', bytes('1'))).toBe(false);
    expect(redelivery.again(3000, true, 's', bytes('3000'))).toBe(true);
  });
});

it.skipIf(!hasMosquitto)(
  'the client marks messages that the broker repeats because they were not acknowledged',
  async () => {
    const broker = await startMosquitto();
    cleanups.push(() => broker.stop());
    const proxy = await startProxy(broker.port);
    cleanups.push(() => proxy.stop());
    const received: Incoming[] = [];
    const message = (one: Incoming) => received.push({ ...one, payload: Buffer.from(one.payload) });
    const client = testClient(proxy.url, { maxBackoffMs: 50 }, { message });
    cleanups.push(() => client.stop([], 100));
    client.setSubscriptions([{ filter: 'n/#', qos: 1 }]);
    client.start();
    await waitFor('the connection', () => client.status().connected);
    const feeder = await watch(broker.url, 'none');
    cleanups.push(() => feeder.close());
    for (let i = 0; i < 5; i++) await feeder.client.publishAsync('n/a', '20', { qos: 1 });
    await waitFor('five', () => received.length === 5);
    received[0]?.acknowledge?.();
    await waitFor('the acknowledgement', () => client.status().connected);
    await feeder.client.publishAsync('n/b', 'x', { qos: 1 });
    await waitFor('the sixth', () => received.length === 6);
    proxy.cut();
    await waitFor('the loss', () => !client.status().connected);
    await feeder.client.publishAsync('n/a', '20', { qos: 1 });
    proxy.restore();
    await waitFor('what was not acknowledged, and the new one', () => received.length >= 12);
    expect(received.slice(6).map(({ again }) => again)).toEqual([true, true, true, true, true, false]);
    for (const { acknowledge } of received.slice(6)) acknowledge?.();
  },
);
