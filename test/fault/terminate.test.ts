/** Row 27: SIGTERM at any stage ends the daemon within 5 s, with its state saved and `offline` on the broker. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Daemon, ensureBuilt, spawnProgram, startDaemon } from '../support/daemon.ts';
import { hasMosquitto, type Mosquitto, startMosquitto, type Watcher, watch } from '../support/mosquitto.ts';
import { sensorsConfig } from '../support/sensors.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const LIMIT_MS = 5000;

describe.skipIf(!hasMosquitto)('row 27: SIGTERM', () => {
  const temp = tempDirs();
  let broker: Mosquitto;
  let eyes: Watcher;
  const daemons: Daemon[] = [];

  beforeAll(async () => {
    ensureBuilt();
    broker = await startMosquitto();
    eyes = await watch(broker.url, 'gatecast/#');
  }, 180_000);
  afterAll(async () => {
    for (const daemon of daemons) daemon.process.kill('SIGKILL');
    await eyes?.close();
    await broker?.stop();
  });

  const config = (node: string, url = broker.url) =>
    sensorsConfig(
      { node, url, dataDir: temp() },
      { match: `${node}/{place}`, interval: '1s', horizon: '10s' },
      { finetune: { enabled: true } },
    );
  const status = (node: string): string | undefined => eyes.on(`gatecast/${node}/status`).at(-1)?.text;

  async function endsInTime(daemon: Daemon): Promise<void> {
    const began = performance.now();
    const end = await daemon.end('SIGTERM');
    expect(performance.now() - began).toBeLessThan(LIMIT_MS);
    expect([0, 'SIGTERM'], daemon.output()).toContain(end);
    expect(daemon.output()).not.toMatch(/"?stop failed|UNEXPECTED/);
  }

  const DURING_START_MS = [0, 50, 100, 200, 300, 400, 500, 600, 800, 1000, 1500, 2000];
  test.each(DURING_START_MS)('row 27: %i ms after the start', async (delay) => {
    const node = `start${delay}`;
    const dir = temp();
    const file = join(dir, 'gatecast.json');
    writeFileSync(file, JSON.stringify(config(node)));
    const daemon = spawnProgram(['run', '-c', file]);
    daemons.push(daemon);
    await sleep(delay);
    await endsInTime(daemon);
    await sleep(100);
    // Where `online` was published, `offline` followed.
    expect([undefined, 'offline'], `${status(node)}`).toContain(
      status(node) === undefined ? undefined : (/offline/.exec(status(node) ?? '')?.[0] ?? 'online'),
    );
  });

  test('row 27: in a flood of readings, after which what was acknowledged is there', async () => {
    const daemon = await startDaemon(temp(), config('flood'));
    daemons.push(daemon);
    let sent = 0;
    const feed = setInterval(() => {
      for (let i = 0; i < 200; i++)
        eyes.client.publish(
          `flood/p${i}`,
          JSON.stringify({ value: sent++, time: new Date().toISOString() }),
          {
            qos: 1,
          },
        );
    }, 50);
    await waitFor('forecasts', () => eyes.on('gatecast/flood/forecast/p1').length > 1, 30_000);
    await endsInTime(daemon);
    clearInterval(feed);
    await waitFor('offline', () => status('flood')?.includes('offline'));
  });

  test('row 27: while the broker is frozen', async () => {
    const other = await startMosquitto();
    const daemon = await startDaemon(temp(), config('frozen', other.url));
    daemons.push(daemon);
    other.signal('SIGSTOP');
    await sleep(500);
    await endsInTime(daemon);
    await other.stop();
  });

  test('row 27: without a broker', async () => {
    const other = await startMosquitto();
    const daemon = await startDaemon(temp(), config('alone', other.url));
    daemons.push(daemon);
    await other.stop();
    await sleep(500);
    await endsInTime(daemon);
  });
});
