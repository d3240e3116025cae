import { describe, expect, it } from 'vitest';
import { Engine } from '../../src/forecast/engine.ts';
import type { Forecast } from '../../src/forecast/forecast.ts';
import type { Model } from '../../src/forecast/model.ts';
import { loadModel } from '../../src/model/pack.ts';
import { verifyModel } from '../../src/model/registry.ts';
import { Q } from '../../src/quantiles.ts';
import { FEATURES } from '../../src/series/features.ts';
import { FILLS, type StreamSpec } from '../../src/series/spec.ts';
import { forecastSpec } from '../../src/training/job.ts';
import { essence, inOrder, readingsOf } from '../support/drive.ts';
import { fakeModel } from '../support/fake-model.ts';
import { randomNetwork, untrainedModel } from '../support/models.ts';
import { ordinary, SHAPES } from '../support/series.ts';
import { testSpec } from '../support/specs.ts';

const START = Date.UTC(2025, 0, 1);
const MINUTE = 60_000;
const spec = (name: string, change: Partial<StreamSpec> = {}) =>
  testSpec(name, { intervalMs: MINUTE, horizonMs: 12 * MINUTE, ...change });
const readings = (name: string, values: ArrayLike<number>, intervalMs = MINUTE) =>
  readingsOf(name, values, intervalMs, START);

const byStream = (forecasts: readonly Forecast[], stream: string) =>
  forecasts.filter((forecast) => forecast.stream === stream).map(essence);

describe('engine', () => {
  for (const [name, shape] of Object.entries(SHAPES)) {
    it(`publishes finite, ordered quantiles on a series that is ${name}`, async () => {
      const engine = new Engine(fakeModel());
      engine.add(spec('s', { fill: 'model' }));
      const forecasts = await inOrder(engine, readings('s', shape(300)));
      expect(forecasts.length).toBeGreaterThan(100);
      for (const { quantiles, seq } of forecasts) {
        for (let i = 0; i < quantiles.length; i++) {
          if (!Number.isFinite(quantiles[i]))
            expect.fail(`quantile ${i} is ${quantiles[i]} in forecast ${seq}`);
          if (i % Q > 0 && quantiles[i] < quantiles[i - 1]) expect.fail(`quantiles cross in forecast ${seq}`);
        }
      }
    });
  }

  it('holds the share of outcomes that the stream asks for', async () => {
    const values = ordinary(5)(2500);
    const held = async (coverageTarget: number) => {
      const engine = new Engine(null);
      engine.add(spec('s', { coverageTarget }));
      const { coverage } = (await inOrder(engine, readings('s', values))).at(-1)!;
      expect(coverage.target).toBe(coverageTarget);
      return coverage.observed!;
    };
    expect(Math.abs((await held(0.8)) - 0.8)).toBeLessThan(0.04);
    expect(Math.abs((await held(0.95)) - 0.95)).toBeLessThan(0.03);
  });

  it('steps streams of different intervals and horizons together as each alone', async () => {
    const streams = [
      { spec: spec('a'), values: ordinary(1)(120), interval: MINUTE },
      { spec: spec('b', { horizonMs: 30 * MINUTE }), values: ordinary(2)(120), interval: MINUTE },
      {
        spec: spec('c', { intervalMs: 5 * MINUTE, horizonMs: 60 * MINUTE }),
        values: ordinary(3)(40),
        interval: 5 * MINUTE,
      },
      { spec: spec('d', { fill: 'drop' }), values: SHAPES.gappy(150), interval: MINUTE },
      { spec: spec('e'), values: SHAPES['one long gap'](120), interval: MINUTE },
    ];
    const together = new Engine(fakeModel());
    for (const one of streams) together.add(one.spec);
    const all = await inOrder(
      together,
      streams.flatMap((one) => readings(one.spec.name, one.values, one.interval)),
    );
    for (const one of streams) {
      const alone = new Engine(fakeModel());
      alone.add(one.spec);
      const expected = await inOrder(alone, readings(one.spec.name, one.values, one.interval));
      expect(expected.length).toBeGreaterThan(30);
      expect(byStream(all, one.spec.name)).toEqual(expected.map(essence));
    }
  });

  it('asks the network once for all streams of a horizon that are due', async () => {
    const runs: string[] = [];
    const engine = new Engine(fakeModel({ ran: (rows, leads) => runs.push(`${rows}x${leads}`) }));
    for (const name of ['a', 'b', 'c']) engine.add(spec(name));
    engine.add(spec('far', { horizonMs: 24 * MINUTE }));
    for (let t = 0; t < 6; t++) {
      for (const stream of ['a', 'b', 'c', 'far'])
        engine.push({ stream, timeMs: START + t * MINUTE, value: t, arrivalMs: Number.NaN });
      await engine.tick(null);
    }
    // Four readings warm a stream up; five buckets are over.
    expect(runs).toEqual(['3x12', '1x24', '3x12', '1x24']);
  });

  it('reports an unknown stream, and forgets a removed one', async () => {
    const engine = new Engine(null);
    const sample = { stream: 's', timeMs: START, value: 1, arrivalMs: START };
    expect(engine.push(sample)).toBe('unknown-stream');
    expect(engine.snapshot('s')).toBeNull();
    engine.add(spec('s'));
    expect(engine.push(sample)).toBe('accepted');
    engine.remove('s');
    expect(engine.push(sample)).toBe('unknown-stream');
    expect(engine.streams()).toEqual([]);
    expect(await engine.tick(START + 10 * MINUTE, true)).toEqual([]);
  });

  it('starts afresh after a reset', async () => {
    const engine = new Engine(fakeModel());
    engine.add(spec('s'));
    const first = await inOrder(engine, readings('s', ordinary(4)(60)));
    engine.reset('s');
    expect(engine.streams()[0]).toMatchObject({ bucketsSeen: 0, lastObservedMs: null });
    const again = await inOrder(engine, readings('s', ordinary(4)(60)));
    expect(again.length).toBe(59);
    expect(again.map(essence)).toEqual(first.map(essence));
  });

  it('returns the newest forecast of each stream, or every one where asked', async () => {
    const one = new Engine(null);
    const every = new Engine(null);
    for (const engine of [one, every]) {
      for (const name of ['a', 'b']) engine.add(spec(name));
      for (const stream of ['a', 'b'])
        for (let t = 0; t < 6; t++)
          engine.push({ stream, timeMs: START + t * MINUTE, value: t, arrivalMs: Number.NaN });
    }
    const newest = await one.tick(null);
    const all = await every.tick(null, true);
    expect(newest.map(({ stream, seq }) => `${stream}${seq}`)).toEqual(['a4', 'b4']);
    expect(all.length).toBe(10);
    expect(newest.map(essence)).toEqual(all.slice(-2).map(essence));
  });

  it('does not look ahead: a forecast stays the same whatever comes after its origin', async () => {
    const values = ordinary(5)(200);
    const changed = values.map((y, t) => (t >= 120 ? -3 * y : y));
    const [one, two] = await Promise.all(
      [values, changed].map(async (series) => {
        const engine = new Engine(fakeModel());
        engine.add(spec('s', { fill: 'linear' }));
        return (await inOrder(engine, readings('s', series))).map(essence);
      }),
    );
    const cut = START + 120 * MINUTE;
    const known = (list: typeof one) => list.filter((forecast) => forecast.originMs < cut);
    expect(known(one).length).toBe(120);
    expect(known(two)).toEqual(known(one));
    expect(two[120].quantiles).not.toBe(one[120].quantiles);
  });

  for (const fill of FILLS) {
    it(`does not look ahead through a gap filled by ${fill}`, async () => {
      // The reading that ends the gap differs; nothing forecast before it may.
      const values = ordinary(6)(100).map((y, t) => (t >= 50 && t < 65 ? Number.NaN : y));
      const runs = await Promise.all(
        [0, 500].map(async (jump) => {
          const engine = new Engine(fakeModel());
          engine.add(spec('s', { fill }));
          return (
            await inOrder(
              engine,
              readings(
                's',
                values.map((y, t) => (t >= 65 ? y + jump : y)),
              ),
            )
          ).map(essence);
        }),
      );
      const known = runs.map((list) => list.filter((forecast) => forecast.originMs < START + 65 * MINUTE));
      expect(known[0].length).toBe(fill === 'drop' ? 50 : 65);
      expect(known[1]).toEqual(known[0]);
    });
  }

  it('widens through a gap, says so, and comes back', async () => {
    const engine = new Engine(fakeModel());
    engine.add(spec('s', { maxGapMs: 10 * MINUTE }));
    const values = ordinary(7)(400).map((y, t) => (t >= 300 && t < 330 ? Number.NaN : y));
    const forecasts = await inOrder(engine, readings('s', values));
    expect(forecasts[299].input).toMatchObject({ quality: 'good' });
    expect(forecasts[300].input).toMatchObject({ quality: 'filled' });
    expect(forecasts[300].observed).toBeNull();
    expect(forecasts[325].input).toMatchObject({ quality: 'stale' });
    expect(forecasts[325].input.ageMs).toBeGreaterThan(25 * MINUTE);
    expect(forecasts[330].input).toMatchObject({ quality: 'good' });
  });

  it('keeps within the limits of the stream', async () => {
    const engine = new Engine(fakeModel({ width: 50 }));
    engine.add(spec('s', { min: 15, max: 25 }));
    const forecasts = await inOrder(engine, readings('s', ordinary(8)(100)));
    expect(forecasts.length).toBe(99);
    for (const { quantiles } of forecasts) {
      for (const value of quantiles) {
        expect(value).toBeGreaterThanOrEqual(15);
        expect(value).toBeLessThanOrEqual(25);
      }
    }
  });

  it('serves the naive forecasts where the network answers nonsense', async () => {
    for (const nonsense of [Number.NaN, Infinity, 1e30]) {
      const broken = new Engine(fakeModel({ spoil: (quantiles) => quantiles.fill(nonsense) }));
      const none = new Engine(null);
      for (const engine of [broken, none]) engine.add(spec('s'));
      const values = ordinary(9)(60);
      const served = await inOrder(broken, readings('s', values));
      expect(served.length).toBe(59);
      expect(served.map(essence)).toEqual((await inOrder(none, readings('s', values))).map(essence));
    }
  });

  it('has every actual inside the forecast of a constant', async () => {
    const engine = new Engine(fakeModel());
    engine.add(spec('s'));
    const forecasts = await inOrder(engine, readings('s', new Float64Array(200).fill(21.7)));
    expect(forecasts[198].coverage.observed).toBe(1);
  });
});

describe('snapshots', () => {
  it('are refused when another model made them, or they are damaged', async () => {
    const engine = new Engine(fakeModel());
    engine.add(spec('s'));
    await inOrder(engine, readings('s', ordinary(10)(20)));
    const snapshot = engine.snapshot('s');
    if (snapshot === null) throw new Error('no snapshot');
    const mismatch = expect.objectContaining({ code: 'STATE_MISMATCH' });
    const other = new Engine(fakeModel({ hash: 'another' }));
    expect(() => other.add(spec('s'), snapshot)).toThrow(mismatch);
    const same = new Engine(fakeModel());
    const damaged = { ...snapshot, bytes: snapshot.bytes.slice(0, -9) };
    expect(() => same.add(spec('s'), damaged)).toThrow(mismatch);
    // Not added: the caller decides how to go on.
    expect(same.streams()).toEqual([]);
    expect(() => same.add(spec('s', { horizonMs: 40 * MINUTE }), snapshot)).toThrow(mismatch);
  });

  it('are refused when the readings, or the calendar, were taken in another way', async () => {
    const engine = new Engine(fakeModel());
    engine.add(spec('s'));
    await inOrder(engine, readings('s', ordinary(10)(20)));
    const snapshot = engine.snapshot('s');
    if (snapshot === null) throw new Error('no snapshot');
    const changes = [{ aggregate: 'sum' }, { timeZone: 'Europe/Berlin' }, { quality: false }] as const;
    for (const change of changes) {
      const other = new Engine(fakeModel());
      expect(() => other.add(spec('s', change), snapshot)).toThrow(/other settings/);
      expect(other.streams()).toEqual([]);
    }
    // What else there is, a state serves.
    new Engine(fakeModel()).add(spec('s', { coverageTarget: 0.9, fill: 'hold' }), snapshot);
  });
});

/** A real one, untrained: its state comes from the past alone, which the fake one's does not. */
function network(seed: number, ownSeed: number | null = null): Model {
  const spec = forecastSpec({ cell: 'gru', layers: 2, hidden: 8, width: 8 });
  const ownSpec = forecastSpec({ cell: 'gru', layers: 1, hidden: 16, width: 8 });
  const own = ownSeed === null ? null : randomNetwork(ownSpec, ownSeed);
  const files = untrainedModel(spec, { name: `seed-${seed}`, seed, own });
  return loadModel(verifyModel(files, 'the model'), FEATURES);
}

describe('a network of the gateway beside the first', () => {
  const curve = ordinary(12)(300);
  const all = readings('s', curve);
  const quantilesOf = (forecasts: readonly Forecast[]) => forecasts.map(({ quantiles }) => [...quantiles]);

  /** Forecasts of the second half; `change` is called in the middle. @param muted whether the own network has no say */
  async function second(
    first: Model,
    change: (engine: Engine) => Promise<void>,
    muted = false,
  ): Promise<{ engine: Engine; forecasts: Forecast[] }> {
    const engine = new Engine(first, {
      warmUpSteps: 8,
      watch: {
        stepped: (_, step) => {
          if (step.blend !== null) step.blend.muted = muted;
        },
      },
    });
    engine.add(spec('s'));
    await inOrder(engine, all.slice(0, 150));
    await change(engine);
    return { engine, forecasts: await inOrder(engine, all.slice(150)) };
  }

  it('leaves the state and the correction of the first as they are, wherever it comes from and goes', async () => {
    const unchanged = await second(network(1), async () => {});
    const joined = await second(network(1), (engine) => engine.adopt(network(1, 2)), true);
    expect(quantilesOf(joined.forecasts)).toEqual(quantilesOf(unchanged.forecasts));
    const replaced = await second(network(1, 2), (engine) => engine.adopt(network(1, 3)), true);
    expect(quantilesOf(replaced.forecasts)).toEqual(quantilesOf(unchanged.forecasts));
    const left = await second(network(1, 2), (engine) => engine.adopt(network(1)), true);
    expect(quantilesOf(left.forecasts)).toEqual(quantilesOf(unchanged.forecasts));
  });

  it('shows what each network forecast, where that is asked for', async () => {
    const shown = await second(network(1, 2), async (engine) => engine.showProvenance(true));
    const plain = await second(network(1, 2), async () => {});
    expect(quantilesOf(shown.forecasts)).toEqual(quantilesOf(plain.forecasts));
    expect(plain.forecasts.every(({ provenance }) => provenance === undefined)).toBe(true);
    const { provenance, leads } = shown.forecasts.at(-1)!;
    const { raw, corrected, own, inputsUsed } = provenance!;
    for (const one of [raw, corrected, own]) expect(one).toHaveLength(9 * leads);
    expect([...raw!]).not.toEqual([...own!]);
    expect(inputsUsed).toEqual([]);
  });

  it('has a share of what is published, and is the one that is judged', async () => {
    const unchanged = await second(network(1), async () => {});
    const joined = await second(network(1), (engine) => engine.adopt(network(1, 2)));
    expect(quantilesOf(joined.forecasts)).not.toEqual(quantilesOf(unchanged.forecasts));
    const judged = ({ engine }: { engine: Engine }) => engine.networkScores('s').map(({ loss }) => loss);
    expect(judged(joined)).not.toEqual(judged(unchanged));
  });

  it('continues after a restart as if there had been none', async () => {
    const { engine, forecasts } = await second(network(1), async (one) => one.adopt(network(1, 2)));
    const before = new Engine(network(1, 2));
    const half = new Engine(network(1), { warmUpSteps: 8 });
    half.add(spec('s'));
    await inOrder(half, all.slice(0, 150));
    await half.adopt(network(1, 2));
    await inOrder(half, all.slice(150, 200));
    const snapshot = half.snapshot('s');
    if (snapshot === null) throw new Error('no snapshot');
    before.add(spec('s'), snapshot);
    const after = await inOrder(
      before,
      all.filter(({ timeMs }) => timeMs >= snapshot.replayFromMs),
    );
    expect(after.length).toBeGreaterThan(90);
    expect(quantilesOf(after)).toEqual(quantilesOf(forecasts.slice(-after.length)));
    // The state of a model with another network of its own is refused.
    const other = new Engine(network(1, 3));
    expect(() => other.add(spec('s'), snapshot)).toThrow(/another model/);
    await engine.release();
  });
});

describe('another model', () => {
  const curve = ordinary(11)(160);
  const until = (end: number) => readings('s', curve.subarray(0, end));
  const rest = (from: number) => readings('s', curve).slice(from);
  const widest = (a: Forecast, b: Forecast) =>
    Math.max(
      ...a.quantiles.map(
        (value, i) => Math.abs(value - b.quantiles[i]!) / (a.quantiles[8]! - a.quantiles[0]!),
      ),
    );

  it('forecasts from states made of the last inputs, nearly as if all of the past had been replayed', async () => {
    const next = async (warmUpSteps: number): Promise<Forecast> => {
      const engine = new Engine(network(1), { warmUpSteps });
      engine.add(spec('s'));
      await inOrder(engine, until(120));
      const before = engine.modelHash;
      await engine.adopt(network(2));
      expect(engine.modelHash).toBe(new Engine(network(2)).modelHash);
      expect(engine.modelHash).not.toBe(before);
      expect(engine.networkScores('s').map(({ n }) => n)).toEqual([0, 0, 0, 0, 0]);
      const [forecast] = await inOrder(engine, rest(120).slice(0, 2));
      await engine.release();
      return forecast!;
    };
    const [all, last, blank] = [await next(120), await next(32), await next(1)];
    expect(last.originMs).toBe(all.originMs);
    expect(widest(all, last)).toBeLessThan(0.01);
    expect(widest(all, blank)).toBeGreaterThan(5 * widest(all, last));
  });

  it('is refused if it does not fit, and the old one continues unchanged', async () => {
    const steady = new Engine(fakeModel(), { warmUpSteps: 32 });
    const asked = new Engine(fakeModel(), { warmUpSteps: 32 });
    for (const engine of [steady, asked]) {
      engine.add(spec('s'));
      await inOrder(engine, until(100));
    }
    const broken = { ...fakeModel({ hash: 'new' }), stepper: () => Promise.reject(new Error('no room')) };
    await expect(asked.adopt(broken)).rejects.toThrow('no room');
    expect(asked.modelHash).toBe(steady.modelHash);
    const wanted = (await inOrder(steady, rest(100))).map(essence);
    expect(wanted.length).toBe(60);
    expect((await inOrder(asked, rest(100))).map(essence)).toEqual(wanted);
  });
});
