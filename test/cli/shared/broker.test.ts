/** The connection of a command to a real broker. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it, vi } from 'vitest';
import { brokerOf, openLink } from '../../../src/cli/shared/broker.ts';
import { plainBrokerOptions } from '../../../src/mqtt/options.ts';
import { cleanupsOfFile } from '../../support/cleanups.ts';
import { hasMosquitto, startMosquitto } from '../../support/mosquitto.ts';
import { tempDirs } from '../../support/temp.ts';

const temp = tempDirs();
const cleanups = cleanupsOfFile();

vi.mock('../../../src/cli/shared/terminal.ts', () => ({
  terminal: () => ({
    interactive: true,
    secret: (question: string) => Promise.resolve(`typed: ${question}`),
  }),
}));

it('asks for the password of a user name, if no option names a file of it', async () => {
  const broker = 'mqtt://b';
  const passwordOf = async (login: object) => (await brokerOf({ broker, ...login }, 'test')).password;
  expect(await passwordOf({ username: 'me' })).toBe('typed: password of me');
  expect(await passwordOf({ username: 'me', passwordFile: 'pw' })).toBeUndefined();
  expect(await passwordOf({ username: 'me', password: '' })).toBe('');
  expect(await passwordOf({})).toBeUndefined();
});

describe.skipIf(!hasMosquitto)('a link', () => {
  it('names what the broker refuses and why, and ends with the broker', async () => {
    const acl = join(temp(), 'acl');
    writeFileSync(acl, 'topic readwrite open/#\n');
    const broker = await startMosquitto(`allow_anonymous true\nacl_file ${acl}`);
    cleanups.push(() => broker.stop());
    const seen: string[] = [];
    const link = await openLink(plainBrokerOptions(broker.url, 'link'), ({ topic, payload }) =>
      seen.push(`${topic} ${payload}`),
    );
    await link.subscribe(['open/#']);
    await link.publish({ topic: 'open/a', payload: '1', qos: 1, retain: true });
    await expect(
      link.publish({ topic: 'closed/a', payload: '1', qos: 1, retain: false }),
    ).rejects.toMatchObject({
      code: 'BROKER_UNREACHABLE',
      message: expect.stringMatching(/refused closed\/a: (?!\[object)\w/),
    });
    expect(await link.trySubscribe(['open/b'], 0)).toEqual([]);
    await link.settled();
    expect(link.lost).toBe(false);
    const ended = expect(link.ended).rejects.toMatchObject({ code: 'BROKER_UNREACHABLE' });
    await broker.stop();
    await ended;
    expect(link.lost).toBe(true);
    await expect(link.settled()).rejects.toMatchObject({ code: 'BROKER_UNREACHABLE' });
    await link.close();
  });

  it('keeps nothing of the requests of a rollout of days', async () => {
    const broker = await startMosquitto();
    cleanups.push(() => broker.stop());
    const link = await openLink(plainBrokerOptions(broker.url, 'days'), () => {});
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const grown = async (requests: number): Promise<number> => {
      collect();
      const before = process.memoryUsage().heapUsed;
      for (let i = 0; i < requests; i++) await link.settled();
      collect();
      return process.memoryUsage().heapUsed - before;
    };
    await grown(500);
    // The heap may grow by some kB for other reasons, once: what is kept of requests grows with each of them.
    const perRequest: number[] = [];
    for (let round = 0; round < 5; round++) perRequest.push((await grown(2000)) / 2000);
    const [, , median] = perRequest.sort((a, b) => a - b);
    expect(median, 'bytes per request').toBeLessThan(100);
    await link.close();
  });
});
