/** `covariates: auto`: streams that help each other are found while the engine runs, others are left alone. */
import { beforeAll, describe, expect, it } from 'vitest';
import { CovariateChoice } from '../../src/forecast/covariate-choice.ts';
import { CovariateScreen } from '../../src/forecast/covariate-screen.ts';
import { Engine } from '../../src/forecast/engine.ts';
import type { Forecast } from '../../src/forecast/forecast.ts';
import { MEDIAN, Q } from '../../src/quantiles.ts';
import type { StreamSpec } from '../../src/series/spec.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';
import { fakeModel } from '../support/fake-model.ts';
import { normal } from '../support/random.ts';
import { testSpec } from '../support/specs.ts';

const MINUTE = 60_000;
const START = Date.UTC(2025, 4, 1);
const LEADS = 8;
const STEPS = 1500;
const LEVELS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

const spec = (name: string, change: Partial<StreamSpec> = {}): StreamSpec =>
  testSpec(name, { intervalMs: MINUTE, horizonMs: LEADS * MINUTE, quality: false, ...change });

type Table = Readonly<Record<string, Float64Array>>;

/** A sun with clouds, a PV plant that the same clouds reach three minutes later, and two sensors that depend on neither. */
function day(seed: number, steps = STEPS): Table {
  const noise = normal(seed);
  const made = (next: (t: number) => number) => Float64Array.from({ length: steps }, (_, t) => next(t));
  let cloud = 0;
  const irradiance = made((t) => {
    cloud = 0.85 * cloud + noise();
    return 600 + 200 * Math.sin((2 * Math.PI * t) / 720) + 60 * cloud;
  });
  let level = 0;
  let load = 0;
  return {
    irradiance,
    pv: made((t) => 0.005 * (irradiance[Math.max(0, t - 3)] ?? 0) + 0.05 * noise()),
    room: made(() => {
      level = 0.95 * level + noise();
      return 20 + level;
    }),
    load: made((t) => {
      load = 0.7 * load + noise();
      return load + 3 * Math.sin((2 * Math.PI * t) / 45);
    }),
  };
}

/** Plays the readings of each minute, then closes it. */
async function play(
  engine: Engine,
  table: Table,
  { from = 0, to = STEPS, without = '' } = {},
): Promise<Forecast[]> {
  const forecasts: Forecast[] = [];
  for (let t = from; t < to; t++) {
    for (const [stream, values] of Object.entries(table)) {
      const timeMs = START + (t + 0.5) * MINUTE;
      if (stream !== without)
        engine.push({ stream, timeMs, value: values[t] ?? Number.NaN, arrivalMs: timeMs });
    }
    forecasts.push(...(await engine.tick(START + (t + 1) * MINUTE, true)));
  }
  return forecasts;
}

/** Mean pinball loss of a stream's forecasts from step `from` on. */
function loss(forecasts: readonly Forecast[], table: Table, stream: string, from: number): number {
  let sum = 0;
  let count = 0;
  for (const one of forecasts) {
    const origin = (one.originMs - START) / MINUTE;
    if (one.stream !== stream || origin < from) continue;
    for (let k = 0; k < LEADS; k++) {
      const actual = table[stream]?.[origin + 1 + k];
      if (actual === undefined) continue;
      for (const [q, level] of LEVELS.entries()) {
        const miss = actual - (one.quantiles[k * Q + q] ?? Number.NaN);
        sum += Math.max(level * miss, (level - 1) * miss);
        count++;
      }
    }
  }
  return sum / count;
}

function engineOf(table: Table, findsCovariates: boolean): Engine {
  const engine = new Engine(fakeModel());
  for (const name of Object.keys(table)) engine.add(spec(name, findsCovariates ? { findsCovariates } : {}));
  engine.showProvenance(true);
  return engine;
}

const usedBy = (forecasts: readonly Forecast[], stream: string, from: number): Set<string> =>
  new Set(
    forecasts
      .filter((one) => one.stream === stream && one.originMs >= START + from * MINUTE)
      .flatMap(({ provenance }) => provenance?.inputsUsed ?? []),
  );

describe('covariates: auto', () => {
  const table = day(1);
  let plain: Forecast[] = [];
  let chosen: Forecast[] = [];
  let engine: Engine;
  beforeAll(async () => {
    plain = await play(engineOf(table, false), table);
    engine = engineOf(table, true);
    chosen = await play(engine, table);
  });

  it('finds the irradiance for the PV plant, names it in the forecasts, and they get better', () => {
    expect(usedBy(chosen, 'pv', 1000)).toEqual(new Set(['irradiance']));
    const ratio = loss(chosen, table, 'pv', 1000) / loss(plain, table, 'pv', 1000);
    expect(ratio).toBeLessThan(0.85);
    expect(engine.joined('irradiance')).toBe(true);
  });

  it('finds nothing for streams that no other helps, and changes nothing of their forecasts', () => {
    for (const stream of ['room', 'load']) {
      expect(engine.joined(stream)).toBe(false);
      const of = (list: readonly Forecast[]) =>
        list.filter((one) => one.stream === stream).map((one) => one.quantiles);
      expect(of(chosen).length).toBeGreaterThan(1000);
      expect(of(chosen)).toEqual(of(plain));
    }
  });

  it('leaves the settings of the streams as they were configured', () => {
    for (const { spec: one } of engine.streams()) expect(one.covariates).toBeUndefined();
  });

  it('keeps the choice and what it has learnt in the state', async () => {
    const again = new Engine(fakeModel());
    for (const { spec: one } of engine.streams()) {
      const snapshot = engine.snapshot(one.name);
      if (snapshot === null) throw new Error('no snapshot');
      again.add(one, snapshot);
    }
    again.showProvenance(true);
    const longer = day(1, STEPS + 60);
    const range = { from: STEPS, to: STEPS + 60 };
    const expected = await play(engine, longer, range);
    const restored = await play(again, longer, range);
    expect(usedBy(restored, 'pv', STEPS)).toEqual(new Set(['irradiance']));
    expect(restored.map((one) => [one.stream, one.originMs, ...one.quantiles])).toEqual(
      expected.map((one) => [one.stream, one.originMs, ...one.quantiles]),
    );
  });

  const copyOf = (names: readonly string[]): Engine => {
    const copy = new Engine(fakeModel());
    for (const { spec: one } of engine.streams()) {
      const snapshot = engine.snapshot(one.name);
      if (snapshot === null) throw new Error('no snapshot');
      if (names.includes(one.name)) copy.add(one, snapshot);
    }
    return copy;
  };

  it.each<[string, (copy: Engine) => void]>([
    ['is removed', (copy) => copy.remove('pv')],
    ['is reset', (copy) => copy.reset('pv')],
    ['chooses no longer', (copy) => copy.add(spec('pv'))],
  ])('frees the chosen stream when the only one that uses it %s', (_, end) => {
    const copy = copyOf(['irradiance', 'pv']);
    const size = () => copy.snapshot('irradiance')?.bytes.length ?? Number.NaN;
    const before = size();
    expect(copy.joined('irradiance')).toBe(true);
    end(copy);
    expect(copy.joined('irradiance')).toBe(false);
    expect(copy.linked('irradiance')).toBe(false);
    expect(size()).toBeLessThan(before - 1000);
  });

  it('keeps the chosen stream linked while another stream uses it', () => {
    const copy = copyOf(['irradiance', 'pv']);
    copy.add(spec('roof', { covariates: [{ kind: 'stream', name: 'irradiance' }] }));
    copy.remove('pv');
    expect(copy.joined('irradiance')).toBe(true);
    copy.remove('roof');
    expect(copy.joined('irradiance')).toBe(false);
  });

  it('drops a chosen stream that was removed between two runs', () => {
    const copy = copyOf(['room', 'pv']);
    expect(copy.covariatesOf('pv')).toEqual([{ kind: 'stream', name: 'irradiance' }]);
    copy.dropMissingCovariates();
    expect(copy.covariatesOf('pv')).toEqual([]);
    expect(copy.joined('pv')).toBe(false);
    const whole = copyOf(['irradiance', 'pv']);
    whole.dropMissingCovariates();
    expect(whole.covariatesOf('pv')).toEqual([{ kind: 'stream', name: 'irradiance' }]);
  });

  it('shows the streams with their choice to an engine that plays them again', () => {
    const specs = new Map(engine.streamsInUse().map(({ spec: one }) => [one.name, one]));
    expect(specs.get('pv')).toMatchObject({
      findsCovariates: false,
      covariates: [{ kind: 'stream', name: 'irradiance' }],
    });
    expect(specs.get('room')).toMatchObject({ findsCovariates: false, covariates: [] });
  });

  it('gives a stream up when it is removed, and goes on without it', async () => {
    const longer = day(1, STEPS + 130);
    engine.remove('irradiance');
    expect(engine.joined('pv')).toBe(false);
    const after = await play(engine, longer, { from: STEPS + 60, to: STEPS + 130, without: 'irradiance' });
    const pv = after.filter((one) => one.stream === 'pv');
    expect(pv).toHaveLength(70);
    expect(usedBy(after, 'pv', 0)).toEqual(new Set());
    for (const { quantiles } of pv) expect(quantiles.every(Number.isFinite)).toBe(true);
    const widest = Math.max(...pv.map((one) => Math.abs((one.quantiles[MEDIAN] ?? 0) - 3)));
    expect(widest).toBeLessThan(3);
  });

  it('starts anew after a reset', async () => {
    engine.reset('pv');
    const snapshot = engine.snapshot('pv');
    expect(snapshot).not.toBeNull();
    expect(engine.streams().find(({ spec: one }) => one.name === 'pv')?.bucketsSeen).toBe(0);
  });
});

it('a configured covariate that is removed is not named any more', async () => {
  const table = day(3, 640);
  const engine = new Engine(fakeModel());
  engine.add(spec('irradiance'));
  engine.add(spec('pv', { covariates: [{ kind: 'stream', name: 'irradiance' }] }));
  engine.showProvenance(true);
  const { irradiance, pv } = table as Record<'irradiance' | 'pv', Float64Array>;
  const before = await play(engine, { irradiance, pv }, { to: 600 });
  expect(usedBy(before, 'pv', 590)).toEqual(new Set(['irradiance']));
  engine.remove('irradiance');
  const after = await play(engine, { pv }, { from: 600, to: 640 });
  expect(after).toHaveLength(40);
  expect(usedBy(after, 'pv', 600)).toEqual(new Set());
});

it('never costs more than 1 % of the loss: streams that share a season, or a common level, or nothing', async () => {
  for (const seed of [2]) {
    const noise = normal(seed);
    const made = (next: (t: number) => number) => Float64Array.from({ length: 1000 }, (_, t) => next(t));
    let common = 0;
    const shared = made(() => {
      common = 0.9 * common + noise();
      return common;
    });
    let alone = 0;
    const season = (t: number) => 3 * Math.sin((2 * Math.PI * t) / 96);
    const table: Table = {
      a: made((t) => season(t) + noise()),
      b: made((t) => 2 * season(t + 10) + noise()),
      c: made((t) => (shared[t] ?? 0) + 0.3 * noise()),
      d: made((t) => (shared[t] ?? 0) + 0.3 * noise()),
      e: made(() => {
        alone = 0.98 * alone + noise();
        return alone;
      }),
    };
    const plain = await play(engineOf(table, false), table, { to: 1000 });
    const chosen = await play(engineOf(table, true), table, { to: 1000 });
    for (const stream of Object.keys(table)) {
      const ratio = loss(chosen, table, stream, 300) / loss(plain, table, stream, 300);
      expect(ratio, `${stream} of ${seed}`).toBeLessThan(1.01);
    }
  }
});

describe('the screening', () => {
  const { irradiance, pv, room } = day(5, 800) as Record<'irradiance' | 'pv' | 'room', Float64Array>;

  it('prefers the series that leads, with and without gaps', () => {
    for (const leader of [irradiance, irradiance.map((value, t) => (t % 50 < 8 ? Number.NaN : value))]) {
      const screen = new CovariateScreen(pv);
      expect(screen.compare(leader).ratio).toBeLessThan(0.8);
      expect(screen.compare(leader).bound).toBeLessThan(0.9);
      expect(screen.compare(room).bound).toBeGreaterThan(0.99);
      expect(screen.relation(leader)).toBeGreaterThan(3 * screen.relation(room));
    }
  });

  it('says nothing about short and constant series', () => {
    expect(new CovariateScreen(pv.slice(0, 199)).isUsable).toBe(false);
    expect(new CovariateScreen(new Float64Array(800)).isUsable).toBe(false);
    const screen = new CovariateScreen(pv);
    for (const empty of [new Float64Array(800), new Float64Array(800).fill(Number.NaN)]) {
      expect(screen.compare(empty).bound).toBe(1);
      expect(screen.relation(empty)).toBe(0);
    }
  });
});

it('a stream without a trial is not on trial after a restart', () => {
  const writer = new StateWriter();
  new CovariateChoice().persist(writer);
  const again = new CovariateChoice();
  again.persist(new StateReader(writer.finish()));
  const none = { own: () => new Float64Array(), names: () => [], values: () => null, hasRoom: () => false };
  expect(again.work(0, { count: 1e6, share: 2 }, none)).toBe(false);
});
