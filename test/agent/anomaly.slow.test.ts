/** An anomaly from the reading to the page and into the store, in an agent in this process with a real broker. */
import { expect, test } from 'vitest';
import { agentConfig, agentsOfFile, json } from '../support/agents.ts';
import { hasMosquitto } from '../support/mosquitto.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const temp = tempDirs();
const { setUp, start, stop } = agentsOfFile();

test.skipIf(!hasMosquitto)(
  'a reading that hardly agrees with its forecast is reported, on the broker and on the page, also after a restart',
  async () => {
    const { broker, eyes } = await setUp();
    const dir = temp();
    const place = { match: 'sensors/{place}', interval: '100ms', horizon: '2s', name: '{place}' };
    const config = agentConfig(broker.url, dir, { lateness: '2s', streams: [place] });
    const agent = await start(config);
    // Stamped, so that a busy machine makes no gaps.
    let timeMs = Date.now();
    const speakStamped = async (enough: () => boolean): Promise<void> => {
      let i = 0;
      await waitFor('enough of the readings', async () => {
        for (; timeMs <= Date.now(); timeMs += 50) await reading(10 + (i++ % 7));
        await sleep(50);
        return enough();
      });
    };
    const reading = (value: number) =>
      eyes.client.publishAsync(
        'sensors/tank',
        JSON.stringify({ time: new Date(timeMs).toISOString(), value }),
        { qos: 1 },
      );
    // A bucket counts only if the one before it has a reading, too.
    const counted = (): number => {
      const good = json(eyes, 'gatecast/test/forecast/tank')
        .filter(({ input }) => (input as { quality: string }).quality === 'good')
        .map(({ origin }) => Date.parse(String(origin)));
      return good.filter((originMs, at) => originMs - (good[at - 1] ?? 0) === 100).length;
    };
    await speakStamped(() => counted() >= 70);
    timeMs += 50;
    await reading(5000);
    const anomalies = () => json(eyes, 'gatecast/test/anomaly/tank');
    await speakStamped(() => anomalies().some(({ observed }) => Number(observed) > 100));
    const spike = anomalies().find(({ observed }) => Number(observed) > 100)!;
    expect(Object.keys(spike)).toEqual(['time', 'observed', 'p50', 'low', 'high', 'score']);
    expect(spike.score).toBeGreaterThanOrEqual(5);
    expect(spike.observed).toBeGreaterThan(Number(spike.high));
    const shown = async (url: string | null, view: string) => {
      const { anomalies } = (await (await fetch(`${url}/api/${view}/tank`)).json()) as {
        anomalies: { at_ms: number }[];
      };
      return anomalies.map(({ at_ms }) => at_ms);
    };
    const spikeMs = Date.parse(String(spike.time));
    await expect.poll(() => shown(agent.pageUrl, 'streams')).toContain(spikeMs);
    await stop(agent);
    const again = await start(config);
    await expect.poll(() => shown(again.pageUrl, 'streams')).toContain(spikeMs);
    await expect.poll(() => shown(again.pageUrl, 'history')).toContain(spikeMs);
    // Past forecasts at a lead and of a time that are not kept.
    const past = (await (await fetch(`${again.pageUrl}/api/past/tank?lead=3&from=0`)).json()) as {
      replayed: boolean;
      points: number[][];
    };
    expect(past.replayed).toBe(true);
    expect(past.points.length).toBeGreaterThan(10);
    expect(past.points.flat().every(Number.isFinite)).toBe(true);
  },
);
