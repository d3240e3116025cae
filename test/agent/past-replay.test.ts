import { describe, expect, it, vi } from 'vitest';
import { replayPast } from '../../src/agent/past-replay.ts';
import { Engine } from '../../src/forecast/engine.ts';
import type { Forecast } from '../../src/forecast/forecast.ts';
import type { Model } from '../../src/forecast/model.ts';
import { Q } from '../../src/quantiles.ts';
import type { StreamSpec } from '../../src/series/spec.ts';
import { fakeModel } from '../support/fake-model.ts';
import { uniform } from '../support/random.ts';
import { testSpec } from '../support/specs.ts';
import { openStore, tempFolder } from '../support/stores.ts';

const T0 = Date.UTC(2025, 0, 1);
const pace = { monotonic: () => performance.now(), sleep: async () => {} };

/** A live engine that has published forecasts of `buckets` buckets, and the store with their readings. */
async function lived(specs: readonly StreamSpec[], buckets: number, model: Model | null = null) {
  const store = openStore(tempFolder());
  const engine = new Engine(model);
  for (const spec of specs) engine.add(spec);
  const published: Forecast[] = [];
  const random = uniform(7);
  for (let bucket = 0; bucket < buckets; bucket++) {
    for (const { name } of specs) {
      // Holes, and two readings in some buckets.
      for (const part of random() < 0.1 ? [] : random() < 0.3 ? [100, 600] : [300]) {
        const timeMs = T0 + bucket * 1000 + part;
        const value = 20 + 5 * Math.sin(bucket / 9) + random();
        const sample = { stream: name, timeMs, value, arrivalMs: timeMs };
        engine.push(sample);
        store.append(sample);
      }
    }
    published.push(...(await engine.tick(T0 + (bucket + 1) * 1000)));
  }
  // A part of the readings is in the database, the rest is in memory.
  store.flush();
  return { store, engine, published, source: { engine, model, store } };
}

const pointsOf = (published: readonly Forecast[], stream: string, lead: number) =>
  published
    .filter((forecast) => forecast.stream === stream)
    .map(({ originMs, stepMs, quantiles }) => {
      const [p10 = 0, p50 = 0, p90 = 0] = [0, 4, 8].map((column) => quantiles[(lead - 1) * Q + column]);
      return { timeMs: originMs + lead * stepMs, p10, p50, p90 };
    });

const FROM_START = { fromMs: 0, toMs: T0 + 1e9 };

describe('past forecasts by replay', () => {
  it.each([
    { model: null, name: 'naive forecasters' },
    { model: fakeModel(), name: 'a network' },
  ])('are what was published, at any lead, with $name', async ({ model }) => {
    const { published, source } = await lived([testSpec('a')], 160, model);
    for (const lead of [1, 10]) {
      const expected = pointsOf(published, 'a', lead).filter(({ timeMs }) => timeMs <= T0 + 150_000);
      const request = { stream: 'a', lead, fromMs: 0, toMs: T0 + 150_000 };
      const { points: found } = await replayPast(source, request, pace);
      expect(found.length).toBeGreaterThan(130);
      expect(found).toEqual(expected);
    }
  });

  it('sees the streams that it has as covariates', async () => {
    const seen = testSpec('a', { covariates: [{ kind: 'stream', name: 'b' }] });
    const { store, published, source } = await lived([testSpec('b'), seen, testSpec('c')], 160, fakeModel());
    const read = vi.spyOn(store, 'samples');
    const { points: found } = await replayPast(source, { stream: 'a', lead: 2, ...FROM_START }, pace);
    expect(new Set(read.mock.calls.map(([name]) => name))).toEqual(new Set(['a', 'b']));
    // Similar streams learn from each other too, so the numbers are close, not equal.
    const expected = pointsOf(published, 'a', 2).filter(({ timeMs }) => timeMs <= T0 + 160_000);
    expect(found.map(({ timeMs }) => timeMs)).toEqual(expected.map(({ timeMs }) => timeMs));
    const apart = found.map(({ p50 }, i) => Math.abs(p50 - (expected[i]?.p50 ?? Number.NaN)));
    expect(apart.reduce((sum, one) => sum + one, 0) / apart.length).toBeLessThan(0.1);
  });

  it('sees the streams that it has chosen as covariates', async () => {
    const { store, engine, source } = await lived(
      [testSpec('b'), testSpec('a', { findsCovariates: true })],
      50,
    );
    vi.spyOn(engine, 'covariatesOf').mockReturnValue([{ kind: 'stream', name: 'b' }]);
    const read = vi.spyOn(store, 'samples');
    expect((await replayPast(source, { stream: 'a', lead: 1, ...FROM_START }, pace)).points).not.toEqual([]);
    expect(new Set(read.mock.calls.map(([name]) => name))).toEqual(new Set(['a', 'b']));
  });

  it('are the newest of a long span, and those of any earlier one', async () => {
    const { source } = await lived([testSpec('a')], 900);
    const { points: all } = await replayPast(
      source,
      { stream: 'a', lead: 5, fromMs: 0, toMs: T0 + 850_000 },
      pace,
    );
    expect(all).toHaveLength(401);
    expect(all.at(-1)?.timeMs).toBe(T0 + 850_000);
    const earlier = { stream: 'a', lead: 5, fromMs: T0 + 100_500, toMs: T0 + 199_500 };
    const times = (await replayPast(source, earlier, pace)).points.map(({ timeMs }) => (timeMs - T0) / 1000);
    expect(times).toEqual(Array.from({ length: 101 }, (_, i) => 100 + i));
  });

  it('are none for a lead beyond the horizon, for an unknown stream, and without readings', async () => {
    const { source } = await lived([testSpec('a')], 50);
    const none = { points: [], complete: true };
    expect(await replayPast(source, { stream: 'a', lead: 11, ...FROM_START }, pace)).toEqual(none);
    expect(await replayPast(source, { stream: 'x', lead: 1, ...FROM_START }, pace)).toEqual(none);
    expect(await replayPast(source, { stream: 'a', lead: 1, fromMs: 0, toMs: T0 - 1e6 }, pace)).toEqual(none);
  });

  it('pauses as long as it works, and returns the results so far when its time is up', async () => {
    const { source } = await lived([testSpec('a')], 300);
    let nowMs = 0;
    let sleptMs = 0;
    // Every look at the clock takes 2 ms.
    const monotonic = () => {
      nowMs += 2;
      return nowMs;
    };
    const sleep = async (ms: number) => {
      nowMs += ms;
      sleptMs += ms;
    };
    const { points: slow, complete } = await replayPast(
      source,
      { stream: 'a', lead: 1, ...FROM_START },
      { monotonic, sleep },
    );
    expect(slow.length).toBeGreaterThan(250);
    expect(sleptMs).toBeGreaterThan(0.3 * nowMs);
    let calls = 0;
    const late = { monotonic: () => (++calls > 400 ? 1e9 : 0), sleep };
    const some = await replayPast(source, { stream: 'a', lead: 1, ...FROM_START }, late);
    expect([complete, some.complete]).toEqual([true, false]);
    expect(some.points.length).toBeGreaterThan(0);
    expect(some.points.length).toBeLessThan(slow.length);
  });

  it('reads no more pieces when its time is up, though they have too few samples for a step', async () => {
    const { source } = await lived([testSpec('a')], 50);
    let pieces = 0;
    const sparse = {
      samples: () => [],
      sliceEnd: (fromMs: number) => {
        pieces++;
        return fromMs + 1000;
      },
    };
    const late = { ...pace, monotonic: () => (pieces > 3 ? 1e9 : 0) };
    const cut = await replayPast({ ...source, store: sparse }, { stream: 'a', lead: 1, ...FROM_START }, late);
    expect(cut).toEqual({ points: [], complete: false });
    expect(pieces).toBe(4);
  });
});
