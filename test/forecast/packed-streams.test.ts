/** An engine that packs its waiting streams forecasts, saves and adopts models exactly as one that keeps their objects. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { Engine } from '../../src/forecast/engine.ts';
import type { Forecast } from '../../src/forecast/forecast.ts';
import type { Model } from '../../src/forecast/model.ts';
import { PartsPools } from '../../src/forecast/parts-pool.ts';
import type { StreamSpec } from '../../src/series/spec.ts';
import { arrivals, essence, live, readingsOf } from '../support/drive.ts';
import { fakeModel } from '../support/fake-model.ts';
import { ordinary } from '../support/series.ts';
import { testSpec } from '../support/specs.ts';

const MINUTE = 60_000;
const START = Date.UTC(2025, 2, 29, 20);
const LATENESS = 40_000;
const STEPS = 64;
const TICK_MS = 20_000;

/** Several streams of each layout, so that they share objects, and kinds of streams that differ in what they learn. */
const KINDS: readonly Partial<StreamSpec>[] = [
  {},
  { unit: 'W', min: 0, timeZone: 'Europe/Berlin' },
  { fill: 'hold', quality: false, thresholds: [{ name: 'high', side: 'above', value: 60 }] },
  { intervalMs: null },
  { aggregate: 'delta', fill: 'drop' },
  { aggregate: 'circular-mean' },
  { coverageTarget: 0.9, max: 55 },
  { horizonMs: 5 * MINUTE },
  { covariates: [{ kind: 'stream', name: 'k0-0' }] },
];
const specs = KINDS.flatMap((kind, k) =>
  [0, 1, 2].map((copy) =>
    testSpec(`k${k}-${copy}`, { intervalMs: MINUTE, horizonMs: 12 * MINUTE, latenessMs: LATENESS, ...kind }),
  ),
);

/** Gaps, values that stay the same, and an excursion, at other steps in each stream. */
function values({ aggregate }: StreamSpec, i: number): Float64Array {
  let total = 0;
  return ordinary(
    70 + i,
    30,
  )(STEPS).map((y, t) => {
    if ((t + i) % 11 === 7 || (t > 40 && t < 40 + (i % 7))) return Number.NaN;
    if (aggregate === 'delta') {
      total += Math.abs(y);
      return total;
    }
    return aggregate === 'circular-mean' ? (360 + 9 * y) % 360 : i % 5 === 3 && t > 44 ? 41 : y;
  });
}

const samples = arrivals(
  specs.flatMap((spec, i) => readingsOf(spec.name, values(spec, i), MINUTE, START, i)),
  { delayMs: LATENESS, tickMs: TICK_MS, duplicates: 0.05, seed: 3 },
);
const half = samples.findIndex(({ timeMs }) => timeMs > START + (STEPS / 2) * MINUTE);

const wide = (): Model => {
  const narrow = fakeModel({ hash: 'wide' });
  return {
    ...narrow,
    stateRows: 2,
    stepper: async (leads) => {
      const one = await narrow.stepper(leads);
      return {
        ...one,
        layers: 2,
        run: async (n, x, h) => {
          const first = await one.run(n, x, h.subarray(0, n * one.hidden));
          const second = await one.run(n, x, h.subarray(n * one.hidden));
          return { quantiles: first.quantiles, h: Float32Array.from([...first.h, ...second.h]) };
        },
      };
    },
  };
};

const based = (): Model => ({ ...fakeModel(), base: { hash: 'fake', hidden: 4 } });

/** The same base with an own network, whose two numbers follow those of the base in each state. */
const withOwn = (): Model => {
  const base = based();
  return {
    ...base,
    hash: 'own',
    hidden: 6,
    stepper: async (leads) => {
      const one = await base.stepper(leads);
      return {
        ...one,
        hidden: 6,
        run: async (n, x, h) => {
          const rows = Array.from({ length: n }, (_, row) => h.subarray(6 * row, 6 * (row + 1)));
          const of = rows.flatMap((row) => [...row.subarray(0, 4)]);
          const { quantiles, h: next } = await one.run(n, x, Float32Array.from(of));
          const after = rows.flatMap((row, i) => [
            ...next.subarray(4 * i, 4 * (i + 1)),
            ...[4, 5].map((at) => Math.tanh(0.5 * (row[at] ?? 0) + (next[4 * i] ?? 0))),
          ]);
          const own = quantiles.map(
            (value, i) => 1.1 * value + 0.1 * (after[6 * Math.floor((i * n) / quantiles.length) + 4] ?? 0),
          );
          return { quantiles, own, h: Float32Array.from(after) };
        },
      };
    },
  };
};

/** With its bytes as text, which compare fast. */
function saved(engine: Engine, stream: string) {
  const snapshot = engine.snapshot(stream);
  return snapshot && { ...snapshot, bytes: Buffer.from(snapshot.bytes).toString('base64') };
}

interface Ran {
  readonly engine: Engine;
  readonly forecasts: Forecast[];
}

async function run(packAbove: number | undefined, first: Model | null, adopted?: Model): Promise<Ran> {
  const engine = new Engine(first, { warmUpSteps: 8, packAbove });
  for (const spec of specs) engine.add(spec);
  const forecasts = await live(engine, samples.slice(0, half), TICK_MS);
  if (adopted !== undefined) await engine.adopt(adopted);
  forecasts.push(...(await live(engine, samples.slice(half), TICK_MS)));
  return { engine, forecasts };
}

/** Whether every stream that may be packed is. */
const packed = (engine: Engine): number =>
  [...(engine as unknown as { byName: Map<string, { isPacked: boolean }> }).byName.values()].filter(
    ({ isPacked }) => isPacked,
  ).length;

function same(a: Ran, b: Ran): void {
  expect(a.forecasts.map(essence)).toEqual(b.forecasts.map(essence));
  for (const { name } of specs) {
    expect(saved(a.engine, name), name).toEqual(saved(b.engine, name));
    expect(a.engine.scores(name), name).toEqual(b.engine.scores(name));
    expect(a.engine.networkScores(name), name).toEqual(b.engine.networkScores(name));
  }
  expect(a.engine.streams()).toEqual(b.engine.streams());
}

describe('an engine that packs its waiting streams', () => {
  it.each<[string, Model | null, Model?]>([
    ['with one model', fakeModel()],
    ['without a model', null],
    ['that adopts another model of the same size', fakeModel(), fakeModel({ hash: 'other', width: 1.3 })],
    ['that adopts a model with more states', fakeModel(), wide()],
    ['that adopts an own network beside its base', based(), withOwn()],
    ['that gives up an own network', withOwn(), based()],
    ['that has its first model later', null, fakeModel()],
  ])('forecasts and saves the same, %s', async (_name, first, adopted) => {
    const kept = await run(undefined, first, adopted);
    const shared = await run(0, first, adopted);
    expect(kept.forecasts.length).toBeGreaterThan(specs.length * STEPS * 0.6);
    expect(packed(kept.engine)).toBe(0);
    // Streams with covariates keep their objects, and so do those whose first network came later.
    if (first !== null || adopted === undefined) expect(packed(shared.engine)).toBe(specs.length - 3);
    same(shared, kept);
  });

  it('restores saved states to packed streams', async () => {
    const { engine } = await run(0, fakeModel());
    const again = new Engine(fakeModel(), { warmUpSteps: 8, packAbove: 0 });
    for (const spec of specs) again.add(spec, engine.snapshot(spec.name) ?? undefined);
    expect(packed(again)).toBe(specs.length - 3);
    for (const { name } of specs) expect(saved(again, name)).toEqual(saved(engine, name));
  });

  it('gives a new stream objects that know nothing of the streams before', async () => {
    const { engine } = await run(0, fakeModel());
    const fresh = new Engine(fakeModel(), { warmUpSteps: 8 });
    // Not the first: another stream has it as a covariate.
    for (const spec of specs.slice(1, -3)) {
      engine.reset(spec.name);
      fresh.add(spec);
      expect(saved(engine, spec.name), spec.name).toEqual(saved(fresh, spec.name));
    }
  });
});

describe('engines that share their objects', () => {
  const spec = (name: string): StreamSpec =>
    testSpec(name, { intervalMs: MINUTE, horizonMs: 12 * MINUTE, latenessMs: 0, unit: 'W' });
  /** A stream per engine for a while, in turn, and then another one. @returns the forecasts of each engine */
  async function inTurn(engines: readonly Engine[]): Promise<Forecast[][]> {
    const made: Forecast[][] = engines.map(() => []);
    for (let t = 0; t < 90; t++)
      for (const [i, engine] of engines.entries()) {
        if (t === 0) engine.add(spec('old'));
        if (t === 80) engine.add(spec('new'));
        const timeMs = START + t * MINUTE;
        for (const stream of t < 80 ? ['old'] : ['old', 'new'])
          engine.push({ stream, timeMs, value: 50 + 10 ** i * Math.sin(7 * t), arrivalMs: timeMs });
        made[i]?.push(...(await engine.tick(timeMs + MINUTE)));
      }
    return made;
  }

  it('forecast as engines with objects of their own: streams of one kind tell nothing to another engine', async () => {
    const pools = new PartsPools();
    pools.isCrowded = true;
    const sharing = [0, 1].map(() => new Engine(fakeModel(), { pools }));
    const alone = [0, 1].map(() => new Engine(fakeModel()));
    const [shared, own] = [await inTurn(sharing), await inTurn(alone)];
    expect(sharing.map(packed)).toEqual([2, 2]);
    expect(shared.map((one) => one.map(essence))).toEqual(own.map((one) => one.map(essence)));
    const ofNew = own.map((one) => one.filter(({ stream }) => stream === 'new').length);
    expect(Math.min(...ofNew)).toBeGreaterThan(5);
    // Two streams, and one set of objects for both engines: each is used again at once.
    const { pool } =
      [...(sharing[0] as unknown as { byName: Map<string, { pool: object }> }).byName.values()][0] ?? {};
    expect((pool as unknown as { idle: unknown[] }).idle.length).toBeLessThanOrEqual(4);
  });
});

it('keeps no objects of layouts that no stream has any more', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const engine = new Engine(null, { packAbove: 0 });
  const { pools } = (engine as unknown as { shares: { pools: { pools: Map<string, unknown> } } }).shares;
  const made: WeakRef<object>[] = [];
  for (let leads = 2; leads < 8; leads++) {
    for (const name of ['a', 'b']) {
      engine.add(testSpec(name, { intervalMs: MINUTE, horizonMs: leads * MINUTE }));
      const { pool } =
        (engine as unknown as { byName: Map<string, { pool: object }> }).byName.get(name) ?? {};
      made.push(new WeakRef(pool ?? {}));
    }
  }
  await new Promise((resolve) => setImmediate(resolve));
  collect();
  expect(new Set(made.flatMap((ref) => ref.deref() ?? [])).size).toBe(1);
  // Their entries are removed when the next layout comes.
  engine.add(testSpec('a', { intervalMs: MINUTE, horizonMs: 9 * MINUTE }));
  expect(pools.pools.size).toBe(2);
});
