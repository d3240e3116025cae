// gatecast as installed on each board, against a real Mosquitto: it starts, forecasts with the shipped model what sensors
// say, and leaves cleanly on SIGTERM.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasMosquitto, type Mosquitto, startMosquitto, type Watcher, watch } from '../support/mosquitto.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';
import { BOARDS, finished, spawnOn } from './board.ts';

const temp = tempDirs();
const MINUTE = 60_000;
const START = Date.UTC(2025, 2, 1);
const READINGS = 40;

describe.skipIf(!hasMosquitto).each(BOARDS)('%s', (board) => {
  let broker: Mosquitto;
  let eyes: Watcher;
  beforeAll(async () => {
    broker = await startMosquitto();
    eyes = await watch(broker.url, `gatecast/${board}/#`);
  });
  afterAll(async () => {
    await eyes?.close();
    await broker?.stop();
  });

  it('boots, forecasts with the GRU, says goodbye', async () => {
    const dir = temp();
    const config = join(dir, 'gatecast.json');
    writeFileSync(
      config,
      JSON.stringify({
        node: board,
        mqtt: { url: broker.url },
        data_dir: dir,
        http: { listen: 'off' },
        streams: [
          {
            match: 'sensors/{place}',
            payload: 'json',
            fields: ['value'],
            time: 'time',
            interval: '1m',
            horizon: '24m',
          },
        ],
      }),
    );
    const child = spawnOn(board, [join('dist', 'gatecast.js'), 'run', '-c', config]);
    const end = finished(child);
    const topics = `gatecast/${board}`;
    const state = () =>
      (JSON.parse(eyes.on(`${topics}/status`).at(-1)?.text ?? '{}') as { state?: string }).state;
    await waitFor('the agent to be online', () => state() === 'online');

    for (let i = 0; i < READINGS; i++) {
      const value = 20 + 5 * Math.sin(i / 5);
      const time = new Date(START + i * MINUTE).toISOString();
      await eyes.client.publishAsync('sensors/cellar', JSON.stringify({ value, time }), { qos: 1 });
      await sleep(20);
    }
    interface Message {
      readonly model: { readonly kind: string };
      readonly origin: string;
      readonly p10: readonly number[];
      readonly p50: readonly number[];
      readonly p90: readonly number[];
    }
    const forecasts = () =>
      eyes.seen
        .filter(({ topic }) => topic.startsWith(`${topics}/forecast/`))
        .map(({ text }) => JSON.parse(text) as Message);
    const late = new Date(START + (READINGS - 3) * MINUTE).toISOString();
    await waitFor('the last forecasts', () => forecasts().some(({ origin }) => origin >= late));
    const last = forecasts().at(-1)!;
    expect(['gru', 'blend']).toContain(last.model.kind);
    expect(last.p50).toHaveLength(24);
    for (const [i, middle] of last.p50.entries()) {
      expect(last.p10[i]).toBeLessThanOrEqual(middle);
      expect(last.p90[i]).toBeGreaterThanOrEqual(middle);
      expect(middle).toBeGreaterThan(5);
      expect(middle).toBeLessThan(35);
    }

    child.kill('SIGTERM');
    const { code, err } = await end;
    expect(code, err).toBe(0);
    await waitFor('its goodbye', () => state() === 'offline');
  });
});
