/** Feeding a broker from a file: everything arrives in order, refusals are counted, a broker that goes away is an error. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { validateConfig } from '../../src/config/index.ts';
import { Feeder } from '../../src/mqtt/feeder.ts';
import { brokerOptions, plainBrokerOptions, readSecrets } from '../../src/mqtt/options.ts';
import { cleanupsOfFile } from '../support/cleanups.ts';
import { freePort, hasMosquitto, startMosquitto, watch } from '../support/mosquitto.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

const temp = tempDirs();
const cleanups = cleanupsOfFile();
async function broker(config?: string) {
  const started = await startMosquitto(config);
  cleanups.push(() => started.stop());
  return started;
}
const message = (text: string) => ({ topic: 'f/a', payload: text, qos: 1 as const, retain: false });
const unreachable = (text: string) =>
  expect.objectContaining({ code: 'BROKER_UNREACHABLE', message: expect.stringContaining(text) });

describe.skipIf(!hasMosquitto).concurrent('a feeder', () => {
  it('sends everything in order, also to a broker with a small window, and disconnects', async () => {
    for (const config of [
      'allow_anonymous true\nmax_queued_messages 5000',
      'allow_anonymous true\nmax_inflight_messages 3',
    ]) {
      const { url } = await broker(config);
      const eyes = await watch(url, 'f/#');
      cleanups.push(() => eyes.close());
      const feeder = await Feeder.connect(plainBrokerOptions(url, 'feeder'));
      for (let i = 0; i < 400; i++) await feeder.send(message(String(i)));
      await feeder.finish();
      await waitFor('all', () => eyes.seen.length === 400);
      expect(eyes.seen.map(({ text }) => Number(text))).toEqual([...Array(400).keys()]);
      expect(feeder.refused).toBe(0);
    }
  });

  it('counts what the broker refuses', async () => {
    const acl = join(temp(), 'acl');
    writeFileSync(acl, 'topic readwrite other/#\n');
    const { url } = await broker(`allow_anonymous true\nacl_file ${acl}`);
    const feeder = await Feeder.connect(plainBrokerOptions(url, 'feeder'));
    for (let i = 0; i < 3; i++) await feeder.send(message('no'));
    await feeder.send({ ...message('yes'), topic: 'other/a' });
    await feeder.finish();
    expect(feeder.refused).toBe(3);
  });

  it('uses 3.1.1 with a broker that closes connections of version 5, unless the config demands 5', async () => {
    const levels: number[] = [];
    const server = createServer((socket: Socket) => {
      socket.on('error', () => {});
      socket.once('data', (data) => {
        // CONNECT: type, length, "MQTT", level.
        const level = data[8] ?? 0;
        levels.push(level);
        if (level === 5) socket.destroy();
        else socket.write(Buffer.from([0x20, 2, 0, 0]));
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanups.push(() => server.close());
    const { port } = server.address() as { port: number };
    const options = plainBrokerOptions(`mqtt://127.0.0.1:${port}`, 'feeder');
    const feeder = await Feeder.connect(options);
    expect(levels).toEqual([5, 4]);
    feeder.abort();
    await expect(Feeder.connect({ ...options, version: '5' })).rejects.toThrow(unreachable(options.url));
    (await Feeder.connect({ ...options, version: '3.1.1' })).abort();
    expect(levels).toEqual([5, 4, 5, 4]);
  });

  it('fails when no broker answers, and when the broker goes away while it waits', async () => {
    const nobody = `mqtt://127.0.0.1:${await freePort()}`;
    await expect(Feeder.connect(plainBrokerOptions(nobody, 'feeder'))).rejects.toThrow(
      unreachable('ECONNREFUSED'),
    );
    const up = await broker();
    const feeder = await Feeder.connect(plainBrokerOptions(up.url, 'feeder'));
    up.signal('SIGSTOP');
    const sending = (async () => {
      for (let i = 0; i < 500; i++) await feeder.send(message('x'));
    })();
    setTimeout(() => {
      up.signal('SIGKILL');
      up.signal('SIGCONT');
    }, 50);
    await expect(sending).rejects.toThrow(unreachable(up.url));
    await expect(feeder.finish()).rejects.toThrow(unreachable(up.url));
  });
});

describe('the options of a connection', () => {
  const config = (mqtt: Record<string, unknown>) =>
    validateConfig({ node: 'n', mqtt: { url: 'mqtt://b', ...mqtt }, streams: [{ match: 's' }] }).mqtt;

  it('are those of the config', () => {
    const set = {
      url: 'mqtts://b',
      username: 'u',
      password_file: '/p',
      ca: '/ca',
      cert: '/cert',
      key: '/key',
      version: '5',
      keepalive: '20s',
      connect_timeout: '7s',
      max_backoff: '3m',
      session_expiry: '2h',
      outbox: 77,
    };
    expect(brokerOptions(config(set), 'default')).toEqual({
      url: 'mqtts://b',
      username: 'u',
      passwordFile: '/p',
      ca: '/ca',
      cert: '/cert',
      key: '/key',
      clientId: 'default',
      version: '5',
      keepaliveMs: 20_000,
      connectTimeoutMs: 7000,
      maxBackoffMs: 180_000,
      sessionExpiryMs: 7_200_000,
      outbox: 77,
      maxPacketBytes: 17 * 2 ** 20,
    });
    expect(brokerOptions(config({ client_id: 'own' }), 'default').clientId).toBe('own');
  });

  it('refuse certificates on a connection that does not use them, and name each key', () => {
    for (const url of ['mqtts://b', 'wss://b'])
      expect(brokerOptions(config({ url, ca: '/ca' }), 'n').ca).toBe('/ca');
    for (const url of ['mqtt://b', 'ws://b', 'tcp://b'])
      expect(() => brokerOptions(config({ url, ca: '/ca', key: '/key', cert: '/cert' }), 'n')).toThrow(
        expect.objectContaining({
          code: 'CONFIG_INVALID',
          issues: ['ca', 'cert', 'key'].map((key) => expect.objectContaining({ path: `mqtt.${key}` })),
        }),
      );
  });

  it('read secrets anew: a password without its line end, and one that was typed goes first', () => {
    const dir = temp();
    const file = join(dir, 'password');
    const options = { ...plainBrokerOptions('mqtt://b', 'n'), passwordFile: file };
    for (const [text, password] of [
      ['geheim\n', 'geheim'],
      ['ge heim\r\n', 'ge heim'],
      ['geheim\n\n', 'geheim\n'],
      ['two\nlines', 'two\nlines'],
      ['', ''],
    ]) {
      writeFileSync(file, text ?? '');
      expect(readSecrets(options).password?.toString()).toBe(password);
    }
    expect(readSecrets({ ...options, password: 'typed' }).password?.toString()).toBe('typed');
    expect(readSecrets(plainBrokerOptions('mqtt://b', 'n'))).toEqual({});
    writeFileSync(join(dir, 'ca'), 'CA');
    expect(readSecrets({ ...plainBrokerOptions('mqtt://b', 'n'), ca: join(dir, 'ca') }).ca?.toString()).toBe(
      'CA',
    );
    expect(() => readSecrets({ ...options, key: join(dir, 'none') })).toThrow(
      expect.objectContaining({
        code: 'FILE_UNREADABLE',
        message: expect.stringMatching(/^mqtt\.key: .*none/),
        hint: 'check that the file exists and that the user that gatecast runs as may read it',
      }),
    );
  });
});
