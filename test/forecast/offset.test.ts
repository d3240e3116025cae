/** What a stream keeps in single precision does not lose small changes on a large offset; and its state stays small. */
import { describe, expect, it } from 'vitest';
import { Engine } from '../../src/forecast/engine.ts';
import type { Forecast } from '../../src/forecast/forecast.ts';
import { fakeModel } from '../support/fake-model.ts';
import { ordinary } from '../support/series.ts';
import { testSpec } from '../support/specs.ts';

const START = Date.UTC(2025, 0, 1);

async function last(values: Float64Array): Promise<{ forecast: Forecast; bytes: number }> {
  const engine = new Engine(fakeModel());
  engine.add(testSpec('s', { horizonMs: 24_000 }));
  let newest: Forecast | undefined;
  for (const [i, value] of values.entries()) {
    engine.push({ stream: 's', timeMs: START + i * 1000, value, arrivalMs: Number.NaN });
    newest = (await engine.tick(null)).at(-1) ?? newest;
  }
  return { forecast: newest!, bytes: engine.snapshot('s')!.bytes.length };
}

describe('a stream with small changes on a large offset', () => {
  it.each([1e6, -3e7])('at %d is forecast like the same changes around zero', async (offset) => {
    const changes = ordinary(9, 40)(400).map((y) => Math.round((y - 20) * 1024) / 1024 / 16);
    const plain = await last(changes);
    const lifted = await last(changes.map((y) => y + offset));
    const width = plain.forecast.quantiles[8]! - plain.forecast.quantiles[0]!;
    expect(width).toBeGreaterThan(0);
    for (const [i, q] of plain.forecast.quantiles.entries()) {
      const error = Math.abs(lifted.forecast.quantiles[i]! - offset - q);
      expect(error / width, `quantile ${i}`).toBeLessThan(0.02);
    }
    expect(lifted.forecast.coverage.observed).toBeCloseTo(plain.forecast.coverage.observed!, 1);
  });
});

it('the state of a stream with 24 leads takes less than 31 KB', async () => {
  expect((await last(ordinary(1)(100))).bytes).toBeLessThan(31_000);
});
