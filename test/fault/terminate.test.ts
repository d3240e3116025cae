/** Row 27: SIGTERM at any stage ends the daemon within 5 s, with its state saved and `offline` on the broker. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Daemon, spawnProgram } from '../support/daemon.ts';
import { daemonSuite } from '../support/daemon-suite.ts';
import { hasMosquitto, startMosquitto } from '../support/mosquitto.ts';
import { stopwatch } from '../support/run-delay.ts';
import { sensorsConfig } from '../support/sensors.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const LIMIT_MS = 5000;

describe.skipIf(!hasMosquitto)('row 27: SIGTERM', () => {
  const temp = tempDirs();
  const suite = daemonSuite();

  const config = (node: string, url = suite.broker.url) =>
    sensorsConfig(
      { node, url, dataDir: temp() },
      { match: `${node}/{place}`, interval: '1s', horizon: '10s' },
      { finetune: { enabled: true } },
    );
  const status = (node: string): string | undefined => suite.eyes.on(`gatecast/${node}/status`).at(-1)?.text;

  async function endsInTime(daemon: Daemon): Promise<void> {
    const watch = stopwatch(daemon.process.pid);
    daemon.process.once('exit', watch.stop);
    const end = await daemon.end('SIGTERM');
    expect(watch.stop()).toBeLessThan(LIMIT_MS);
    expect([0, 'SIGTERM'], daemon.output()).toContain(end);
    expect(daemon.output()).not.toMatch(/"?stop failed|UNEXPECTED/);
  }

  const DURING_START_MS = [0, 50, 100, 200, 300, 400, 500, 600, 800, 1000, 1500, 2000];
  test.each(DURING_START_MS)('row 27: %i ms after the start', async (delay) => {
    const node = `start${delay}`;
    const dir = temp();
    const file = join(dir, 'gatecast.json');
    writeFileSync(file, JSON.stringify(config(node)));
    const daemon = suite.add(spawnProgram(['run', '-c', file]));
    await sleep(delay);
    await endsInTime(daemon);
    // Where `online` was published, `offline` follows: from the daemon itself or, where it was cut off, from the broker.
    await suite.eyes.caughtUp();
    await waitFor('no status but offline', () => status(node)?.includes('offline') !== false);
  });

  test('row 27: in a flood of readings, after which what was acknowledged is there', async () => {
    const daemon = await suite.start(temp(), config('flood'));
    let sent = 0;
    const feed = setInterval(() => {
      for (let i = 0; i < 200; i++)
        suite.eyes.client.publish(
          `flood/p${i}`,
          JSON.stringify({ value: sent++, time: new Date().toISOString() }),
          { qos: 1 },
        );
    }, 50);
    await waitFor('forecasts', () => suite.eyes.on('gatecast/flood/forecast/p1').length > 1);
    await endsInTime(daemon);
    clearInterval(feed);
    await waitFor('offline', () => status('flood')?.includes('offline'));
  });

  test('row 27: while the broker is frozen', async () => {
    const other = await startMosquitto();
    const daemon = await suite.start(temp(), config('frozen', other.url));
    other.signal('SIGSTOP');
    await sleep(500);
    await endsInTime(daemon);
    await other.stop();
  });

  test('row 27: without a broker', async () => {
    const other = await startMosquitto();
    const daemon = await suite.start(temp(), config('alone', other.url));
    await other.stop();
    await sleep(500);
    await endsInTime(daemon);
  });
});
