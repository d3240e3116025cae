/** Values of any size go through a real broker, the built daemon and back: JSON in, forecast, score and plain numbers out. */
import { describe, expect, test } from 'vitest';
import { daemonSuite } from '../support/daemon-suite.ts';
import { hasMosquitto } from '../support/mosquitto.ts';
import { seeded } from '../support/page.ts';
import { sensorsConfig } from '../support/sensors.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

const MINUTE = 60_000;
const READINGS = 240;
const STEPS = 30;

/** Offset and swing of the series. */
const SIZES = {
  tiny: [0, 1e-10],
  tinier: [0, 3e-40],
  huge: [0, 1e12],
  negative: [-1e12, 1e11],
  total: [45_678.9, 0.05],
  offset: [1e9, 0.5],
  'large-offset': [1e12, 2000],
  'tiny-offset': [1e-3, 1e-7],
} as const;

interface Forecast {
  readonly last: number | null;
  readonly origin: string;
  readonly p10: number[];
  readonly p50: number[];
  readonly p90: number[];
}

describe.skipIf(!hasMosquitto)('values of any size', () => {
  const suite = daemonSuite();
  const temp = tempDirs();
  const startMs = Math.floor(Date.now() / MINUTE) * MINUTE - (READINGS + 60) * MINUTE;
  const at = (n: number): string => new Date(startMs + n * MINUTE + 1000).toISOString();

  test('come out as they went in', async () => {
    const { broker, eyes } = suite;
    await suite.start(
      temp(),
      sensorsConfig(
        { node: 'sizes', url: broker.url, dataDir: temp() },
        { horizon: `${STEPS}m` },
        { publish: { at: ['5m'] }, finetune: { enabled: false } },
      ),
    );
    const random = seeded(3);
    const sent = new Map<string, number[]>();
    for (const [name, [offset, swing]] of Object.entries(SIZES)) {
      const values = Array.from(
        { length: READINGS },
        (_, n) => offset + swing * (Math.sin(n / 10) + 0.1 * random()),
      );
      sent.set(name, values);
      const rows = values.map((value, n) => `{"time":"${at(n)}","value":${value}}`);
      await eyes.client.publishAsync(`sensors/${name}`, `[${rows.join(',')}]`, { qos: 1 });
    }
    // The last bucket is still open.
    const originMs = Date.parse(at(READINGS - 2)) - 1000;
    for (const [name, [offset, swing]] of Object.entries(SIZES)) {
      const newest = await waitFor(`the newest forecast of ${name}`, () =>
        eyes
          .on(`gatecast/sizes/forecast/${name}`)
          .map(({ text }) => ({ text, forecast: JSON.parse(text) as Forecast }))
          .find(({ forecast }) => Date.parse(forecast.origin) >= originMs),
      );
      const { p10, p50, p90 } = newest.forecast;
      for (const list of [p10, p50, p90]) expect(list, name).toHaveLength(STEPS);
      const values = sent.get(name) as number[];
      const last = values.at(-2) as number;
      for (const [k, median] of p50.entries()) {
        expect(Number.isFinite(median), name).toBe(true);
        expect(p10[k], name).toBeLessThanOrEqual(median);
        expect(p90[k], name).toBeGreaterThanOrEqual(median);
        // Within what the series has shown, and an interval as wide as the series moves.
        expect(Math.abs(median - offset) / swing, `${name}: ${newest.text}`).toBeLessThan(2);
        const width = ((p90[k] as number) - (p10[k] as number)) / swing;
        expect(width, `${name}: ${newest.text}`).toBeGreaterThan(0.02);
        expect(width, `${name}: ${newest.text}`).toBeLessThan(6);
      }
      expect(Math.abs((p50[0] as number) - last) / swing, `${name}: ${newest.text}`).toBeLessThan(0.5);
      // The digits that are sent tell the steps apart.
      expect(new Set(p50).size, `${name}: ${newest.text}`).toBeGreaterThan(STEPS / 2);
      for (const { topic, text } of eyes.seen.filter((seen) => seen.topic.split('/').includes(name))) {
        expect(text, topic).not.toMatch(/nan|infinity/i);
        if (topic.includes('/summary/')) {
          const { range } = JSON.parse(text) as { range: { next: { p10: number; p90: number } } };
          expect(range.next.p90, `${topic} ${text}`).toBeGreaterThan(range.next.p10);
        }
        if (topic.includes('/score/')) {
          const { by_lead: byLead } = JSON.parse(text) as {
            by_lead: readonly Record<string, number | null>[];
          };
          for (const lead of byLead)
            for (const key of ['mase', 'coverage', 'skill_vs_naive', 'skill_vs_seasonal'])
              expect(Math.abs(lead[key] ?? 0), `${topic} ${text}`).toBeLessThanOrEqual(100);
        }
      }
    }
  }, 120_000);
});
