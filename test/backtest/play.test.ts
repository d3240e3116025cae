import { describe, expect, it } from 'vitest';
import { grids, type Played, type PlayOptions, play, type Reading } from '../../src/backtest/play.ts';
import { Tuner } from '../../src/backtest/tuner.ts';
import { Engine } from '../../src/forecast/engine.ts';
import type { StoredModel } from '../../src/model/registry.ts';
import { createRandom } from '../../src/network/random.ts';

const MINUTE = 60_000;
const START = Date.UTC(2024, 4, 1);
const OPTIONS: PlayOptions = {
  intervalMs: 5 * MINUTE,
  horizon: 12,
  start: 0.4,
  stride: 9,
  fill: 'model',
  aggregate: 'mean',
  maxGapMs: 3_600_000,
  timeZone: 'UTC',
  min: null,
  max: null,
};

/** Two sensors, one irregular and with holes. */
function history(buckets: number, seed = 5): Reading[] {
  const random = createRandom(seed);
  const all: Reading[] = [];
  for (let i = 0; i < buckets; i++) {
    const at = START + i * 5 * MINUTE;
    const wave = Math.sin((2 * Math.PI * i) / 288);
    all.push({
      series: 0,
      timeMs: at + Math.floor(random.next() * 4 * MINUTE),
      value: 20 + 3 * wave + random.normal(),
    });
    if (random.next() < 0.8 && !(i > 150 && i < 190)) {
      all.push({ series: 1, timeMs: at + MINUTE, value: 5 + wave + 0.2 * random.normal() });
    }
  }
  return all.sort((a, b) => a.timeMs - b.timeMs);
}

async function run(all: Reading[]): Promise<Played[]> {
  return play(new Engine(null), grids(['a', 'b'], all, OPTIONS.intervalMs), all, OPTIONS);
}

describe('play', () => {
  it('forecasts every series at every origin with finite, ordered quantiles', async () => {
    const played = await run(history(400));
    const series = grids(['a', 'b'], history(400), OPTIONS.intervalMs);
    const expected = Math.floor((400 - OPTIONS.horizon - 160) / OPTIONS.stride) + 1;
    expect(series[0].actual.length).toBe(400);
    expect(played.length).toBe(2 * expected);
    for (const { quantiles } of played) {
      expect(quantiles.length).toBe(9 * OPTIONS.horizon);
      for (let i = 0; i < quantiles.length; i++) {
        expect(Number.isFinite(quantiles[i])).toBe(true);
        if (i % 9 > 0) expect(quantiles[i]).toBeGreaterThanOrEqual(quantiles[i - 1]);
      }
    }
  });

  it('never looks ahead: what comes after an origin changes nothing that was forecast at it', async () => {
    const whole = history(400);
    const cut = START + 300 * 5 * MINUTE;
    const changed = whole.map((one) => (one.timeMs < cut ? one : { ...one, value: one.value * 50 - 7 }));
    const early = (list: Played[]): Played[] => list.filter((one) => one.origin < 300);
    const a = early(await run(whole));
    const b = early(await run(changed));
    expect(a.length).toBeGreaterThan(20);
    expect(b).toEqual(a);
  });

  it('puts readings into the mean of their bucket', () => {
    const all: Reading[] = [
      { series: 0, timeMs: START, value: 1 },
      { series: 0, timeMs: START + MINUTE, value: 3 },
      { series: 0, timeMs: START + 11 * MINUTE, value: 7 },
    ];
    const [grid] = grids(['a'], all, OPTIONS.intervalMs);
    expect(Array.from(grid.actual)).toEqual([2, Number.NaN, 7]);
  });
});

describe('Tuner', () => {
  it('does not learn from what the play has marked', async () => {
    const spikes = [400, 520];
    const all = history(700).map((one) => {
      const bucket = Math.floor((one.timeMs - START) / OPTIONS.intervalMs);
      return one.series === 0 && spikes.includes(bucket) ? { ...one, value: 4000 } : one;
    });
    const series = grids(['a', 'b'], all, OPTIONS.intervalMs);
    const engine = new Engine(null);
    const tuner = new Tuner(engine, series, {} as StoredModel, {
      everyMs: 1,
      play: OPTIONS,
      firstScored: 700,
      windowMs: 1e10,
      now: () => 0,
    });
    const refused: string[] = [];
    await play(engine, series, all, OPTIONS, {
      marked: (s, index, marks) => tuner.marked(s, index, marks),
      refused: (reason) => refused.push(reason),
    });
    const [learnt] = tuner.history(700);
    expect(series[0]!.actual[400]).toBe(4000);
    for (const at of spikes) expect(learnt!.values[at]).toBeNaN();
    expect(learnt!.values[399]).toBeCloseTo(series[0]!.actual[399]!, 4);
    expect(refused).toEqual([]);
  });

  it('reads no older history than an agent would', () => {
    const series = grids(['a', 'b'], history(700), OPTIONS.intervalMs);
    const options = { everyMs: 1, play: OPTIONS, firstScored: 700, now: () => 0 };
    const tuner = new Tuner(new Engine(null), series, {} as StoredModel, {
      ...options,
      windowMs: 600 * OPTIONS.intervalMs,
    });
    const [learnt] = tuner.history(700);
    expect(learnt!.values).toHaveLength(600);
    expect(learnt!.startMs).toBe(series[0]!.startMs + 100 * OPTIONS.intervalMs);
  });
});
