/** Row 31: a healthy broker and many streams. The newest forecast of every stream arrives, and nothing is dropped. */
import { describe, expect, test } from 'vitest';
import { daemonSuite } from '../support/daemon-suite.ts';
import { hasMosquitto } from '../support/mosquitto.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

const STREAMS = 1500;
const LEADS = ['5s', '10s', '30s'];

describe.skipIf(!hasMosquitto)('row 31: many streams', () => {
  const temp = tempDirs();
  const suite = daemonSuite('allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0', '#');

  test(`row 31: ${STREAMS} streams, ${LEADS.length} leads each and Home Assistant: all arrive`, async () => {
    const dir = temp();
    const daemon = await suite.start(dir, {
      node: 'n',
      mqtt: { url: suite.broker.url, qos: 1 },
      data_dir: dir,
      lateness: '0s',
      http: { listen: 'off' },
      publish: { at: LEADS },
      streams: [{ match: 's/{place}', payload: 'number', interval: '5s', horizon: '30s', name: '{place}' }],
    });
    let round = 0;
    const feed = setInterval(() => {
      for (let i = 0; i < STREAMS; i++) suite.eyes.client.publish(`s/p${i}`, String(20 + ((round + i) % 11)));
      round++;
    }, 2500);
    const leads = (stream: string) => LEADS.map((lead) => `gatecast/n/forecast/${stream}/at/${lead}`);
    const newest = new Map<string, string>();
    const places = Array.from({ length: STREAMS }, (_, i) => `p${i}`);
    await waitFor(
      'every forecast, three times, and every lead',
      () => {
        for (const { topic, text } of suite.eyes.seen.splice(0)) {
          if (topic.startsWith('gatecast/n/forecast/')) counts.set(topic, (counts.get(topic) ?? 0) + 1);
          newest.set(topic, text);
        }
        return places.every(
          (place) =>
            (counts.get(`gatecast/n/forecast/${place}`) ?? 0) >= 3 &&
            leads(place).every((topic) => newest.has(topic)),
        );
      },
      90_000,
    );
    await waitFor('every announcement', () => {
      for (const { topic, text } of suite.eyes.seen.splice(0)) newest.set(topic, text);
      const announced = [...newest.keys()].filter((topic) => topic.startsWith('homeassistant/'));
      return places.every((place) => announced.some((topic) => topic.includes(place)));
    });
    clearInterval(feed);
    const health = JSON.parse(newest.get('gatecast/n/health') ?? 'null');
    expect(health?.dropped).toEqual({});
    expect(health?.state).toBe('ok');
    expect(await daemon.end('SIGTERM')).toBe(0);
  });

  const counts = new Map<string, number>();
});
