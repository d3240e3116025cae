// Messages to JetStream over a real nats-server: stored, refused, not taken by a stream, without an answer, on a closed connection.
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { LogWriter } from '../../src/site/log-writer.ts';
import { inputStream, inputSubject } from '../../src/site/names.ts';
import { openSite, type Site } from '../../src/site/nats.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { hasNats, type NatsServer, startNatsServer } from '../support/nats.ts';
import { makeSite } from '../support/site.ts';

describe.skipIf(!hasNats)('a writer of logs', () => {
  let server: NatsServer;
  let site: Site;
  let nc: NatsConnection;
  let clock: FakeClock;
  let writer: LogWriter;

  beforeAll(async () => {
    server = await startNatsServer();
    site = await openSite(await makeSite([server.url], { partitions: 2 }), 'test');
  });
  afterAll(async () => {
    await site?.nc.close();
    await server?.stop();
  });
  afterEach(() => nc.close());

  const open = async (): Promise<void> => {
    nc = await connect({ servers: server.url });
    clock = new FakeClock();
    writer = new LogWriter(nc, '_INBOX.test', clock);
  };
  const messages = async (partition: number): Promise<number> =>
    (await site.jsm.streams.info(inputStream('plant', partition))).state.messages;

  it('resolves when a message is stored, each with its own answer', async () => {
    await open();
    const before = await messages(0);
    const sent = Array.from({ length: 200 }, (_, at) => writer.publish(inputSubject('plant', 0), `${at}`));
    const lost = expect(writer.publish('nobody.listens', 'x')).rejects.toThrow('no stream takes the message');
    await Promise.all(sent);
    await lost;
    expect(await messages(0)).toBe(before + 200);
  });

  it('says why a message is refused', async () => {
    await open();
    const name = inputStream('plant', 1);
    const { config } = await site.jsm.streams.info(name);
    await site.jsm.streams.update(name, { ...config, max_msg_size: 10 });
    await expect(writer.publish(inputSubject('plant', 1), 'x'.repeat(100))).rejects.toThrow(
      /message size exceeds/,
    );
    await writer.publish(inputSubject('plant', 1), 'x');
  });

  it('survives an answer that is not JSON', async () => {
    await open();
    const answers = ['"error" <html>', '{"error":null}', 'null "error"', '{"error":{"code":7}}'];
    nc.subscribe('proxy', { callback: (_error, message) => void message.respond(answers.shift()) });
    await nc.flush();
    await expect(writer.publish('proxy', 'x')).rejects.toThrow('an answer that is not JSON: "error" <html>');
    await writer.publish('proxy', 'x');
    await expect(writer.publish('proxy', 'x')).rejects.toThrow('not JSON');
    await expect(writer.publish('proxy', 'x')).rejects.toThrow('error 7');
  });

  it('gives up a message whose answer does not come, not one that was sent later', async () => {
    await open();
    // Somebody takes the messages, and never answers.
    nc.subscribe('silent', { callback: () => {} });
    await nc.flush();
    const first = writer.publish('silent', '1').catch(String);
    clock.advance(3000);
    let second = 'pending';
    void writer.publish('silent', '2').catch((error) => {
      second = String(error);
    });
    clock.advance(2500);
    expect(await first).toMatch('timeout');
    expect(second).toBe('pending');
    clock.advance(3000);
    await new Promise((resolve) => setImmediate(resolve));
    expect(second).toMatch('timeout');
  });

  it('fails what is under way when the connection is closed, and what comes later', async () => {
    await open();
    nc.subscribe('silent', { callback: () => {} });
    const under = expect(writer.publish('silent', '1')).rejects.toThrow('closed connection');
    await nc.close();
    await under;
    await expect(writer.publish('silent', '2')).rejects.toThrow();
  });
});
