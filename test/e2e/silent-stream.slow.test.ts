/** A stream that stops sending, with the built program and a real Mosquitto. */
import { describe, expect, test } from 'vitest';
import { daemonSuite } from '../support/daemon-suite.ts';
import { hasMosquitto, watch } from '../support/mosquitto.ts';
import { plainConfig, SECONDS } from '../support/sensors.ts';
import { SHAPES } from '../support/shapes.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const ROOT = 'gatecast/edge';

describe.skipIf(!hasMosquitto)('a stream that stops sending', () => {
  const temp = tempDirs();
  const suite = daemonSuite(undefined, '#');

  test('is unavailable in Home Assistant until it sends again; the others stay available', async () => {
    const { broker, eyes } = suite;
    const dir = temp();
    const rule = { ...SECONDS, match: 'sensors/{place}', name: '{place}', gaps: { max: '3s' } };
    const publish = { home_assistant: true };
    await suite.start(dir, plainConfig({ node: 'edge', url: broker.url, dataDir: dir }, [rule], { publish }));
    /** The newest state on a topic. */
    const state = (topic: string): unknown => {
      const text = eyes.on(`${ROOT}/${topic}`).at(-1)?.text;
      return text === undefined ? undefined : (JSON.parse(text) as { state: string }).state;
    };
    const sendUntil = (what: string, places: readonly string[], enough: () => boolean) =>
      waitFor(what, async () => {
        for (const place of places)
          await eyes.client.publishAsync(`sensors/${place}`, JSON.stringify({ v: 20, t: Date.now() }));
        await sleep(200);
        return enough();
      });

    const both = () => [state('summary/pump'), state('summary/tank')].join();
    await sendUntil('both available', ['pump', 'tank'], () => both() === 'online,online');
    await sendUntil('the pump unavailable', ['tank'], () => both() === 'offline,online');

    // What Home Assistant gets that starts only now: each entity of the pump is available by these two topics.
    const late = await watch(broker.url, '#');
    const kept = (topic: string) => late.on(topic).find(({ retain }) => retain)?.text;
    const topics = [`${ROOT}/status`, `${ROOT}/summary/pump`];
    await waitFor('the retained messages', () => topics.every((topic) => kept(topic) !== undefined));
    expect(topics.map((topic) => (JSON.parse(kept(topic) ?? '') as { state: string }).state)).toEqual([
      'online',
      'offline',
    ]);
    const devices = late.seen
      .filter(({ topic, retain }) => retain && topic.startsWith('homeassistant/device/'))
      .map(({ text }) => SHAPES.device.parse(JSON.parse(text)));
    await late.close();
    const components = devices
      .flatMap(({ cmps }) => Object.values(cmps))
      .filter(({ state_topic }) => state_topic === topics[1]);
    expect(components.length).toBeGreaterThan(0);
    for (const { availability, availability_mode } of components) {
      expect(availability).toMatchObject(topics.map((topic) => ({ topic })));
      expect(availability_mode).toBe('all');
    }

    await sendUntil('both available again', ['pump', 'tank'], () => both() === 'online,online');
  });
});
