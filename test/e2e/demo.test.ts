/** `gatecast demo` as a user meets it: the printed addresses lead somewhere, and the page shows forecasts. */
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hasChromium, launchChromium } from '../support/chromium.ts';
import { type Daemon, ensureBuilt, spawnProgram } from '../support/daemon.ts';
import { freePort, type Watcher, watch } from '../support/mosquitto.ts';
import { stopwatch } from '../support/run-delay.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

describe('gatecast demo', () => {
  const temp = tempDirs();
  let demo: Daemon;
  let page: string;
  let eyes: Watcher;

  beforeAll(async () => {
    ensureBuilt();
    const port = await freePort();
    demo = spawnProgram(['demo', '--verbose', '--http', `127.0.0.1:${port}`, '--data-dir', temp()]);
    const find = (pattern: RegExp) =>
      waitFor(`${pattern} in the output`, () => pattern.exec(demo.output())?.[1]);
    page = await find(/page +(http:\S+)/);
    eyes = await watch(await find(/broker +(mqtt:\S+)/), 'gatecast/#', { protocolVersion: 4 });
  });
  afterAll(async () => {
    await eyes?.close();
    if (demo?.process.exitCode === null) demo.process.kill('SIGKILL');
  });

  test('status, health and forecasts of kind gru are on its broker', async () => {
    interface Forecast {
      readonly model: { readonly kind: string };
      readonly p50: readonly number[];
    }
    const forecasts = (): Forecast[] =>
      eyes.seen
        .filter(({ topic }) => topic.startsWith('gatecast/demo/forecast/'))
        .map(({ text }) => JSON.parse(text) as Forecast);
    await waitFor('gru forecasts', () => forecasts().some(({ model }) => model.kind === 'gru'));
    expect(forecasts()[0]?.p50).toHaveLength(60);
    expect(eyes.on('gatecast/demo/status').map(({ text }) => text)[0]).toContain('"online"');
    await waitFor('health', () => eyes.on('gatecast/demo/health').length > 0);
    expect(demo.output()).toMatch(/cpu\/busy +\S+ % +-> +in 60 s/);
  });

  test('the readings are counted without a loss', async () => {
    const { health } = (await (await fetch(`${page}/api/status`)).json()) as {
      health: { dropped: object; streams: number; degraded: string[] };
    };
    expect(health.dropped).toEqual({});
    expect(health.degraded).toEqual([]);
    expect(health.streams).toBeGreaterThanOrEqual(5);
  });

  test.skipIf(!hasChromium)('the page draws a fan for every stream', async () => {
    const browser = await launchChromium();
    try {
      const tab = await browser.newPage({ viewport: { width: 1280, height: 1400 } });
      await tab.goto(page);
      await tab.waitForSelector('.row:nth-of-type(5)');
      // Asked from outside: the page's own policy forbids a predicate that is evaluated inside again and again.
      const drawn = (): Promise<boolean> =>
        tab.evaluate(`[...document.querySelectorAll('.spark, #chart canvas')].every((canvas) => {
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            let blue = 0;
            for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 20 && data[i + 2] > data[i] + 60) blue++;
            return blue > 60;
          })`);
      await expect.poll(drawn).toBe(true);
      expect(await tab.locator('#stream-badges .badge', { hasText: 'GRU' }).count()).toBeGreaterThan(0);
    } finally {
      await browser.close();
    }
  });

  test('SIGINT ends it within 5 s, and says goodbye', async () => {
    const watch = stopwatch(demo.process.pid);
    demo.process.once('exit', watch.stop);
    expect(await demo.end('SIGINT')).toBe(0);
    expect(watch.stop()).toBeLessThan(5000);
    await waitFor('the goodbye', () => eyes.on('gatecast/demo/status').at(-1)?.text.includes('"offline"'));
  });

  test('without --data-dir it leaves nothing behind', async () => {
    const folder = temp();
    const left = () => readdirSync(folder).filter((name) => name.startsWith('gatecast-demo-'));
    const other = spawnProgram(['demo', '--http', `127.0.0.1:${await freePort()}`], {
      GATECAST_DATA_DIR: '',
      TMPDIR: folder,
    });
    await waitFor('its start', () => other.output().includes('Ctrl-C'));
    expect(left()).toHaveLength(1);
    const watch = stopwatch(other.process.pid);
    other.process.once('exit', watch.stop);
    expect(await other.end('SIGTERM')).toBe(0);
    // Also while it is still connecting.
    expect(watch.stop()).toBeLessThan(5000);
    expect(left()).toEqual([]);
  });
});
