import { writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { Aedes } from 'aedes';
import mqtt from 'mqtt';
import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/log.ts';
import type { Client, ClientParts } from '../../src/mqtt/client.ts';
import type { Incoming } from '../../src/mqtt/connection.ts';
import type { BrokerOptions } from '../../src/mqtt/options.ts';
import { systemClock } from '../../src/system/clock.ts';
import { cleanupsOfTest } from '../support/cleanups.ts';
import { status, testClient } from '../support/client.ts';
import {
  freePort,
  hasMosquitto,
  type Mosquitto,
  startMosquitto,
  type Watcher,
  watch,
} from '../support/mosquitto.ts';
import { startProxy } from '../support/proxy.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const temp = tempDirs();
const cleanups = cleanupsOfTest();

async function broker(config?: string): Promise<Mosquitto> {
  const started = await startMosquitto(config);
  cleanups.push(() => started.stop());
  return started;
}
async function watching(url: string, filter: string): Promise<Watcher> {
  const watcher = await watch(url, filter);
  cleanups.push(() => watcher.close());
  return watcher;
}
const event = (payload: string, qos: 0 | 1 = 1) =>
  ({ topic: 'g/n/event', payload, qos, retain: false }) as const;
const retained = (topic: string, payload: string) => ({ topic, payload, qos: 1, retain: true }) as const;

interface Made {
  client: Client;
  received: Incoming[];
  texts: () => string[];
}
function make(url: string, options: Partial<BrokerOptions> = {}, parts: Partial<ClientParts> = {}): Made {
  const received: Incoming[] = [];
  const message = (one: Incoming) => received.push({ ...one, payload: Buffer.from(one.payload) });
  const client = testClient(url, options, { message, ...parts });
  cleanups.push(() => client.stop([], 200));
  return { client, received, texts: () => received.map((m) => Buffer.from(m.payload).toString()) };
}
const connected = (client: Client) => waitFor('the connection', () => client.status().connected);

describe.skipIf(!hasMosquitto)('Client and Mosquitto', () => {
  it('gets messages in their order, whatever the order in which they are acknowledged', async () => {
    const { url } = await broker();
    const order: number[] = [];
    const held: (() => void)[] = [];
    const { client } = make(
      url,
      {},
      {
        message: ({ payload, acknowledge }) => {
          const number = Number(Buffer.from(payload).toString());
          order.push(number);
          if (number % 3 === 0 && acknowledge !== null) held.push(acknowledge);
          else acknowledge?.();
        },
      },
    );
    client.setSubscriptions([{ filter: 's/+', qos: 1 }]);
    client.start();
    await connected(client);
    const sender = await mqtt.connectAsync(url);
    await sender.publishAsync('s/1', '-1', { qos: 1, retain: true });
    await waitFor('the subscription', () => order.length > 0);
    const numbers = Array.from({ length: 300 }, (_, at) => at);
    for (const at of numbers) await sender.publishAsync('s/1', String(at), { qos: 1 });
    while (order.length <= numbers.length) {
      // The newest first.
      held.pop()?.();
      await sleep(2);
    }
    await sender.endAsync();
    expect(order).toEqual([-1, ...numbers]);
  });

  it('suspects another client with its id that takes its place again and again', async () => {
    const { url } = await broker();
    const faults: string[] = [];
    const clock = { ...systemClock, after: (ms: number, go: () => void) => systemClock.after(ms / 50, go) };
    const changed: ClientParts['changed'] = ({ fault }) => fault !== null && faults.push(fault);
    for (const parts of [{ clock, changed }, { clock }])
      make(url, { maxBackoffMs: 60_000 }, parts).client.start();
    const suspicion = /another client with the id "gatecast-test"/;
    await waitFor('the suspicion', () => faults.some((fault) => suspicion.test(fault)));
    expect(faults[0]).not.toMatch(/another client/);
  });

  it('says that it is there, and that it went', async () => {
    const { url } = await broker();
    const eyes = await watching(url, 'g/#');
    const { client } = make(url);
    client.start();
    await waitFor('online', () => eyes.on('g/n/status').length === 1);
    expect(client.status()).toMatchObject({ connected: true, protocol: '5', connects: 1, fault: null });
    await client.stop([status('offline, with a word')]);
    await waitFor('offline', () => eyes.on('g/n/status').length === 2);
    await sleep(100);
    expect(eyes.on('g/n/status').map((m) => m.text)).toEqual(['online', 'offline, with a word']);
  });

  it('starts without a broker, and says online again after every return of it', async () => {
    const port = await freePort();
    const { client } = make(`mqtt://127.0.0.1:${port}`);
    client.start();
    await waitFor('a fault', () => client.status().fault);
    expect(client.status().fault).toMatch(/ECONNREFUSED/);
    expect(client.status().connected).toBe(false);

    const up = await broker();
    const second = make(up.url);
    second.client.start();
    await connected(second.client);
    for (let round = 2; round <= 3; round++) {
      up.signal('SIGKILL');
      await waitFor('the loss', () => !second.client.status().connected);
      await up.restart();
      const eyes = await watching(up.url, 'g/#');
      await waitFor('online', () => eyes.on('g/n/status').some((m) => m.text === 'online'));
      expect(second.client.status().connects).toBe(round);
    }
  });

  it('keeps what was published meanwhile: retained ones newest only, others in order, bounded', async () => {
    const { port, url } = await broker();
    const eyes = await watching(url, 'g/#');
    const network = await startProxy(port);
    cleanups.push(() => network.stop());
    const { client } = make(network.url, { outbox: 8 });
    client.start();
    await waitFor('online', () => eyes.seen.length === 1);
    network.cut();
    await waitFor('the loss', () => !client.status().connected && eyes.on('g/n/status').length === 2);
    for (let i = 0; i < 10; i++) client.publish(event(`e${i}`));
    for (let i = 0; i < 5; i++) client.publish(retained('g/n/forecast/a', `f${i}`));
    client.publish(retained('g/n/forecast/b', 'fb'));
    expect(client.status()).toMatchObject({ outbox: 8, dropped: { 'outbox-full': 4 } });
    network.restore();
    await waitFor('the outbox', () => client.status().outbox === 0);
    await waitFor('the last', () => eyes.on('g/n/forecast/b').length);
    await sleep(50);
    const texts = eyes.seen.map((m) => m.text);
    expect(texts.slice(0, 3)).toEqual(['online', 'offline', 'online']);
    expect(texts.slice(3)).toEqual(['e4', 'e5', 'e6', 'e7', 'e8', 'e9', 'f4', 'fb']);
  });

  it('sends a thousand messages in order, at either QoS', async () => {
    const { url } = await broker('allow_anonymous true\nmax_queued_messages 5000');
    const eyes = await watching(url, 'g/n/event');
    const { client } = make(url, { outbox: 3000 });
    client.start();
    await connected(client);
    for (let i = 0; i < 1000; i++) client.publish(event(String(i)));
    await waitFor('all', () => eyes.seen.length === 1000);
    expect(eyes.seen.map((m) => Number(m.text))).toEqual([...Array(1000).keys()]);
    for (let i = 0; i < 1000; i++) client.publish(event(String(i), 0));
    await waitFor('all', () => eyes.seen.length === 2000);
    expect(client.status().outbox).toBe(0);
  });

  it('acknowledges on request, late and in batches; the rest arrives again', async () => {
    const { url } = await broker();
    const feeder = await watching(url, 'nothing');
    const { client, received } = make(url);
    client.setSubscriptions([{ filter: 's/#', qos: 1 }]);
    client.start();
    await connected(client);
    for (let i = 0; i < 45; i++) await feeder.client.publishAsync('s/a', String(i), { qos: 1 });
    const holdsBack = () => new Promise<boolean>((resolve) => client.ping(resolve));
    // the broker's window, then nothing more: nothing was acknowledged
    await waitFor('the window', () => received.length === 20);
    expect(await holdsBack()).toBe(true);
    expect(received.length).toBe(20);
    // Acknowledgements that the broker has not read when it answers let nothing through.
    const answer = holdsBack();
    for (const message of received.slice(0, 20)) message.acknowledge!();
    expect(await answer).toBe(true);
    await waitFor('more', () => received.length >= 40);
    expect(await holdsBack()).toBe(true);
    for (const message of received.slice(20, 40)) message.acknowledge!();
    expect(await holdsBack()).toBe(false);
    expect(received.length).toBe(45);
    received[40]!.acknowledge!();
    received[40]!.acknowledge!();
    await sleep(50);
    await client.stop([]);

    const again = make(url);
    again.client.setSubscriptions([{ filter: 's/#', qos: 1 }]);
    again.client.start();
    await waitFor('what was not acknowledged', () => again.received.length === 4);
    expect(again.texts()).toEqual(['41', '42', '43', '44']);
    for (const message of again.received) message.acknowledge!();
  });

  it('receives at QoS 1 the messages sent while it was disconnected; at QoS 0 there is nothing to acknowledge', async () => {
    const { url } = await broker();
    const feeder = await watching(url, 'nothing');
    const first = make(url);
    first.client.setSubscriptions([{ filter: 's/+', qos: 1 }]);
    first.client.start();
    await connected(first.client);
    await feeder.client.publishAsync('s/a', 'zero', { qos: 0 });
    await waitFor('it', () => first.received.length === 1);
    expect(first.received[0]!.acknowledge).toBeNull();
    await first.client.stop([]);
    for (let i = 0; i < 5; i++) await feeder.client.publishAsync('s/a', String(i), { qos: 1 });
    const second = make(url);
    second.client.setSubscriptions([{ filter: 's/+', qos: 1 }]);
    second.client.start();
    await waitFor('them', () => second.received.length === 5);
    expect(second.texts()).toEqual(['0', '1', '2', '3', '4']);
    for (const message of second.received) message.acknowledge!();
  });

  it('changes its subscriptions while it runs, and takes back those of a former run', async () => {
    const { url } = await broker();
    const feeder = await watching(url, 'nothing');
    const first = make(url);
    first.client.setSubscriptions([{ filter: 'old/#', qos: 1 }]);
    first.client.start();
    await waitFor('the subscription', async () => {
      await feeder.client.publishAsync('old/x', 'earlier', { qos: 1 });
      return first.received.length > 0;
    });
    for (const { acknowledge } of first.received) acknowledge?.();
    await first.client.stop([]);

    const { client, texts } = make(url, {}, { session: { former: ['old/#', 'a/#'], remember: () => {} } });
    client.setSubscriptions([{ filter: 'a/#', qos: 0 }]);
    client.start();
    await connected(client);
    client.setSubscriptions([
      { filter: 'a/#', qos: 0 },
      { filter: 'b/#', qos: 0 },
    ]);
    await waitFor('the subscriptions', async () => {
      for (const topic of ['a/first', 'b/first']) await feeder.client.publishAsync(topic, topic, { qos: 1 });
      return ['a/first', 'b/first'].every((text) => texts().includes(text));
    });
    for (const topic of ['old/x', 'a/x', 'b/x']) await feeder.client.publishAsync(topic, topic, { qos: 1 });
    await waitFor('the last', () => texts().includes('b/x'));
    client.setSubscriptions([{ filter: 'b/#', qos: 0 }]);
    await waitFor('the end of the subscription', async () => {
      const before = texts().length;
      for (const topic of ['a/second', 'b/second'])
        await feeder.client.publishAsync(topic, topic, { qos: 1 });
      await waitFor('the second', () => texts().slice(before).includes('b/second'));
      return !texts().slice(before).includes('a/second');
    });
    for (const topic of ['old/y', 'a/y', 'b/y']) await feeder.client.publishAsync(topic, topic, { qos: 1 });
    await waitFor('the last again', () => texts().includes('b/y'));
    expect(texts().filter((text) => /[xy]$/.test(text))).toEqual(['a/x', 'b/x', 'b/y']);
  });

  const old = { filter: 'old/#', qos: 1 } as const;
  const own = { filter: 'a/#', qos: 1 } as const;
  /** A session that reads `old/#`, left with the broker, and a message in it. */
  const leaveSession = async (url: string, feeder: Watcher): Promise<void> => {
    const before = make(url);
    before.client.setSubscriptions([old]);
    before.client.start();
    await waitFor('the session', async () => {
      await feeder.client.publishAsync('old/x', 'first', { qos: 1 });
      return before.received.length > 0;
    });
    for (const { acknowledge } of before.received) acknowledge!();
    await before.client.stop([]);
    await feeder.client.publishAsync('old/x', 'queued', { qos: 1 });
  };

  it.each(['5', '3.1.1'] as const)(
    'begins a session of which nothing is known anew, once, and keeps it from then on (%s)',
    async (version) => {
      const { url } = await broker();
      const feeder = await watching(url, 'nothing');
      await leaveSession(url, feeder);
      let held: readonly string[] | null = null;
      const next = () =>
        make(
          url,
          { version },
          {
            session: {
              former: held,
              remember: (filters) => {
                held = filters;
              },
            },
          },
        );
      const second = next();
      second.client.setSubscriptions([own]);
      expect(held).toBeNull();
      second.client.start();
      await waitFor('the new subscription', async () => {
        await feeder.client.publishAsync('old/x', 'unwanted', { qos: 1 });
        await feeder.client.publishAsync('a/x', 'wanted', { qos: 1 });
        return second.received.length > 2;
      });
      expect(new Set(second.texts())).toEqual(new Set(['wanted']));
      expect(second.client.status().connects).toBe(1);
      expect(held).toEqual(['a/#']);
      for (const { acknowledge } of second.received) acknowledge!();
      await second.client.stop([]);

      await feeder.client.publishAsync('a/x', 'meanwhile', { qos: 1 });
      const third = next();
      third.client.setSubscriptions([own]);
      third.client.start();
      await waitFor('what came meanwhile', () => third.texts().includes('meanwhile'));
    },
  );

  it('remembers unwanted filters until the broker has unsubscribed them', async () => {
    const up = await broker();
    const feeder = await watching(up.url, 'nothing');
    await leaveSession(up.url, feeder);
    let held: readonly string[] = ['old/#'];
    const next = () =>
      make(
        up.url,
        {},
        {
          session: {
            former: held,
            remember: (filters) => {
              held = filters;
            },
          },
        },
      );
    // A run with another config that never gets to the broker: the session still reads the old topic.
    up.signal('SIGTERM');
    const away = next();
    away.client.setSubscriptions([own]);
    away.client.start();
    await waitFor('a failure', () => away.client.status().fault !== null);
    await away.client.stop([]);
    expect(held).toEqual(['a/#', 'old/#']);
    await up.restart();

    const { client, texts } = next();
    client.setSubscriptions([own]);
    client.start();
    await waitFor('the answer', () => !held.includes('old/#'));
    const later = await watching(up.url, 'nothing');
    await later.client.publishAsync('old/x', 'unwanted', { qos: 1 });
    await later.client.publishAsync('a/x', 'wanted', { qos: 1 });
    await waitFor('the wanted one', () => texts().includes('wanted'));
    expect(texts()).not.toContain('unwanted');
    expect(held).toEqual(['a/#']);
  });

  it('does not hear itself, and gets retained messages once', async () => {
    const up = await broker();
    const feeder = await watching(up.url, 'nothing');
    await feeder.client.publishAsync('g/n/event', 'kept', { qos: 1, retain: true });
    const { client, received, texts } = make(up.url);
    client.setSubscriptions([{ filter: 'g/n/event', qos: 1 }]);
    client.start();
    await waitFor('the retained one', () => received.length === 1);
    expect(received[0]!.retained).toBe(true);
    received[0]!.acknowledge!();
    client.publish(event('own'));
    await waitFor('the outbox', () => client.status().outbox === 0);
    await sleep(50);
    up.signal('SIGTERM');
    await waitFor('the loss', () => !client.status().connected);
    await up.restart();
    await connected(client);
    await sleep(100);
    expect(texts()).toEqual(['kept']);
  });

  it('counts and reports what an ACL forbids, and stays connected', async () => {
    const dir = temp();
    writeFileSync(join(dir, 'acl'), 'topic readwrite g/n/status\ntopic readwrite g/n/health\n');
    const { url } = await broker(`allow_anonymous true\nacl_file ${join(dir, 'acl')}`);
    const { client } = make(url);
    client.start();
    await connected(client);
    for (let i = 0; i < 5; i++) client.publish(event('x'));
    client.publish(retained('g/n/health', 'fine'));
    await waitFor('the outbox', () => client.status().outbox === 0);
    expect(client.status()).toMatchObject({ connected: true, connects: 1, dropped: { 'refused-out': 5 } });
  });

  it('logs in with a password file, and reports the problem without one', async () => {
    const dir = temp();
    writeFileSync(join(dir, 'password'), 'secret\n');
    writeFileSync(join(dir, 'users'), 'u:secret\n');
    const { execFileSync } = await import('node:child_process');
    execFileSync('mosquitto_passwd', ['-U', join(dir, 'users')]);
    const { url } = await broker(`allow_anonymous false\npassword_file ${join(dir, 'users')}`);
    const { client } = make(url);
    client.start();
    await waitFor('the refusal', () => client.status().fault);
    expect(client.status().fault).toMatch(/not authorized/i);
    const known = make(url, { clientId: 'other', username: 'u', passwordFile: join(dir, 'password') });
    known.client.start();
    await connected(known.client);
    const lost = make(url, { clientId: 'third', username: 'u', passwordFile: join(dir, 'nowhere') });
    lost.client.start();
    expect(lost.client.status().fault).toMatch(/nowhere/);
  });

  it('notices a broker that hangs', async () => {
    const up = await broker();
    const { client } = make(up.url, { keepaliveMs: 1000, connectTimeoutMs: 500 });
    client.start();
    await connected(client);
    up.signal('SIGSTOP');
    await waitFor('the loss', () => !client.status().connected);
    up.signal('SIGCONT');
    await connected(client);
  });

  it('has a session that outlives a restart of the broker, from the first connection on', async () => {
    const up = await broker();
    let answered = false;
    const parts = {
      // Nothing is known of an earlier run.
      session: { former: null, remember: () => {} },
      answered: () => {
        answered = true;
      },
    };
    const { client } = make(up.url, { sessionExpiryMs: 3_600_000 }, parts);
    client.setSubscriptions([{ filter: 's/#', qos: 1 }]);
    client.start();
    await waitFor('the subscription', () => answered);
    up.signal('SIGTERM');
    await waitFor('the loss', () => !client.status().connected);
    await up.restart();
    await waitFor('another connection', () => client.status().connected);
    expect(client.status().resumed).toBe(true);
  });

  it('has the broker publish its last will when it is killed', async () => {
    const { url } = await broker();
    const eyes = await watching(url, 'g/#');
    const code = `
      import { Client } from './src/mqtt/client.ts';
      import { plainBrokerOptions } from './src/mqtt/options.ts';
      import { systemClock } from './src/system/clock.ts';
      import { silentLogger } from './src/log.ts';
      const status = (payload) => ({ topic: 'g/n/status', payload, qos: 1, retain: true });
      new Client({ options: plainBrokerOptions('${url}', 'victim'), clock: systemClock, random: Math.random,
        log: silentLogger, will: () => status('offline'), birth: () => [status('online')], message: () => {} }).start();
    `;
    const { spawn } = await import('node:child_process');
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
      stdio: 'inherit',
    });
    cleanups.push(() => child.kill('SIGKILL'));
    await waitFor('online', () => eyes.on('g/n/status').length === 1);
    child.kill('SIGKILL');
    await waitFor('the last will', () => eyes.on('g/n/status').some((m) => m.text === 'offline'));
  });
});

describe('Client and other brokers', () => {
  async function listen(onSocket: (socket: Socket) => void): Promise<string> {
    const server: Server = createServer(onSocket);
    const sockets = new Set<Socket>();
    server.on('connection', (socket) => sockets.add(socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return `mqtt://127.0.0.1:${(server.address() as { port: number }).port}`;
  }

  it('reports the reason that a broker gives for closing the connection', async () => {
    const url = await listen((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => {
        socket.write(Buffer.from('2003000000', 'hex'));
        // Session taken over
        setTimeout(() => socket.end(Buffer.from('e0028e00', 'hex')), 20);
      });
    });
    const faults: (string | null)[] = [];
    const { client } = make(url, {}, { changed: ({ fault }) => faults.push(fault) });
    client.start();
    await waitFor('the loss', () => faults.some((fault) => fault !== null));
    expect(faults.find((fault) => fault !== null)).toMatch(
      /another client connected with the same client id/,
    );
  });

  it('falls back to 3.1.1 where 5 is refused', async () => {
    const aedes = await Aedes.createBroker();
    cleanups.push(() => aedes.close());
    const url = await listen(aedes.handle);
    const { client, texts } = make(url);
    client.setSubscriptions([{ filter: 's/#', qos: 1 }]);
    client.start();
    await connected(client);
    expect(client.status().protocol).toBe('3.1.1');
    const feeder = await mqtt.connectAsync(url);
    cleanups.push(() => feeder.endAsync(true));
    await feeder.publishAsync('s/a', 'hello', { qos: 1 });
    await waitFor('it', () => texts().length === 1);
  });

  it('does not fall back to 3.1.1 if the config demands 5', async () => {
    const aedes = await Aedes.createBroker();
    cleanups.push(() => aedes.close());
    const { client } = make(await listen(aedes.handle), { version: '5' });
    client.start();
    await sleep(600);
    expect(client.status()).toMatchObject({ connected: false, connects: 0 });
  });

  it('tries the other version with a broker that hangs up on 5', async () => {
    const versions: number[] = [];
    const url = await listen((socket) => {
      socket.on('error', () => {});
      socket.once('data', (packet) => {
        versions.push(packet[8]!);
        if (packet[8] === 5) socket.destroy();
        else socket.write(Buffer.from([0x20, 2, 0, 0]));
      });
    });
    const { client } = make(url);
    client.start();
    await connected(client);
    expect(versions).toEqual([5, 4]);
  });

  it('survives a broker that talks nonsense', async () => {
    let attempts = 0;
    const url = await listen((socket) => {
      attempts++;
      socket.on('error', () => {});
      socket.on('data', () => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'));
    });
    const { client } = make(url);
    client.start();
    await waitFor('attempts', () => attempts >= 3);
    expect(client.status().connected).toBe(false);
    expect(client.status().fault).not.toBeNull();
  });

  it('skips a message that is too large, acknowledges it, and keeps the connection and its session', async () => {
    const cleans: boolean[] = [];
    const answers: number[] = [];
    const url = await listen((socket) => {
      socket.on('error', () => {});
      socket.once('data', (packet) => {
        cleans.push((packet[9]! & 2) !== 0);
        socket.write(Buffer.from([0x20, 3, 1, 0, 0]));
        socket.on('data', (data) => answers.push(...data));
        // PUBLISH of 300 bytes at QoS 1 on topic "t" with packet id 7, in pieces that split its header
        const large = Buffer.concat([Buffer.from([0x32, 0xac, 2, 0, 1, 0x74, 0, 7, 0]), Buffer.alloc(294)]);
        const small = Buffer.from([0x30, 5, 0, 1, 0x75, 0, 0x78]);
        const all = Buffer.concat([small, large, small, large, small]);
        let at = 0;
        const next = (): void => {
          if (at >= all.length || socket.destroyed) return;
          socket.write(all.subarray(at, at + 2));
          at += 2;
          setTimeout(next, 1);
        };
        next();
      });
    });
    const { client, received, texts } = make(url, { maxPacketBytes: 200 });
    client.start();
    await waitFor('what follows', () => received.length === 3);
    expect(texts()).toEqual(['x', 'x', 'x']);
    expect(cleans).toEqual([false]);
    expect(client.status()).toMatchObject({
      dropped: { 'oversize-in': 2 },
      connects: 1,
      skipped: 't (303 bytes)',
    });
    await waitFor('acknowledgements', () => Buffer.from(answers).includes(Buffer.from([0x40, 2, 0, 7])));
  });

  it('acknowledges a message that is too large and comes in one piece with the answer to CONNECT', async () => {
    const answers: number[] = [];
    const url = await listen((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => {
        socket.on('data', (data) => answers.push(...data));
        const small = [0x3a, 7, 0, 1, 0x75, 0, 6, 0, 0x78];
        const large = [0x32, 0xac, 2, 0, 1, 0x74, 0, 7, 0, ...new Uint8Array(294)];
        socket.write(Buffer.from([0x20, 3, 1, 0, 0, ...small, ...large]));
      });
    });
    const { client, received } = make(url, { maxPacketBytes: 200 });
    client.start();
    await waitFor('the small one', () => received.length === 1);
    expect(received[0]).toMatchObject({ dup: true, again: false });
    received[0]?.acknowledge?.();
    const both = Buffer.from([0x40, 2, 0, 6, 0x40, 2, 0, 7]);
    await waitFor('acknowledgements in their order', () => Buffer.from(answers).includes(both));
    expect(client.status()).toMatchObject({ dropped: { 'oversize-in': 1 }, skipped: 't (303 bytes)' });
  });

  it('says that the login was refused', async () => {
    const up = await broker('allow_anonymous false');
    const { client } = make(up.url);
    client.start();
    await waitFor('the refusal', () => client.status().fault);
    expect(client.status().fault).toMatch(/login was refused/);
  });

  it('delivers the newest forecast of every topic to a reachable broker, however full the outbox is', async () => {
    const up = await broker();
    const eyes = await watching(up.url, 'g/n/#');
    const { client } = make(up.url, { outbox: 100 });
    client.start();
    await connected(client);
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 3000; i++) client.publish(retained(`g/n/f/${i}`, `${round}`));
      await sleep(5);
    }
    await waitFor('the outbox', () => client.status().outbox === 0);
    await waitFor(
      'all topics',
      () => new Set(eyes.seen.filter((m) => m.text === '4').map((m) => m.topic)).size === 3000,
    );
    expect(client.status().dropped).toEqual({});
  });

  it('keeps a message that was under way when a frozen broker was given up: that is no refusal', async () => {
    const up = await broker();
    const { client } = make(up.url, { keepaliveMs: 1000 });
    client.start();
    await connected(client);
    up.signal('SIGSTOP');
    for (let i = 0; i < 10; i++) client.publish(retained(`g/n/f/${i}`, 'x'));
    await waitFor('the loss', () => !client.status().connected);
    expect(client.status()).toMatchObject({ outbox: 10, dropped: {} });
    up.signal('SIGCONT');
    const eyes = await watching(up.url, 'g/n/f/#');
    await waitFor('all of them', () => eyes.seen.length >= 10);
    expect(client.status().dropped).toEqual({});
  });

  it.each([
    ['retain_available false', 'no retained messages'],
    ['max_qos 0', 'QoS 0 only'],
    ['max_packet_size 2000', 'at most'],
  ])('works within what the broker offers: %s', async (setting, said) => {
    const up = await broker(`allow_anonymous true\n${setting}`);
    const eyes = await watching(up.url, 'g/n/#');
    const { client } = make(up.url);
    client.start();
    await connected(client);
    client.publish(retained('g/n/f/large', 'x'.repeat(4000)));
    for (let i = 0; i < 50; i++) client.publish(retained(`g/n/f/${i}`, 'x'));
    await waitFor('all of them', () => eyes.seen.filter((m) => /f\/\d/.test(m.topic)).length === 50);
    expect(client.status().connects).toBe(1);
    expect(client.status().limits).toContain(said);
    expect(client.status().dropped).toEqual(setting.startsWith('max_packet') ? { 'set-aside': 1 } : {});
  });

  it('sets a message aside for which a broker closes the connection twice, and sends the others', async () => {
    const up = await broker('allow_anonymous true\nmax_packet_size 2000');
    const eyes = await watching(up.url, 'g/n/#');
    // MQTT 3.1.1 names no limit.
    const { client } = make(up.url, { version: '3.1.1' });
    client.start();
    await connected(client);
    for (let i = 0; i < 5; i++) client.publish(retained(`g/n/f/${i}`, 'x'));
    client.publish(retained('g/n/f/large', 'x'.repeat(4000)));
    for (let i = 5; i < 10; i++) client.publish(retained(`g/n/f/${i}`, 'x'));
    await waitFor(
      'the others',
      () => new Set(eyes.seen.filter((m) => m.text === 'x').map((m) => m.topic)).size === 10,
    );
    await waitFor('the large one to be set aside', () => client.status().dropped['set-aside'] === 1);
    expect(client.maxMessageBytes).toBeLessThan(4011);
    await waitFor('the connection', () => client.status().connected);
  });

  it('sets a large message aside although a smaller one of its topic goes out before it on each connection', async () => {
    const up = await broker('allow_anonymous true\nmax_packet_size 2000');
    // As announcements to Home Assistant: withdrawn at each connection, and announced again when the outbox is empty.
    const birth = () => [retained('g/n/f/a', '')];
    const { client } = make(up.url, { version: '3.1.1' }, { birth });
    client.start();
    for (let connects = 1; connects <= 2; connects++) {
      await waitFor(
        'a connection',
        () => client.status().connects === connects && client.status().outbox === 0,
      );
      client.publish(retained('g/n/f/a', 'x'.repeat(4000)));
    }
    await waitFor('the third connection', () => client.status().connects === 3);
    expect(client.status().dropped).toEqual({ 'set-aside': 1 });
  });

  it.each(['retain_available false', 'retain_available false\nmax_qos 0'])(
    'publishes without retain with a broker of MQTT 3.1.1 that closes on it and announces nothing: %j',
    async (setting) => {
      const up = await broker(`allow_anonymous true\n${setting}`);
      const eyes = await watching(up.url, 'g/n/#');
      const { client } = make(up.url, { version: '3.1.1' });
      client.start();
      for (let i = 0; i < 50; i++) client.publish(retained(`g/n/f/${i}`, 'x'));
      await waitFor(
        'all of them',
        () => new Set(eyes.seen.filter((m) => m.topic.startsWith('g/n/f/')).map((m) => m.topic)).size === 50,
      );
      await waitFor('an empty outbox', () => client.status().connected && client.status().outbox === 0);
      expect(client.status().dropped).toEqual({});
      expect(client.status().limits).toMatch(/^no retained messages: messages are sent without retain/);
    },
  );

  it.each(['3.1.1', 'auto'] as const)(
    'publishes at QoS 0 with a broker that closes on QoS 1 and announces nothing: version %s',
    async (version) => {
      const up = await broker('allow_anonymous true\nmax_qos 0');
      const eyes = await watching(up.url, 'g/n/#');
      const { client } = make(up.url, { version });
      client.start();
      client.publish(retained('g/n/f/large', 'x'.repeat(4000)));
      for (let i = 0; i < 50; i++) client.publish(retained(`g/n/f/${i}`, 'x'));
      await waitFor(
        'all of them',
        () => new Set(eyes.seen.filter((m) => m.topic.startsWith('g/n/f/')).map((m) => m.topic)).size === 51,
      );
      await waitFor('the birth', () => eyes.on('g/n/status').some(({ text }) => text === 'online'));
      await waitFor('an empty outbox', () => client.status().connected && client.status().outbox === 0);
      expect(client.status().dropped).toEqual({});
      expect(client.status().limits).toBe('QoS 0 only: messages are sent without acknowledgement');
      expect(client.maxMessageBytes).toBe(Number.POSITIVE_INFINITY);
    },
  );

  it.each([4000, 400_000])('learns the limit of the size at QoS 0, too: from %s bytes', async (bytes) => {
    const up = await broker('allow_anonymous true\nmax_qos 0\nmax_packet_size 2000');
    const eyes = await watching(up.url, 'g/n/#');
    const logged: string[] = [];
    const log = { ...silentLogger, error: (text: string) => logged.push(text) };
    const { client } = make(up.url, { version: '3.1.1' }, { log });
    client.start();
    await waitFor('QoS 0', () => client.status().connected && client.status().limits !== null);
    for (let i = 0; i < 5; i++) client.publish(retained(`g/n/f/${i}`, 'x'));
    client.publish(retained('g/n/f/large', 'x'.repeat(bytes)));
    for (let i = 5; i < 10; i++) client.publish(retained(`g/n/f/${i}`, 'x'));
    await waitFor('the large one to be set aside', () => client.status().dropped['set-aside'] === 1);
    await waitFor(
      'the others',
      () => new Set(eyes.seen.filter((m) => m.text === 'x').map((m) => m.topic)).size === 10,
    );
    await waitFor('the connection', () => client.status().connected);
    expect(client.maxMessageBytes).toBe(bytes + 10);
    const { connects } = client.status();
    client.publish(retained('g/n/f/large', 'x'.repeat(bytes)));
    client.publish(retained('g/n/f/middle', 'x'.repeat(1500)));
    await waitFor('the next one', () => eyes.on('g/n/f/middle').length > 0);
    expect(client.status()).toMatchObject({ connects, dropped: { 'set-aside': 2 } });
    expect(logged).toEqual(['message set aside']);
  });

  it('sends no birth above the announced limit', async () => {
    const up = await broker('allow_anonymous true\nmax_packet_size 2000');
    const eyes = await watching(up.url, 'g/n/#');
    const { client } = make(
      up.url,
      {},
      { birth: () => [retained('g/n/large', 'x'.repeat(4000)), retained('g/n/status', 'online')] },
    );
    client.start();
    await waitFor('the other birth', () => eyes.on('g/n/status').length > 0);
    expect(client.status()).toMatchObject({ connected: true, connects: 1, dropped: { 'set-aside': 1 } });
  });

  it('sets a birth aside for which a broker closes the connection twice', async () => {
    const up = await broker('allow_anonymous true\nmax_packet_size 2000');
    const eyes = await watching(up.url, 'g/n/#');
    const { client } = make(
      up.url,
      { version: '3.1.1' },
      { birth: () => [retained('g/n/status', 'online'), retained('g/n/large', 'x'.repeat(4000))] },
    );
    client.start();
    await waitFor('it to be set aside', () => client.status().dropped['set-aside'] === 1);
    client.publish(retained('g/n/f', 'x'));
    await waitFor('the message', () => eyes.on('g/n/f').length > 0);
    expect(client.maxMessageBytes).toBe(4008);
    await waitFor('an empty outbox', () => client.status().connected && client.status().outbox === 0);
  });
});
