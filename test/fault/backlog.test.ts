/**
 * Fault 30: the agent stands still, or the network is away, for longer and for shorter than the keepalive. What the broker
 * and the network kept meanwhile is used, with and without time stamps: none of it is late or a duplicate.
 */
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { afterAll, describe, expect, test } from 'vitest';
import { daemonSuite } from '../support/daemon-suite.ts';
import { hasMosquitto } from '../support/mosquitto.ts';
import { startProxy, type TcpProxy } from '../support/proxy.ts';
import { sensorsConfig } from '../support/sensors.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const PLACES = ['a', 'b', 'c', 'd', 'e'];
/** Of so many readings the mean spacing is known well enough for a backlog of two minutes. */
const BEFORE = 25;
const AFTER_S = 4;

describe.skipIf(!hasMosquitto)('a backlog of a running agent is used completely after', () => {
  const temp = tempDirs();
  const suite = daemonSuite('allow_anonymous true\nmax_queued_messages 100000');
  const proxies: TcpProxy[] = [];
  afterAll(async () => {
    for (const proxy of proxies) await proxy.stop();
  });

  test.concurrent.each([
    ['SIGSTOP of 12 s, stamped', 'stop', 12, true],
    ['SIGSTOP of 12 s, unstamped', 'stop', 12, false],
    ['SIGSTOP of 40 s, stamped', 'stop', 40, true],
    ['network away for 4 s, stamped', 'freeze', 4, true],
    ['network away for 4 s, unstamped', 'freeze', 4, false],
    ['SIGSTOP of 120 s, stamped', 'stop', 120, true],
    ['SIGSTOP of 120 s, unstamped', 'stop', 120, false],
    ['network away for 40 s, stamped', 'freeze', 40, true],
    ['network away for 40 s, unstamped', 'freeze', 40, false],
    ['network away for 25 s, stamped', 'freeze', 25, true],
    ['network away for 25 s, unstamped', 'freeze', 25, false],
    ['connection cut for 20 s, stamped', 'cut', 20, true],
    ['connection cut for 20 s, unstamped', 'cut', 20, false],
  ] as const)('%s', async (_name, fault, seconds, stamped) => {
    const node = `${fault}${seconds}${stamped ? 's' : 'u'}`;
    const dir = temp();
    const proxy = await startProxy(suite.broker.port);
    proxies.push(proxy);
    const config = sensorsConfig(
      { node, url: proxy.url, dataDir: dir },
      {
        match: `${node}/{place}`,
        interval: '1s',
        horizon: '5s',
        ...(stamped ? {} : { time: undefined }),
      },
      { lateness: '500ms' },
    );
    const daemon = await suite.start(dir, {
      ...config,
      mqtt: { ...config.mqtt, keepalive: '5s', max_backoff: '1s' },
    });

    let sent = 0;
    /** Longest time between two readings of this test itself, ms. */
    let pauseMs = 0;
    let spokeMs = performance.now();
    const feed = setInterval(() => {
      const nowMs = performance.now();
      pauseMs = Math.max(pauseMs, nowMs - spokeMs);
      spokeMs = nowMs;
      for (const place of PLACES) {
        const reading = stamped ? { value: sent, time: new Date().toISOString() } : { value: sent };
        suite.eyes.client.publish(`${node}/${place}`, JSON.stringify(reading), { qos: 1 });
      }
      sent++;
    }, 1000);
    const forecasts = (place: string): number => suite.eyes.on(`gatecast/${node}/forecast/${place}`).length;
    // Then it knows how often each sensor speaks, however long the start took.
    await waitFor('forecasts of all', () => PLACES.every((place) => forecasts(place) >= BEFORE));
    const faultMs = [Date.now()];
    if (fault === 'stop') daemon.process.kill('SIGSTOP');
    else proxy[fault]();
    await sleep(seconds * 1000);
    if (fault === 'stop') daemon.process.kill('SIGCONT');
    else if (fault === 'freeze') proxy.thaw();
    else proxy.restore();
    faultMs.push(Date.now());
    await sleep(AFTER_S * 1000);
    clearInterval(feed);
    const lastMs = Date.now();
    const newest = (place: string): number => {
      const text = suite.eyes.on(`gatecast/${node}/forecast/${place}`).at(-1)?.text;
      return Date.parse(JSON.parse(text ?? '{"origin":0}').origin);
    };
    // Time has then passed the last reading, also for an agent that takes a backlog first.
    await waitFor('forecasts to go on', () => PLACES.every((place) => newest(place) > lastMs));
    expect(await daemon.end('SIGTERM')).toBe(0);

    const db = new Sqlite(join(dir, 'gatecast.db'), { readonly: true });
    for (const place of PLACES) {
      const rows = db
        .prepare(
          'SELECT s.time, s.value, s.mark FROM sample s JOIN stream n ON n.id = s.stream WHERE n.name = ? ORDER BY s.time',
        )
        .all(place) as { time: number; value: number; mark: number }[];
      // All of them, once, in the order in which they were sent, and none marked as late (64).
      expect(rows.map((row) => row.value)).toEqual(Array.from({ length: sent }, (_, i) => i));
      expect(rows.filter((row) => (row.mark & 64) !== 0)).toEqual([]);
      // Unstamped ones are spread over the time of the fault.
      const gaps = rows.slice(1).map((row, i) => row.time - (rows[i]?.time ?? 0));
      expect(Math.max(...gaps), `${rows.map((row) => row.time)}; ${faultMs}`).toBeLessThan(pauseMs + 4000);
    }
    const refused = db.prepare('SELECT * FROM reject').all();
    db.close();
    expect(refused).toEqual([]);
  });
});
