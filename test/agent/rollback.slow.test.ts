/** Pushes that silence the streams of a running agent, on a real broker, end in the config before. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { cleanupsOfTest } from '../support/cleanups.ts';
import { hasMosquitto } from '../support/mosquitto.ts';
import { gatewaysOfTest, SECONDS } from '../support/remote-agent.ts';
import { openStore } from '../support/stores.ts';
import { sleep, waitFor } from '../support/wait.ts';

const cleanups = cleanupsOfTest();
const gateway = gatewaysOfTest();

describe.skipIf(!hasMosquitto)('a push that silences the streams', () => {
  test('a push that is taken at the start, before the first forecast, and silences the streams is rolled back', async () => {
    const one = await gateway();
    await waitFor('forecasts', () => one.forecasts() > 2);
    const { effective_hash: good } = one.reported();
    await one.stop();
    // Longer away than three intervals: how old the last readings are does not matter.
    await sleep(4000);
    await one.push(1, { patch: { streams: { s: { match: 'nowhere/{n}' } } }, probation: '4s' });
    await one.start();
    await one.untilReported('probation', 1);
    const fromMs = Date.now();
    await one.untilReported('rolled_back', 1);
    const toMs = Date.now();
    expect(one.reported()).toMatchObject({ code: 500, effective_hash: good });
    expect(one.reported().errors[0]?.text).toContain('1 of 1 streams have no forecasts');
    const before = one.forecasts();
    await waitFor('forecasts again', () => one.forecasts() > before);
    await one.stop();
    const store = openStore(join(dirname(one.file), 'data'));
    const stored = new Set([...store.samples('s/a', 0)].map(({ timeMs }) => timeMs));
    store.close();
    const during = one.fed.filter((ms) => ms > fromMs && ms < toMs);
    expect(during.length).toBeGreaterThan(0);
    expect(during.filter((ms) => !stored.has(ms))).toEqual([]);
    // The file is the owner's.
    expect(readFileSync(one.file, 'utf8')).toBe(one.text);
  });

  test('a push to a new gateway whose streams have had readings only, and which silences them, is rolled back', async () => {
    const one = await gateway({
      streams: [{ id: 'slow', match: 'slow/{n}', name: 'slow/{n}', ...SECONDS, interval: '10s' }],
    });
    // The first forecast comes at the end of the first interval: readings begin early in one.
    await waitFor('the begin of an interval', () => Date.now() % 10_000 < 500);
    const feeding = setInterval(
      () => one.watcher.client.publish('slow/b', JSON.stringify({ v: 1 + (Date.now() % 7), t: Date.now() })),
      250,
    );
    cleanups.push(async () => clearInterval(feeding));
    await waitFor('the stream', () =>
      one.watcher.seen.some(({ topic }) => topic.startsWith('gatecast/cellar/')),
    );
    await sleep(1000);
    expect(one.watcher.on('gatecast/cellar/forecast/slow/b')).toEqual([]);
    // The probation is shorter than two intervals: it lasts until the stream had time for a forecast.
    await one.push(1, { patch: { streams: { slow: { match: 'nowhere/{n}' } } }, probation: '8s' });
    await one.untilReported('rolled_back', 1);
    expect(one.reported().errors[0]?.text).toContain('slow/b');
  });
});
