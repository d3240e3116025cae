/** Row 34: a subscriber of the forecasts reads nothing. The broker drops what is for that one; the agent and the others notice nothing. */
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { describe, expect, test } from 'vitest';
import { daemonSuite } from '../support/daemon-suite.ts';
import { hasMosquitto } from '../support/mosquitto.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

const STREAMS = 3;
/** More than the sockets on the way hold, in messages that the broker does not queue for a subscriber that is behind. */
const PADDING = Array.from({ length: 16 }, () => Buffer.alloc(2 ** 20));
const CONNECT = Buffer.from([
  0x10,
  16,
  0,
  4,
  ...Buffer.from('MQTT'),
  4,
  2,
  0,
  0,
  0,
  4,
  ...Buffer.from('slow'),
]);
const FILTER = 'gatecast/#';
const SUBSCRIBE = Buffer.from([0x82, FILTER.length + 5, 0, 1, 0, FILTER.length, ...Buffer.from(FILTER), 0]);

describe.skipIf(!hasMosquitto)('a slow subscriber', () => {
  const temp = tempDirs();
  const suite = daemonSuite('allow_anonymous true\nmax_queued_messages 100');

  test('row 34: one that reads nothing delays no forecast for others', async () => {
    const slow = createConnection({ port: suite.broker.port, host: '127.0.0.1' });
    await once(slow, 'connect');
    slow.write(CONNECT);
    await once(slow, 'data');
    slow.write(SUBSCRIBE);
    await once(slow, 'data');
    slow.pause();
    const dir = temp();
    const daemon = await suite.start(dir, {
      node: 'n',
      mqtt: { url: suite.broker.url, qos: 1 },
      data_dir: dir,
      lateness: '0s',
      http: { listen: 'off' },
      streams: [{ match: 's/{n}', payload: 'number', interval: '200ms', horizon: '2s', name: '{n}' }],
    });
    let sent = 0;
    const feed = setInterval(() => {
      for (let s = 0; s < STREAMS; s++) suite.eyes.client.publish(`s/${s}`, String(20 + (sent % 9)));
      sent++;
    }, 200);
    let health: { readonly dropped?: object; readonly state?: string } = {};
    const counts = new Map<string, number>();
    const look = (): void => {
      for (const { topic, text } of suite.eyes.seen.splice(0)) {
        if (topic === 'gatecast/n/health') health = JSON.parse(text);
        if (topic.startsWith('gatecast/n/forecast/')) counts.set(topic, (counts.get(topic) ?? 0) + 1);
      }
    };
    const more = (before: ReadonlyMap<string, number>) => (): boolean => {
      look();
      return (
        counts.size === STREAMS &&
        [...counts].every(([topic, count]) => count >= (before.get(topic) ?? 0) + 10)
      );
    };
    await waitFor('forecasts', more(new Map()));
    for (const bytes of PADDING) await suite.eyes.client.publishAsync('gatecast/padding', bytes, { qos: 1 });
    const before = new Map(counts);
    await waitFor('further forecasts of all', more(before));
    // The one does not read what the others get.
    expect(slow.bytesRead).toBeLessThan(PADDING.length * 2 ** 19);
    await waitFor(
      'the state',
      () => {
        look();
        return health.state === 'ok';
      },
      90_000,
    );
    expect(health.dropped).toEqual({});
    clearInterval(feed);
    slow.destroy();
    expect(await daemon.end('SIGTERM')).toBe(0);
  });
});
