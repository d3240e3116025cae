/** `covariates: auto` in the running agent: chosen from readings that arrive over MQTT, named in the messages, and kept over a restart. */
import { afterAll, describe, expect, test } from 'vitest';
import type { Agent } from '../../src/agent/contract.ts';
import { startAgent } from '../../src/agent.ts';
import { validateConfig } from '../../src/config/index.ts';
import { silentLogger } from '../../src/log.ts';
import { systemClock } from '../../src/system/clock.ts';
import { hasMosquitto, type Mosquitto, startMosquitto, type Watcher, watch } from '../support/mosquitto.ts';
import { normal } from '../support/random.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

const MINUTE = 60_000;
/** Minutes that are sent at once, and in all. */
const PIECE = 60;
const MINUTES = 540;
const STREAMS = ['sun', 'pv', 'room'] as const;

interface Message {
  readonly origin: string;
  readonly p50: readonly number[];
  readonly provenance: { readonly inputs_used: readonly string[] };
}

describe.skipIf(!hasMosquitto)('covariates: auto', () => {
  const temp = tempDirs();
  let agent: Agent | null = null;
  let broker: Mosquitto | null = null;
  let eyes: Watcher | null = null;
  afterAll(async () => {
    await agent?.stop();
    await eyes?.close();
    await broker?.stop();
  });

  test('a stream finds the one that it follows, names it, and keeps it over a restart', async () => {
    broker = await startMosquitto();
    const watcher = await watch(broker.url, 'gatecast/#');
    eyes = watcher;
    const config = validateConfig({
      node: 'n',
      mqtt: { url: broker.url, qos: 1 },
      data_dir: temp(),
      lateness: '0s',
      timezone: 'UTC',
      finetune: { schedule: 'off', on_drift: false },
      publish: { provenance: true },
      streams: [
        { match: 'plant/{n}', fields: ['v'], time: 't', interval: '1m', horizon: '8m', covariates: 'auto' },
      ].map((rule) => ({ ...rule, payload: 'json', name: '{n}' })),
      http: { listen: 'off' },
    });
    const begin = async () => {
      agent = await startAgent({ config, version: '1', clock: systemClock, log: silentLogger });
      return agent;
    };
    const newest = (stream: string): Message | undefined => {
      const text = watcher.on(`gatecast/n/forecast/${stream}`).at(-1)?.text;
      return text === undefined ? undefined : (JSON.parse(text) as Message);
    };
    const startMs = Math.floor(Date.now() / MINUTE - MINUTES - 60) * MINUTE;
    const noise = normal(1);
    const suns: number[] = [];
    let cloud = 0;
    let level = 0;
    const next = () => {
      cloud = 0.85 * cloud + noise();
      level = 0.95 * level + noise();
      suns.push(600 + 60 * cloud);
      const pv = 0.005 * (suns.at(-4) ?? 600) + 0.05 * noise();
      return { sun: suns.at(-1) ?? 0, pv, room: 20 + level };
    };
    /** Sends minutes, and waits until those that are over are forecast. */
    const send = async (from: number, to: number): Promise<void> => {
      const sent: Promise<unknown>[] = [];
      for (let t = from; t < to; t++) {
        const values = next();
        const time = new Date(startMs + (t + 0.5) * MINUTE).toISOString();
        sent.push(
          ...STREAMS.map((stream) =>
            watcher.client.publishAsync(`plant/${stream}`, JSON.stringify({ t: time, v: values[stream] }), {
              qos: 1,
            }),
          ),
        );
      }
      await Promise.all(sent);
      const over = new Date(startMs + (to - 2) * MINUTE).toISOString().slice(0, 16);
      await waitFor(`the forecasts of minute ${to}`, () =>
        STREAMS.every((stream) => (newest(stream)?.origin ?? '') >= over),
      );
    };

    const first = await begin();
    await waitFor('online', () => watcher.on('gatecast/n/status').length > 0);
    for (let t = 0; t < MINUTES; t += PIECE) await send(t, t + PIECE);
    // The best first; another stream may be on trial, too.
    const used = () => newest('pv')?.provenance.inputs_used ?? [];
    expect(used()[0]).toBe('sun');

    await first.stop();
    const before = watcher.on('gatecast/n/forecast/pv').length;
    await begin();
    await send(MINUTES, MINUTES + 5);
    expect(watcher.on('gatecast/n/forecast/pv').length).toBeGreaterThan(before);
    expect(used()[0]).toBe('sun');
  });
});
