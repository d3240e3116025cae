/** One pipeline: live in any order, a file played, or a restart anywhere give the same forecasts. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Grid, type PlayOptions, play } from '../../src/backtest/play.ts';
import { Engine } from '../../src/forecast/engine.ts';
import type { Forecast } from '../../src/forecast/forecast.ts';
import type { Sample } from '../../src/series/sample.ts';
import type { Fill, StreamSpec } from '../../src/series/spec.ts';
import { arrivals, essence, inOrder, live, type Reading, readingsOf } from '../support/drive.ts';
import { fakeModel } from '../support/fake-model.ts';
import { uniform } from '../support/random.ts';
import { ordinary } from '../support/series.ts';
import { testSpec } from '../support/specs.ts';

const MINUTE = 60_000;
const START = Date.UTC(2025, 2, 29, 20);
const LATENESS = 40_000;

/** Streams of different intervals and horizons, with gaps; Berlin puts its clocks forward meanwhile. */
function fleet(fill: Fill): { specs: StreamSpec[]; readings: Reading[] } {
  const streams = [
    { name: 'a', intervalMs: MINUTE, horizonMs: 12 * MINUTE, steps: 70 },
    { name: 'b', intervalMs: MINUTE, horizonMs: 30 * MINUTE, steps: 70 },
    { name: 'c', intervalMs: 5 * MINUTE, horizonMs: 60 * MINUTE, steps: 14 },
    { name: 'learnt', intervalMs: null, horizonMs: 12 * MINUTE, steps: 70 },
  ];
  const specs = streams.map(({ name, intervalMs, horizonMs }) =>
    testSpec(name, { intervalMs, horizonMs, fill, latenessMs: LATENESS, timeZone: 'Europe/Berlin' }),
  );
  const readings = streams.flatMap(({ name, intervalMs, steps }, i) => {
    const values = ordinary(
      50 + i,
      20,
    )(steps).map((y, t) => (t % 9 === 7 || (t > 40 && t < 46) ? Number.NaN : y));
    return readingsOf(name, values, intervalMs ?? MINUTE, START, i);
  });
  return { specs, readings };
}

const build = (specs: readonly StreamSpec[]): Engine => {
  const engine = new Engine(fakeModel());
  for (const spec of specs) engine.add(spec);
  return engine;
};

/** The forecasts of each stream, in order. */
function byStream(forecasts: readonly Forecast[]): Map<string, ReturnType<typeof essence>[]> {
  const map = new Map<string, ReturnType<typeof essence>[]>();
  for (const forecast of forecasts) {
    const list = map.get(forecast.stream) ?? [];
    list.push(essence(forecast));
    map.set(forecast.stream, list);
  }
  return map;
}

/** Both must agree as far as both have come, on every stream; at least `share` of what `expected` has. */
function agree(seen: readonly Forecast[], expected: readonly Forecast[], share = 1): void {
  const other = byStream(seen);
  for (const [stream, list] of byStream(expected)) {
    const found = other.get(stream) ?? [];
    expect(found.length, stream).toBeGreaterThanOrEqual(Math.floor(share * list.length));
    const n = Math.min(found.length, list.length);
    expect(found.slice(0, n)).toEqual(list.slice(0, n));
  }
}

const fills = fc.constantFrom<Fill>('model', 'hold', 'seasonal', 'mask', 'drop');

describe('the engine', () => {
  it('forecasts the same live, shuffled within the lateness and doubled, as from the readings in order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fills,
        fc.nat(),
        fc.constantFrom(1000, 7000, 45_000, 300_000),
        async (fill, seed, tickMs) => {
          const { specs, readings } = fleet(fill);
          const samples = arrivals(readings, { delayMs: LATENESS, tickMs, duplicates: 0.1, seed });
          agree(await live(build(specs), samples, tickMs), await inOrder(build(specs), readings));
        },
      ),
      { numRuns: 8 },
    );
  });

  it('forecasts the same across a restart at any point, from its snapshot and what is stored', async () => {
    await fc.assert(
      fc.asyncProperty(
        fills,
        fc.nat(),
        fc.double({ min: 0.05, max: 1, noNaN: true }),
        async (fill, seed, at) => {
          const { specs, readings } = fleet(fill);
          const tickMs = 5000;
          const samples = arrivals(readings, { delayMs: LATENESS, tickMs, seed });
          const expected = await live(build(specs), samples, tickMs);

          const cut = Math.floor(at * samples.length);
          const first = build(specs);
          await live(first, samples.slice(0, Math.floor(cut / 2)), tickMs);
          // The last checkpoint is older than the end: what came in between is only in the store.
          const snapshots = new Map(specs.map(({ name }) => [name, first.snapshot(name)]));
          const second = new Engine(fakeModel());
          const from = new Map<string, number>();
          for (const spec of specs) {
            const snapshot = snapshots.get(spec.name) ?? null;
            second.add(spec, snapshot ?? undefined);
            from.set(spec.name, snapshot?.replayFromMs ?? 0);
          }
          const stored = samples.slice(0, cut).sort((a, b) => a.timeMs - b.timeMs);
          for (const sample of stored) {
            if (sample.timeMs >= (from.get(sample.stream) ?? 0))
              second.push({ ...sample, arrivalMs: Number.NaN });
          }
          const replayed = await second.tick(null, true);
          const after = await live(second, samples.slice(cut), tickMs);
          // Sequence numbers go on: each forecast is compared with the one of its number.
          const known = new Map(
            expected.map((forecast) => [`${forecast.stream}/${forecast.seq}`, essence(forecast)]),
          );
          const seen = [...replayed, ...after];
          expect(seen.length).toBeGreaterThan(0);
          for (const forecast of seen) {
            const same = known.get(`${forecast.stream}/${forecast.seq}`);
            if (same !== undefined) expect(essence(forecast)).toEqual(same);
          }
          for (const { name } of specs) {
            const last = (list: readonly Forecast[]) =>
              Math.max(...list.filter((f) => f.stream === name).map((f) => f.seq));
            // How long readings are on their way is told by the last: the clock may close one bucket more or less at the end.
            expect(Math.abs(last(seen) - last(expected))).toBeLessThanOrEqual(1);
          }
        },
      ),
      { numRuns: 8 },
    );
  });

  it('forecasts the same from a file played as live', async () => {
    const horizon = 12;
    const options: PlayOptions = {
      intervalMs: MINUTE,
      horizon,
      start: 0.2,
      stride: 1,
      fill: 'model',
      aggregate: 'mean',
      maxGapMs: 20 * MINUTE,
      timeZone: 'UTC',
      min: null,
      max: null,
    };
    const names = ['s0', 's1'];
    const values = names.map((_, i) =>
      ordinary(60 + i, 30)(160).map((y, t) => (t % 11 === 5 ? Number.NaN : y)),
    );
    const all = values.flatMap((list, series) =>
      readingsOf(names[series], list, MINUTE, START, series).map((reading) => ({ ...reading, series })),
    );
    all.sort((a, b) => a.timeMs - b.timeMs);
    const grids: Grid[] = names.map((name, i) => ({
      name,
      startMs: START,
      intervalMs: MINUTE,
      actual: values[i],
    }));
    const played = await play(new Engine(fakeModel()), grids, all, options);
    expect(played.length).toBeGreaterThan(200);

    const specs = names.map((name) =>
      testSpec(name, {
        intervalMs: MINUTE,
        horizonMs: horizon * MINUTE,
        maxGapMs: 20 * MINUTE,
        latenessMs: LATENESS,
      }),
    );
    const samples: Sample[] = arrivals(all, { delayMs: LATENESS, tickMs: 3000, seed: 61 });
    const forecasts = await live(build(specs), samples, 3000, START + 165 * MINUTE);
    const known = new Map(
      forecasts.map((forecast) => [`${forecast.stream}/${(forecast.originMs - START) / MINUTE}`, forecast]),
    );
    for (const { series, origin, quantiles, kind } of played) {
      const forecast = known.get(`${names[series]}/${origin}`);
      expect(forecast?.kind).toBe(kind);
      expect([...(forecast?.quantiles ?? [])]).toEqual([...quantiles]);
    }
  });

  it('follows a device that changes its rate, and forecasts the same across a restart around the change', async () => {
    const values = ordinary(70, 300)(500);
    const readings = Array.from({ length: 320 }, (_, i) => {
      const at = i < 150 ? i * 10_000 : 1_500_000 + (i - 150) * MINUTE;
      return { stream: 's', timeMs: START + at, value: values[Math.floor(at / 40_000)] };
    });
    const specs = [testSpec('s', { intervalMs: null, horizonMs: 10 * MINUTE })];
    const expected = await inOrder(build(specs), readings);
    const steps = expected.map(({ stepMs }) => stepMs);
    expect([...new Set(steps)]).toEqual([10_000, MINUTE]);
    const change = steps.indexOf(MINUTE);
    expect(expected[change].leads).toBe(10);
    expect(expected[change - 1].leads).toBe(60);
    // The history came along: no cold start.
    expect(Math.abs(expected[change].quantiles[4] - readings[readings.length - 1].value)).toBeLessThan(10);
    expect(expected[change].input.quality).toBe('good');
    const first = build(specs);
    const before: Forecast[] = [];
    let heard = 0;
    // The last ones of the former grid among them.
    for (const cut of [150, 180, 184, 185, 186, 187, 188, 189, 190, 205, 320]) {
      before.push(...(await inOrder(first, readings.slice(heard, cut))));
      heard = cut;
      const snapshot = first.snapshot('s');
      const second = new Engine(fakeModel());
      second.add(specs[0], snapshot ?? undefined);
      const from = snapshot?.replayFromMs ?? 0;
      const after = await inOrder(
        second,
        readings.filter(({ timeMs }) => timeMs >= from),
      );
      agree([...before, ...after], expected);
    }
  });
});

it.each([1, 2])(
  'visits only the streams that may be due, with the same forecasts as if it visited all (%i)',
  async (seed) => {
    const next = uniform(seed);
    const intervals = [1000, 1000, 1000, 5000, 7000, null];
    const specs = intervals.map((intervalMs, i) =>
      testSpec(`s${i}`, { intervalMs, horizonMs: 20_000, latenessMs: i === 1 ? 1500 : 0 }),
    );
    const some = build(specs);
    const all = build(specs);
    const forecasts: [Forecast[], Forecast[]] = [[], []];
    let nowMs = START;
    for (let i = 0; i < 800; i++) {
      nowMs += Math.ceil(60 * next());
      const isEnough = next() < 0.1;
      for (const { name: stream } of specs) {
        // Some are silent for a while, so that the clock closes their buckets.
        if (next() > 0.1 || (stream < 's3' && i % 400 > 250)) continue;
        const sample = { stream, timeMs: nowMs - 300 * next(), value: 20 + next(), arrivalMs: nowMs };
        expect(some.push(sample)).toBe(all.push(sample));
      }
      // A change of the list: all streams are visited.
      all.remove('none');
      const clockMs = next() < 0.1 ? null : nowMs;
      for (const [at, engine] of [some, all].entries()) {
        expect(engine.nextDueMs(nowMs)).toBe(all.nextDueMs(nowMs));
        forecasts[at]?.push(...(await engine.tick(clockMs, false, { enough: () => isEnough })));
      }
      expect(some.nextDueMs(nowMs)).toBe(all.nextDueMs(nowMs));
    }
    expect(forecasts[0].map(essence)).toEqual(forecasts[1].map(essence));
    expect(new Set(forecasts[0].map(({ stream }) => stream)).size).toBe(specs.length);
    expect(forecasts[0].length).toBeGreaterThan(100);
  },
);
