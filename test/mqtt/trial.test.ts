import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { plainBrokerOptions } from '../../src/mqtt/options.ts';
import { tryBroker } from '../../src/mqtt/trial.ts';
import { systemClock } from '../../src/system/clock.ts';
import { cleanupsOfTest } from '../support/cleanups.ts';
import { status, testClient } from '../support/client.ts';
import { freePort, hasMosquitto, type Mosquitto, startMosquitto, watch } from '../support/mosquitto.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

const temp = tempDirs();
const cleanups = cleanupsOfTest();
async function broker(config?: string): Promise<Mosquitto> {
  const started = await startMosquitto(config);
  cleanups.push(() => started.stop());
  return started;
}

describe.skipIf(!hasMosquitto)('another broker or credential', () => {
  it.each(['', 'max_qos 0'])('passes the trial with a round trip, in each version: %s', async (setting) => {
    const { url } = await broker(`allow_anonymous true\n${setting}`);
    for (const version of ['auto', '5', '3.1.1'] as const)
      await tryBroker({ ...plainBrokerOptions(url, 'me'), version }, 'g/n/trial', systemClock);
  });

  it('fails with the step that failed', async () => {
    const dir = temp();
    writeFileSync(join(dir, 'acl'), 'topic readwrite other/#\n');
    const passwords = join(dir, 'passwords');
    writeFileSync(passwords, '');
    execFileSync('mosquitto_passwd', ['-b', passwords, 'me', 'right']);
    writeFileSync(join(dir, 'wrong'), 'wrong');
    const locked = await broker(`allow_anonymous false\npassword_file ${passwords}`);
    const closed = await broker(`allow_anonymous true\nacl_file ${join(dir, 'acl')}`);
    const fails = (options: Parameters<typeof tryBroker>[0], connectTimeoutMs = 1500) =>
      tryBroker({ ...options, connectTimeoutMs }, 'g/n/trial', systemClock).then(
        () => 'proven',
        (error) => `${error.code} ${error.message}`,
      );
    expect(await fails(plainBrokerOptions(`mqtt://127.0.0.1:${await freePort()}`, 'me'))).toMatch(
      /ECONNREFUSED/,
    );
    const wrong = {
      ...plainBrokerOptions(locked.url, 'me'),
      username: 'me',
      passwordFile: join(dir, 'wrong'),
    };
    expect(await fails(wrong)).toMatch(/BROKER_UNREACHABLE .*login was refused/);
    expect(await fails(plainBrokerOptions(closed.url, 'me'))).toMatch(/refuses|did not deliver/);
    const silent = createServer().listen(0, '127.0.0.1');
    cleanups.push(() => void silent.close());
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    expect(await fails(plainBrokerOptions(`mqtt://127.0.0.1:${port}`, 'me'), 100)).toMatch(
      /no answer from the broker/,
    );
    expect(await fails({ ...wrong, passwordFile: join(dir, 'none') })).toMatch(/FILE_UNREADABLE/);
  });

  it('receives all waiting messages after the switch; the old broker receives the last status', async () => {
    const old = await broker();
    const next = await broker();
    const oldEyes = await watch(old.url, 'g/#');
    const nextEyes = await watch(next.url, 'g/#');
    cleanups.push(
      () => oldEyes.close(),
      () => nextEyes.close(),
    );
    const received: string[] = [];
    const client = testClient(
      old.url,
      { clientId: 'me' },
      {
        message: ({ payload, acknowledge }) => {
          received.push(Buffer.from(payload).toString());
          acknowledge?.();
        },
      },
    );
    cleanups.push(() => client.stop([], 200));
    client.setSubscriptions([{ filter: 'in', qos: 1 }]);
    client.start();
    await waitFor('the first connection', () => client.status().connected);
    client.switchTo({ ...plainBrokerOptions(next.url, 'me'), sessionExpiryMs: 60_000 }, [status('moved')], {
      former: null,
      remember: () => {},
    });
    client.publish({ topic: 'g/n/f', payload: 'forecast', qos: 1, retain: true });
    await waitFor('the forecast at the new broker', () => nextEyes.on('g/n/f').length === 1);
    await waitFor('the subscription', () => client.status().connected);
    await nextEyes.client.publishAsync('in', 'hello', { qos: 1 });
    await waitFor('a message of the new broker', () => received.includes('hello'));
    expect(nextEyes.on('g/n/status').at(-1)?.text).toBe('online');
    expect(oldEyes.on('g/n/status').map((message) => message.text)).toEqual(['online', 'moved']);
    expect(client.status()).toMatchObject({ connects: 2, dropped: {}, outbox: 0 });
  });
});
