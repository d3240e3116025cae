/**
 * The promise of the restart, with everything real: the built program, Mosquitto, SQLite, the model. One agent runs
 * through; two others are ended in the middle of the data, by SIGKILL and by SIGTERM, miss some of it, and start again.
 * Their forecasts must be equal.
 */
import { describe, expect, test } from 'vitest';
import type { Daemon } from '../support/daemon.ts';
import { daemonSuite } from '../support/daemon-suite.ts';
import { hasMosquitto } from '../support/mosquitto.ts';
import { seeded } from '../support/page.ts';
import { sensorsConfig } from '../support/sensors.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const STREAMS = ['cellar', 'attic', 'tank'];
const MINUTE = 60_000;
const START = Date.UTC(2025, 2, 1);
const COUNT = 290;

const config = (node: string, url: string, dataDir: string) =>
  sensorsConfig({ node, url, dataDir }, { horizon: '24m' }, { publish: { quantiles: [0.1, 0.5, 0.9] } });

describe.skipIf(!hasMosquitto)('restart', () => {
  const dir = tempDirs();
  const suite = daemonSuite(
    'allow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 10000',
    'gatecast/+/forecast/#',
  );

  const start = (node: string, dataDir: string): Promise<Daemon> =>
    suite.start(dataDir, config(node, suite.broker.url, dataDir));

  /** Whether a node has said what it makes of bucket `i` of a stream without holes. */
  const hasForecast = (node: string, i: number): boolean => {
    const topic = `gatecast/${node}/forecast/tank`;
    const newest = suite.eyes.seen.findLast((message) => message.topic === topic);
    if (newest === undefined) return false;
    return Date.parse((JSON.parse(newest.text) as { origin: string }).origin) >= START + i * MINUTE;
  };

  /**
   * Readings `from` to `to` of every stream, with holes and noise; the same numbers on every call. Every other bucket waits
   * until `nodes` have forecast from it, so that they publish many forecasts and not the newest of a few bursts alone.
   */
  const send = async (from: number, to: number, nodes: readonly string[]): Promise<void> => {
    for (let i = from; i < to; i++) {
      const sent: Promise<unknown>[] = [];
      for (const [s, place] of STREAMS.entries()) {
        if (s === 1 && i % 50 >= 44) continue;
        const random = seeded(i * 31 + s)();
        const value = 20 + 5 * Math.sin((2 * Math.PI * i) / 60 + s) + random;
        const time = new Date(START + i * MINUTE + s * 7000).toISOString();
        sent.push(
          suite.eyes.client.publishAsync(`sensors/${place}`, JSON.stringify({ value, time }), { qos: 1 }),
        );
      }
      await Promise.all(sent);
      if (i % 2 === 0 && i > 0)
        await waitFor(`forecasts from bucket ${i - 1}`, () =>
          nodes.every((node) => hasForecast(node, i - 1)),
        );
    }
  };

  interface Message {
    readonly stream: string;
    readonly origin: string;
    readonly seq: number;
    readonly model: { readonly kind: string };
  }
  /** By stream and origin, of one node; what may differ (the time of issue) left out. */
  const forecasts = (node: string): Map<string, Message> =>
    new Map(
      suite.eyes.seen
        .filter(({ topic }) => topic.startsWith(`gatecast/${node}/forecast/`))
        .map(({ text }) => {
          const { issued: _, ...message } = JSON.parse(text) as Message & { issued: string };
          return [`${message.stream} ${message.origin}`, message];
        }),
    );

  /** The newest bucket that is over: a newer reading shows it. */
  const last = new Date(START + (COUNT - 2) * MINUTE).toISOString();

  test('forecasts after SIGKILL or SIGTERM and a start equal those of an agent that never stopped', async () => {
    const signals = ['SIGKILL', 'SIGTERM'] as const;
    const broken = signals.map((signal) => ({ signal, node: `broken-${signal}`, dir: dir() }));
    const nodes = ['steady', ...broken.map(({ node }) => node)];
    const steady = await start('steady', dir());
    const first = await Promise.all(broken.map((one) => start(one.node, one.dir)));
    await send(0, COUNT / 2, nodes);
    await waitFor('forecasts of all', () => nodes.every((node) => forecasts(node).size > 50));
    const ending = send(COUNT / 2, COUNT / 2 + 20, []);
    await sleep(20);
    const codes = await Promise.all(broken.map(({ signal }, i) => first[i]?.end(signal)));
    expect(codes).toEqual(['SIGKILL', 0]);
    await ending;
    const before = broken.map(({ node }) => forecasts(node).size);
    const second = await Promise.all(broken.map((one) => start(one.node, one.dir)));
    await send(COUNT / 2 + 20, COUNT, nodes);
    await waitFor('the last forecasts of all', () =>
      STREAMS.every((s) => nodes.every((node) => forecasts(node).has(`${s} ${last}`))),
    );
    for (const daemon of [...second, steady]) expect(await daemon.end('SIGTERM')).toBe(0);

    const wanted = forecasts('steady');
    for (const [i, { node }] of broken.entries()) {
      const got = forecasts(node);
      expect(got.size).toBeGreaterThan((before[i] ?? 0) + 50);
      let compared = 0;
      for (const [key, message] of got) {
        const other = wanted.get(key);
        if (other === undefined) continue;
        compared++;
        expect(message, node).toEqual(other);
      }
      expect(compared).toBeGreaterThan(100);
      expect([...got.values()].some((message) => message.model.kind === 'gru')).toBe(true);
    }
  });
});
