import { expect, it } from 'vitest';
import { Engine } from '../../src/forecast/engine.ts';
import { testSpec } from '../support/specs.ts';

const HOUR = 3_600_000;
const START = Date.UTC(2025, 0, 1);

/** What forecasts say of their input after readings every hour and then `silent` hours without. */
async function qualities(intervalMs: number | null, silent: number): Promise<string[]> {
  const engine = new Engine(null);
  engine.add(testSpec('s', { intervalMs, maxGapMs: 2 * HOUR, horizonMs: 4 * HOUR }));
  const at = (i: number) => START + i * HOUR;
  for (let i = 0; i < 20; i++) engine.push({ stream: 's', timeMs: at(i), value: i, arrivalMs: at(i) });
  const forecasts = await engine.tick(at(20), true);
  forecasts.push(...(await engine.tick(at(20 + silent), true)));
  return forecasts.slice(-silent).map(({ input }) => input.quality);
}

it('a gap is long after the configured time, or after eight intervals if the interval is learnt', async () => {
  expect(await qualities(HOUR, 10)).toEqual(['filled', ...new Array(9).fill('stale')]);
  expect(await qualities(null, 10)).toEqual([...new Array(7).fill('filled'), ...new Array(3).fill('stale')]);
});
