/** What the client makes of brokers that behave in a certain way: versions, refusals, what the broker offers, another broker. */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import type { Logger } from '../../src/log.ts';
import type { Client, ClientParts } from '../../src/mqtt/client.ts';
import { type BrokerOptions, plainBrokerOptions } from '../../src/mqtt/options.ts';
import { tryBroker } from '../../src/mqtt/trial.ts';
import { systemClock } from '../../src/system/clock.ts';
import { cleanupsOfFile } from '../support/cleanups.ts';
import { fasterClock, testClient } from '../support/client.ts';
import { sleep, waitFor } from '../support/wait.ts';

const cleanups = cleanupsOfFile();

const [CONNECT, PUBLISH, SUBSCRIBE, PINGREQ, DISCONNECT] = [1, 3, 8, 12, 14];
interface Packet {
  readonly type: number;
  readonly flags: number;
  readonly body: Buffer;
}
interface Peer {
  /** MQTT level: 4 or 5. */
  readonly level: number;
  readonly socket: Socket;
  /** Number of the connection, from 0. */
  readonly index: number;
  /** QoS and retain flag of the last will. */
  readonly will: string;
}
interface Script {
  /** Bytes of the answer to CONNECT; null: hang up. */
  connack?: (peer: Peer) => number[] | null;
  /** Reason of the answer to a publish at QoS 1. */
  puback?: (topic: string) => number;
  /** Reasons of the answer to each subscription, one for each filter. */
  suback?: readonly number[];
  /** Whether a publish on the connection of this number gets no answer. */
  silent?: (topic: string, index: number) => boolean;
  /** Time from one answer to a publish to the next, ms. */
  answersEveryMs?: number;
  /** How many messages at QoS 1 are on their way when each ping arrives. */
  onTheirWay?: number[];
  /** Whether a publish ends the connection. */
  closes?: (topic: string, bytes: number, index: number) => boolean;
}
const accepted = (level: number, properties: number[] = []) =>
  level === 5 ? [0x20, 3 + properties.length, 0, 0, properties.length, ...properties] : [0x20, 2, 0, 0];

/** Takes connections and says what the script says; keeps what it was sent. */
async function scripted({
  connack = ({ level }) => accepted(level),
  puback = () => 0,
  suback = [1],
  silent = () => false,
  answersEveryMs = 0,
  onTheirWay = [],
  closes = () => false,
}: Script = {}) {
  const levels: number[] = [];
  const published: { topic: string; text: string; qos: number; retain: boolean }[] = [];
  const farewells: number[] = [];
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    let level = 0;
    let rest = Buffer.alloc(0);
    let id = 0;
    let answers: Promise<void> = Promise.resolve();
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', (data) => {
      rest = Buffer.concat([rest, data]);
      for (let packet = take(); packet !== null; packet = take()) handle(packet);
    });
    const take = (): Packet | null => {
      let length = 0;
      let at = 1;
      for (let shift = 0; ; shift += 7) {
        const byte = rest[at];
        if (byte === undefined) return null;
        at++;
        length |= (byte & 127) << shift;
        if (byte < 128) break;
      }
      if (rest.length < at + length) return null;
      const first = rest[0] ?? 0;
      const body = rest.subarray(at, at + length);
      rest = rest.subarray(at + length);
      return { type: first >> 4, flags: first & 15, body };
    };
    const handle = ({ type, flags, body }: Packet): void => {
      if (type === CONNECT) {
        level = body[6] ?? 0;
        const index = levels.push(level) - 1;
        const flags = body[7] ?? 0;
        const will = `QoS ${(flags >> 3) & 3}${(flags & 0x20) === 0 ? '' : ', retained'}`;
        const answer = connack({ level, socket, index, will });
        if (answer === null) socket.destroy();
        else socket.write(Buffer.from(answer));
      } else if (type === SUBSCRIBE)
        socket.write(
          Buffer.from([
            0x90,
            (level === 5 ? 3 : 2) + suback.length,
            body[0] ?? 0,
            body[1] ?? 0,
            ...(level === 5 ? [0] : []),
            ...suback,
          ]),
        );
      else if (type === PINGREQ) {
        for (let count = onTheirWay.shift() ?? 0; count > 0; count--)
          socket.write(
            Buffer.from([0x32, level === 5 ? 7 : 6, 0, 1, 0x73, 0, ++id, ...(level === 5 ? [0] : []), 0x35]),
          );
        socket.write(Buffer.from([0xd0, 0]));
      } else if (type === DISCONNECT) farewells.push(levels.length - 1);
      else if (type === PUBLISH) {
        const qos = (flags >> 1) & 3;
        const end = 2 + body.readUInt16BE(0);
        const topic = body.toString('utf8', 2, end);
        const from = end + (qos > 0 ? 2 : 0) + (level === 5 ? 1 : 0);
        published.push({ topic, text: body.toString('utf8', from), qos, retain: (flags & 1) === 1 });
        if (closes(topic, body.length - from, levels.length - 1)) socket.destroy();
        else if (qos > 0 && !silent(topic, levels.length - 1)) {
          const reason = puback(topic);
          const id = [body[end] ?? 0, body[end + 1] ?? 0];
          const answer = Buffer.from(
            level === 5 && reason > 0 ? [0x40, 4, ...id, reason, 0] : [0x40, 2, ...id],
          );
          if (answersEveryMs === 0) socket.write(answer);
          else
            answers = answers.then(async () => {
              await sleep(answersEveryMs);
              socket.write(answer);
            });
        }
      }
    };
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as { port: number };
  const cut = (): void => {
    for (const socket of sockets.splice(0)) socket.destroy();
  };
  return { url: `mqtt://127.0.0.1:${port}`, levels, published, farewells, cut };
}

function make(url: string, options: Partial<BrokerOptions> = {}, parts: Partial<ClientParts> = {}) {
  const logged: [level: string, text: string, fields: unknown][] = [];
  const write = (level: string) => (text: string, fields?: unknown) => {
    logged.push([level, text, fields]);
  };
  const log: Logger = {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
  } as Logger;
  const client = testClient(url, { maxBackoffMs: 100, ...options }, { log, ...parts });
  cleanups.push(() => client.stop([], 100));
  return { client, logged };
}
const connected = (client: Client) => waitFor('the connection', () => client.status().connected);
const event = (topic: string, payload = 'x') => ({ topic, payload, qos: 1, retain: true }) as const;

it('a broker far away, whose messages are acknowledged at once, holds nothing back if once more were on their way', async () => {
  const far = await scripted({ onTheirWay: [5, 3, 5, 4] });
  const message: ClientParts['message'] = ({ acknowledge }) => acknowledge?.();
  const { client } = make(far.url, {}, { message });
  client.start();
  await connected(client);
  const holdsBack = () => new Promise<boolean>((resolve) => client.ping(resolve));
  // 5 may be all that the broker sends without an acknowledgement
  expect([await holdsBack(), await holdsBack(), await holdsBack(), await holdsBack()]).toEqual([
    true,
    false,
    true,
    false,
  ]);
});

describe.concurrent('the version of a broker', () => {
  it('is the other version after a hang-up, as long as the broker never answered in this one', async () => {
    const old = await scripted({ connack: ({ level }) => (level === 5 ? null : accepted(4)) });
    const { client } = make(old.url);
    client.start();
    await connected(client);
    expect(old.levels).toEqual([5, 4]);
    expect(client.status().protocol).toBe('3.1.1');
  });

  it('stays 5 after a hang-up of a broker that has answered in version 5', async () => {
    const restarting = await scripted({
      connack: ({ level, index }) => (index === 0 || index > 3 ? accepted(level) : null),
    });
    const { client } = make(restarting.url);
    client.start();
    await connected(client);
    restarting.cut();
    await waitFor('it is back', () => restarting.levels.length > 4);
    await connected(client);
    expect(restarting.levels).toEqual([5, 5, 5, 5, 5]);
    expect(client.status()).toMatchObject({ protocol: '5', connects: 2, fault: null });
  });

  it('is the one that the config names', async () => {
    const any = await scripted();
    for (const version of ['5', '3.1.1'] as const) {
      const { client } = make(any.url, { version });
      client.start();
      await connected(client);
      expect(client.status().protocol).toBe(version);
    }
    const refusing = await scripted({ connack: () => null });
    const { client } = make(refusing.url, { version: '5' });
    client.start();
    await waitFor('several tries', () => refusing.levels.length >= 3);
    expect(new Set(refusing.levels)).toEqual(new Set([5]));
  });
});

describe.concurrent('the last will', () => {
  const FULL = 'QoS 1, retained';
  /** A broker of MQTT 3.1.1 that hangs up for a retained will, except on connections from this number on. */
  const picky = async (from: number, script: Script = {}) => {
    const wills: string[] = [];
    const broker = await scripted({
      connack: ({ level, index, will }) => {
        wills.push(will);
        return index >= from || !will.includes('retained') ? accepted(level) : null;
      },
      ...script,
    });
    return { ...broker, wills };
  };

  it('is never weakened with MQTT 5', async () => {
    const wills: string[] = [];
    const away = await scripted({
      connack: ({ level, index, will }) => {
        wills.push(`${level}: ${will}`);
        return index < 8 ? null : accepted(level);
      },
    });
    const { client } = make(away.url);
    client.start();
    await connected(client);
    expect(wills).toEqual(
      [FULL, 'QoS 0, retained', 'QoS 1', 'QoS 0']
        .flatMap((weak) => [`5: ${FULL}`, `4: ${weak}`])
        .concat(`5: ${FULL}`),
    );
  });

  it('is sent again in full, once, if the broker takes retained messages', async () => {
    // Only the hang-ups at first have a cause that passes.
    const soon = await picky(3);
    const { client, logged } = make(soon.url, { version: '3.1.1' });
    client.start();
    await waitFor('the full will', () => soon.wills.length >= 4);
    await waitFor('the birth', () => client.status().connects === 2 && client.status().outbox === 0);
    client.publish(event('a'));
    await waitFor('an empty outbox', () => client.status().outbox === 0);
    expect(soon.wills).toEqual([FULL, 'QoS 0, retained', 'QoS 1', FULL]);
    // The weak will is not sent.
    expect(soon.farewells).toEqual([2]);
    expect(logged.filter(([level]) => level === 'error')).toEqual([]);
    expect(client.status()).toMatchObject({ connects: 2, dropped: {}, limits: null });
  });

  it('stays weak if the broker never takes a retained one: connections do not alternate for ever', async () => {
    const never = await picky(Number.POSITIVE_INFINITY);
    const { client } = make(never.url, { version: '3.1.1' });
    client.start();
    await waitFor('the second try', () => never.wills.length >= 6);
    await waitFor('the birth', () => client.status().connects === 2 && client.status().outbox === 0);
    for (let i = 0; i < 5; i++) {
      client.publish(event(`a/${i}`));
      await waitFor('an empty outbox', () => client.status().outbox === 0);
    }
    const round = [FULL, 'QoS 0, retained', 'QoS 1'];
    expect(never.wills).toEqual([...round, ...round]);
    expect(client.status()).toMatchObject({ connected: true, connects: 2, limits: null });
  });

  it('that is weak is no proof: one close, for another reason, leaves the retain flag on messages', async () => {
    let closed = 0;
    const shaky = await picky(3, { closes: (_topic, _bytes, index) => index === 2 && ++closed === 1 });
    const { client } = make(shaky.url, { version: '3.1.1' });
    client.start();
    await waitFor('the full will', () => shaky.wills.length >= 5);
    client.publish(event('a'));
    await waitFor('the message', () => shaky.published.some(({ topic }) => topic === 'a'));
    expect(closed).toBe(1);
    expect(shaky.published.map(({ retain }) => retain)).not.toContain(false);
    expect(client.status().limits).toBeNull();
  });
});

describe.concurrent('what a broker offers', () => {
  it('is everything if its answer names no limit', async () => {
    const plain = await scripted();
    const { client } = make(plain.url);
    expect(client.status().limits).toBeNull();
    client.start();
    await connected(client);
    expect(client.status().limits).toBeNull();
    expect(client.maxMessageBytes).toBe(Number.POSITIVE_INFINITY);
    client.publish(event('a'));
    await waitFor('the message', () => plain.published.length === 2);
    expect(plain.published.at(-1)).toEqual({ topic: 'a', text: 'x', qos: 1, retain: true });
  });

  it('is respected: no retained messages, QoS 0, small messages', async () => {
    // Maximum QoS 0; retain available 0; maximum packet size 300.
    for (const [properties, limits, qos, retain] of [
      [[0x24, 0], 'QoS 0 only: messages are sent without acknowledgement', 0, true],
      [[0x25, 0], 'no retained messages: messages are sent without retain', 1, false],
      [
        [0x24, 0, 0x25, 0],
        'no retained messages: messages are sent without retain; QoS 0 only: messages are sent without acknowledgement',
        0,
        false,
      ],
    ] as const) {
      const poor = await scripted({ connack: ({ level }) => accepted(level, [...properties]) });
      const { client } = make(poor.url);
      client.start();
      await connected(client);
      expect(client.status().limits).toBe(limits);
      client.publish(event('a'));
      await waitFor('the message', () => poor.published.some(({ topic }) => topic === 'a'));
      expect(poor.published.at(-1)).toMatchObject({ topic: 'a', qos, retain });
      await waitFor('an empty outbox', () => client.status().outbox === 0);
    }
    const small = await scripted({ connack: ({ level }) => accepted(level, [0x27, 0, 0, 1, 44]) });
    const { client } = make(small.url);
    client.start();
    await connected(client);
    expect(client.status().limits).toMatch(
      /^messages of at most 2\d\d bytes: longer forecasts are shortened$/,
    );
    client.publish(event('large', 'x'.repeat(400)));
    client.publish(event('small'));
    await waitFor('the small one', () => small.published.some(({ topic }) => topic === 'small'));
    expect(small.published.some(({ topic }) => topic === 'large')).toBe(false);
    expect(client.status().dropped).toEqual({ 'set-aside': 1 });
  });
});

const reconnected = async (
  broker: Awaited<ReturnType<typeof scripted>>,
  client: Client,
  connects: number,
) => {
  broker.cut();
  await waitFor('the next connection', () => client.status().connects >= connects);
  await connected(client);
};

describe.concurrent('what a broker offers may change with its next connection', () => {
  const packetSize = (bytes: number) => [0x27, 0, 0, bytes >> 8, bytes & 255];
  const inTurn = (...offers: readonly number[][]) =>
    scripted({ connack: ({ level, index }) => accepted(level, [...(offers[index] ?? offers.at(-1) ?? [])]) });
  const received = (broker: Awaited<ReturnType<typeof scripted>>, topic: string) =>
    waitFor(`message ${topic}`, () => broker.published.find((message) => message.topic === topic));
  it('ends an announced limit of the size that is no longer announced', async () => {
    const broker = await inTurn(packetSize(2000), []);
    const { client } = make(broker.url);
    client.start();
    await connected(client);
    client.publish(event('homeassistant/sensor/large/config', 'x'.repeat(4000)));
    await waitFor('the refusal', () => client.status().dropped['set-aside'] === 1);
    expect(client.maxMessageBytes).toBeLessThan(2000);
    await reconnected(broker, client, 2);
    expect(client.status().limits).toBeNull();
    expect(client.maxMessageBytes).toBe(Number.POSITIVE_INFINITY);
    client.publish(event('homeassistant/sensor/large/config', 'x'.repeat(4000)));
    await received(broker, 'homeassistant/sensor/large/config');
    expect(client.status().dropped).toEqual({ 'set-aside': 1 });
  });

  it('ends a limit learnt from a refusal when a larger one is announced', async () => {
    const broker = await scripted({
      connack: ({ level, index }) => accepted(level, index === 0 ? [] : packetSize(60_000)),
      puback: (topic) => (topic === 'refused' ? 0x95 : 0),
    });
    const { client } = make(broker.url);
    client.start();
    await connected(client);
    client.publish(event('refused', 'x'.repeat(5000)));
    await waitFor('the refusal', () => client.status().dropped['set-aside'] === 1);
    expect(client.maxMessageBytes).toBeLessThan(5010);
    await reconnected(broker, client, 2);
    client.publish(event('large', 'x'.repeat(20_000)));
    await received(broker, 'large');
    expect(client.status().dropped).toEqual({ 'set-aside': 1 });
  });

  it('applies new limits to messages that wait', async () => {
    const broker = await inTurn([], [0x24, 0, 0x25, 0, ...packetSize(300)]);
    const { client } = make(broker.url);
    client.start();
    await connected(client);
    broker.cut();
    await waitFor('the loss', () => !client.status().connected || client.status().connects > 1);
    client.publish(event('large', 'x'.repeat(400)));
    client.publish(event('small'));
    expect(await received(broker, 'small')).toMatchObject({ qos: 0, retain: false });
    expect(broker.published.some(({ topic }) => topic === 'large')).toBe(false);
    await waitFor('the count', () => client.status().dropped['set-aside'] === 1);
    expect(client.status().outbox).toBe(0);
  });

  it('sends again what a kept session with QoS 0 only has not acknowledged before', async () => {
    const broker = await scripted({
      connack: ({ level, index }) => (index === 0 ? accepted(level) : [0x20, 5, 1, 0, 2, 0x24, 0]),
      puback: () => 0,
      silent: (topic, index) => topic === 'waits' && index === 0,
    });
    const { client } = make(broker.url);
    client.start();
    await connected(client);
    client.publish(event('waits'));
    await received(broker, 'waits');
    await reconnected(broker, client, 2);
    await waitFor('it again', () => broker.published.filter(({ topic }) => topic === 'waits').length === 2);
    expect(broker.published.findLast(({ topic }) => topic === 'waits')?.qos).toBe(0);
    await waitFor('an empty outbox', () => client.status().outbox === 0);
    expect(client.status()).toMatchObject({ resumed: true, dropped: {} });
  });

  it('sets aside only the message that closes the connection, each time it is sent', async () => {
    const broker = await scripted({ closes: (topic) => topic === 'bad' });
    const { client, logged } = make(broker.url, { maxBackoffMs: 500 });
    client.start();
    await connected(client);
    for (const round of [1, 2]) {
      for (const topic of ['a', 'bad', 'b', 'c']) client.publish(event(`${topic}`, `${round}`));
      await waitFor('the bad one aside', () => client.status().dropped['set-aside'] === round);
      for (const topic of ['a', 'b', 'c'])
        await waitFor(`${topic} in round ${round}`, () =>
          broker.published.some((message) => message.topic === topic && message.text === `${round}`),
        );
    }
    await waitFor('an empty outbox', () => client.status().outbox === 0);
    expect(client.status().dropped).toEqual({ 'set-aside': 2 });
    expect(client.maxMessageBytes).toBe(Number.POSITIVE_INFINITY);
    expect(JSON.stringify(logged)).not.toContain('another client');
  });
});

describe.concurrent('a message that closes the connection', () => {
  it('shows no limit of the size if a larger one was accepted', async () => {
    const broker = await scripted({ closes: (topic) => topic === 'bad' });
    const { client } = make(broker.url);
    client.start();
    await connected(client);
    client.publish(event('larger', 'x'.repeat(5000)));
    client.publish(event('bad', 'x'.repeat(2000)));
    client.publish(event('after'));
    await waitFor('the bad one aside', () => client.status().dropped['set-aside'] === 1);
    await waitFor('the next one', () => broker.published.some(({ topic }) => topic === 'after'));
    expect(client.maxMessageBytes).toBe(Number.POSITIVE_INFINITY);
  });

  it('at QoS 0 is found and set aside, however small; those around it arrive', async () => {
    // Maximum QoS 0.
    const broker = await scripted({
      connack: ({ level }) => accepted(level, [0x24, 0]),
      closes: (topic) => topic === 'bad',
    });
    const { client } = make(broker.url);
    client.start();
    await waitFor('it aside', () => {
      if (client.status().connected && client.status().outbox === 0)
        for (const topic of ['a', 'bad', 'b']) client.publish(event(topic));
      return client.status().dropped['set-aside'] === 1;
    });
    const before = broker.published.length;
    client.publish(event('b', 'last'));
    await waitFor('the next one', () =>
      broker.published.slice(before).some(({ topic, text }) => topic === 'b' && text === 'last'),
    );
    expect(client.maxMessageBytes).toBe(Number.POSITIVE_INFINITY);
  });
});

it('tells refused filters from those that are granted with them', async () => {
  for (const version of ['5', '3.1.1'] as const) {
    const { url } = await scripted({ suback: [1, version === '5' ? 0x87 : 0x80, 0] });
    const { client } = make(url, { version });
    client.setSubscriptions(['s/a', '7', 't/+'].map((filter) => ({ filter, qos: 1 })));
    client.start();
    await waitFor('the refusal', () => client.status().refusedFilters.length > 0);
    expect(client.status().refusedFilters).toEqual(['s/a']);
  }
});

describe.concurrent('a refused message', () => {
  it('is counted each time and logged once for each topic', async () => {
    const strict = await scripted({ puback: (topic) => (topic.startsWith('no') ? 0x87 : 0) });
    const { client, logged } = make(strict.url);
    client.start();
    await connected(client);
    for (const topic of ['no/a', 'yes', 'no/a', 'no/b', 'no/a']) {
      client.publish(event(topic));
      await waitFor('an answer', () => client.status().outbox === 0);
    }
    expect(client.status().dropped).toEqual({ 'refused-out': 4 });
    const told = logged.filter(([, text]) => text === 'publish refused by the broker');
    expect(told.map(([level, , fields]) => [level, (fields as { topic: string }).topic])).toEqual([
      ['error', 'no/a'],
      ['error', 'no/b'],
    ]);
  });

  it('for its size lowers the limit by halves where a message made for the limit is refused, so that few are lost', async () => {
    let largest = 0;
    const strict = await scripted({ puback: (topic) => (topic === 'fit' ? 0x95 : 0) });
    const { client } = make(strict.url);
    client.start();
    await connected(client);
    client.publish(event('fit', 'x'.repeat(5000)));
    let count = 1;
    while (client.maxMessageBytes > 300 && count < 20) {
      await waitFor('the refusal', () => client.status().dropped['set-aside'] === count);
      largest = Math.min(client.maxMessageBytes, 5000);
      client.publish(event('fit', 'x'.repeat(largest - 'fit'.length)));
      count += 1;
    }
    expect(client.maxMessageBytes).toBeLessThanOrEqual(300);
    expect(count).toBeLessThan(8);
  });

  it('for its size drops the message, and the limit is remembered until a new connection has none', async () => {
    // Reason 0x95: the packet is too large.
    let limited = true;
    const strict = await scripted({
      puback: (topic) => (limited && /large|trial/.test(topic) ? 0x95 : 0),
    });
    const { client } = make(strict.url, {}, { probeTopic: 'g/n/trial' });
    client.start();
    await connected(client);
    client.publish(event('large', 'x'.repeat(5000)));
    await waitFor('the refusal', () => client.status().dropped['set-aside'] === 1);
    expect(client.status().dropped).toEqual({ 'set-aside': 1 });
    expect(client.maxMessageBytes).toBe(5000 + 'large'.length - 1);
    // An answer costs no connection, so the limit is tested on each new one.
    await reconnected(strict, client, 2);
    await waitFor('the test', () => strict.published.some(({ topic }) => topic === 'g/n/trial'));
    expect(client.maxMessageBytes).toBe(5000 + 'large'.length - 1);
    limited = false;
    await reconnected(strict, client, 3);
    await waitFor('no limit', () => client.maxMessageBytes === Number.POSITIVE_INFINITY);
    expect(client.status()).toMatchObject({ connects: 3, dropped: { 'set-aside': 1 } });
  });

  it('for its size is tested again after a reconnect, with the largest and then the smallest refused size, less and less often', async () => {
    let most = 1000;
    const sizes: number[] = [];
    const strict = await scripted({
      connack: ({ level }) => (level === 4 ? accepted(4) : null),
      closes: (topic, bytes) => {
        if (topic === 'g/n/trial') sizes.push(bytes);
        return topic.length + bytes > most;
      },
    });
    let skippedMs = 0;
    const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + skippedMs };
    const { client } = make(strict.url, {}, { clock, probeTopic: 'g/n/trial' });
    client.start();
    await connected(client);
    for (const bytes of [5000, 3000]) {
      client.publish(event('large', 'x'.repeat(bytes - 'large'.length)));
      await waitFor('the refusal', () => client.status().outbox === 0);
    }
    expect([client.maxMessageBytes, client.status().dropped]).toEqual([2999, { 'set-aside': 2 }]);
    const again = async (minutes: number): Promise<void> => {
      skippedMs += minutes * 60_000;
      const { connects } = client.status();
      strict.cut();
      await waitFor(
        'the next connection',
        () => client.status().connects > connects && client.status().connected,
      );
      client.publish(event('small'));
      await waitFor('the small message', () => client.status().outbox === 0);
    };
    await again(4);
    expect(sizes).toEqual([]);
    await again(1);
    expect([sizes.map((bytes) => bytes + 'g/n/trial'.length), client.maxMessageBytes]).toEqual([
      [5000],
      2999,
    ]);
    await again(9);
    expect(sizes.length).toBe(1);
    most = 4000;
    await again(1);
    expect([sizes.map((bytes) => bytes + 'g/n/trial'.length), client.maxMessageBytes]).toEqual([
      [5000, 3000],
      4999,
    ]);
    most = 10_000;
    await again(20);
    await waitFor('no limit', () => client.status().limits === null);
    // A test that fails costs no message.
    expect([client.maxMessageBytes, client.status().dropped]).toEqual([Infinity, { 'set-aside': 2 }]);
  });

  it('for its size is tested once a day on a connection that stays, also at QoS 0', async () => {
    let most = 1000;
    const strict = await scripted({
      connack: ({ level }) => (level === 5 ? accepted(5, [0x24, 0]) : null),
      closes: (topic, bytes) => topic.length + bytes > most,
    });
    let skippedMs = 0;
    const due: [delayMs: number, action: () => void][] = [];
    const clock = {
      ...systemClock,
      monotonic: () => systemClock.monotonic() + skippedMs,
      after: (delayMs: number, action: () => void) => {
        if (delayMs >= 3_600_000) due.push([delayMs, action]);
        return systemClock.after(delayMs, action);
      },
    };
    const { client } = make(strict.url, {}, { clock, probeTopic: 'g/n/trial' });
    client.start();
    await connected(client);
    client.publish({ ...event('large', 'x'.repeat(5000)), qos: 0 });
    await waitFor('the refusal', () => client.status().dropped['set-aside'] === 1);
    await connected(client);
    expect(client.status().limits).toContain('bytes');
    most = 10_000;
    skippedMs = 86_400_000;
    const [delayMs, action] = due.at(-1) ?? [0, () => {}];
    expect(delayMs).toBe(skippedMs);
    action();
    await waitFor('a larger limit', () => client.maxMessageBytes === Infinity);
  });

  it('that is not said, neither by an answer nor by a close, is found: the message is set aside, those behind it arrive', async () => {
    let stuck = -1;
    const strict = await scripted({
      connack: ({ level }) => (level === 4 ? accepted(4) : null),
      // As RabbitMQ does: no acknowledgement on this connection any more, for the first messages not even one, but answers to pings.
      silent: (topic, index) => {
        if (topic === 'large') stuck = index;
        return stuck === index || index === 1;
      },
    });
    // All times pass faster, also those for which the client waits for acknowledgements.
    const clock = { ...fasterClock(20), monotonic: () => 20 * systemClock.monotonic() };
    const { client, logged } = make(strict.url, {}, { clock });
    client.start();
    client.publish(event('small/1'));
    client.publish(event('large', 'x'.repeat(5000)));
    client.publish(event('small/2'));
    await waitFor('all messages', () => client.status().outbox === 0);
    await connected(client);
    expect(client.status().dropped).toEqual({ 'set-aside': 1 });
    expect(client.maxMessageBytes).toBe(5000 + 'large'.length - 1);
    expect(strict.levels.filter((level) => level === 4).length).toBe(3);
    expect(logged.filter(([level]) => level === 'error').map(([, , fields]) => fields)).toMatchObject([
      { topic: 'large', reason: 'the broker did not acknowledge it twice' },
    ]);
    expect(JSON.stringify(logged)).not.toContain('another client');
  });

  it('is not assumed of a broker that acknowledges slowly: every message arrives, and the connection stays', async () => {
    const slow = await scripted({ answersEveryMs: 400 });
    // 40 s of the client
    const { client } = make(slow.url, {}, { clock: fasterClock(100) });
    client.start();
    await connected(client);
    for (let i = 0; i < 6; i++) client.publish(event(`many/${i}`, 'x'.repeat(5000)));
    await waitFor('all messages', () => client.status().outbox === 0);
    expect(client.status()).toMatchObject({ dropped: {}, limits: null, outbox: 0 });
    expect(client.status().connects).toBeLessThanOrEqual(2);
    for (let i = 0; i < 4; i++) client.publish(event(`more/${i}`, 'x'.repeat(5000)));
    await waitFor('further messages', () => client.status().outbox === 0);
    expect(client.status()).toMatchObject({ dropped: {}, limits: null });
    expect(client.status().connects).toBeLessThanOrEqual(2);
  });

  it('is not assumed of a broker that acknowledges nothing', async () => {
    const slow = await scripted({ silent: () => true });
    const { client } = make(slow.url, {}, { clock: fasterClock(100) });
    client.start();
    await connected(client);
    client.publish(event('large', 'x'.repeat(5000)));
    // Once the messages are sent one by one, in case one of them is the cause.
    await waitFor('the next connection', () => client.status().connects === 2);
    await sleep(600);
    expect(client.status()).toMatchObject({ connected: true, connects: 2, dropped: {}, limits: null });
  });

  it('is logged for a bounded number of topics', async () => {
    const strict = await scripted({ puback: (topic) => (topic.startsWith('no') ? 0x87 : 0) });
    const { client, logged } = make(strict.url, { outbox: 2000 });
    client.start();
    await connected(client);
    for (let i = 0; i < 1500; i++) client.publish(event(`no/${i}`));
    await waitFor('all answers', () => client.status().dropped['refused-out'] === 1500);
    const told = logged.filter(([, text]) => text === 'publish refused by the broker').length;
    expect(told).toBeGreaterThan(0);
    expect(told).toBeLessThan(1500);
  });
});

describe.concurrent('another broker', () => {
  it('is used with its own version and limits and receives the waiting messages; the old connection ends with DISCONNECT', async () => {
    const old = await scripted({ connack: ({ level }) => accepted(level, [0x25, 0]) });
    const next = await scripted();
    const changes: boolean[] = [];
    const { client } = make(old.url, {}, { changed: (status) => changes.push(status.connected) });
    client.start();
    await connected(client);
    expect(client.status().limits).toContain('retained');
    client.switchTo(
      { ...plainBrokerOptions(next.url, 'scripted'), version: '3.1.1', maxBackoffMs: 100 },
      [event('g/n/status', 'moved')],
      { former: [], remember: () => {} },
    );
    expect(client.status().connected).toBe(false);
    expect(changes.at(-1)).toBe(false);
    client.publish(event('a', 'meanwhile'));
    await connected(client);
    await waitFor('the message', () => next.published.some(({ topic }) => topic === 'a'));
    expect(old.published.at(-1)).toMatchObject({ topic: 'g/n/status', text: 'moved' });
    expect(next.levels).toEqual([4]);
    expect(next.published.map(({ text }) => text)).toEqual(['online', 'meanwhile']);
    expect(client.status()).toMatchObject({ protocol: '3.1.1', limits: null });
    await waitFor('goodbye', () => old.farewells.length === 1);
  });

  it('has its own version and session: nothing learnt from the old broker applies', async () => {
    const old = await scripted();
    const next = await scripted({ connack: ({ level }) => (level === 5 ? null : accepted(4)) });
    const remembered: (readonly string[])[] = [];
    const { client } = make(old.url);
    client.setSubscriptions([{ filter: 's/#', qos: 1 }]);
    client.start();
    await connected(client);
    client.switchTo(
      { ...plainBrokerOptions(next.url, 'scripted'), maxBackoffMs: 100, sessionExpiryMs: 60_000 },
      [],
      { former: ['former/#'], remember: (filters) => remembered.push(filters) },
    );
    await connected(client);
    expect(next.levels.slice(0, 2)).toEqual([5, 4]);
    expect(client.status().protocol).toBe('3.1.1');
    expect(remembered[0]).toEqual(['former/#', 's/#']);
    expect(remembered.at(-1)).toEqual(['s/#']);
  });

  it('is connected to at once if there was no connection, and never after the end', async () => {
    const next = await scripted();
    const options = plainBrokerOptions(next.url, 'scripted');
    const { client } = make('mqtt://127.0.0.1:1', { maxBackoffMs: 60_000 });
    client.start();
    await waitFor('a fault', () => client.status().fault);
    client.switchTo(options);
    await connected(client);
    expect(next.levels).toEqual([5]);
    await client.stop([]);
    client.switchTo(options);
    await sleep(50);
    expect(next.levels).toEqual([5]);
  });

  it('is tried in the versions that are allowed, and the step that failed is named', async () => {
    const attempt = (url: string, version: 'auto' | '5' | '3.1.1', timeoutMs = 2000) =>
      tryBroker(
        { ...plainBrokerOptions(url, 'n'), version, connectTimeoutMs: timeoutMs },
        'g/n/trial',
        systemClock,
      ).then(
        () => null,
        (error) => error,
      );
    const hanging = await scripted({ connack: () => null });
    expect(await attempt(hanging.url, '5')).toMatchObject({
      code: 'BROKER_UNREACHABLE',
      hint: expect.stringContaining('keeps using the current broker'),
    });
    expect(hanging.levels).toEqual([5]);
    expect(await attempt(hanging.url, '3.1.1')).toMatchObject({ code: 'BROKER_UNREACHABLE' });
    expect(hanging.levels).toEqual([5, 4]);
    expect(await attempt(hanging.url, 'auto')).toMatchObject({ code: 'BROKER_UNREACHABLE' });
    expect(hanging.levels).toEqual([5, 4, 5, 4]);

    const denying = await scripted({ suback: [0x87] });
    expect((await attempt(denying.url, 'auto', 60_000)).message).toContain(
      'refuses the subscription g/n/trial',
    );
    expect(denying.levels).toEqual([5]);
    const strict = await scripted({ puback: () => 0x87 });
    expect((await attempt(strict.url, '5', 60_000)).message).toContain('refuses a message on g/n/trial');
    const silent = await scripted();
    expect((await attempt(silent.url, '5', 2000)).message).toContain('did not deliver');
  });
});
