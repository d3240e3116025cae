/** Covariates through the whole engine: nothing later is ever used, and what does not help does no harm. */
import { describe, expect, it } from 'vitest';
import { Engine } from '../../src/forecast/engine.ts';
import type { StreamSpec } from '../../src/series/spec.ts';
import { arrivals, essence, inOrder, live, type Reading, readingsOf } from '../support/drive.ts';
import { fakeModel } from '../support/fake-model.ts';
import { normal, uniform } from '../support/random.ts';
import { testSpec } from '../support/specs.ts';

const MINUTE = 60_000;
const START = Date.UTC(2025, 4, 1);
/** Enough to learn what a covariate is worth. */
const STEPS = 1500;

const spec = (name: string, change: Partial<StreamSpec> = {}): StreamSpec =>
  testSpec(name, { intervalMs: MINUTE, horizonMs: 8 * MINUTE, ...change });
/** Of each other, and of a slower stream: circles are fine. */
const SPECS = [
  spec('target', {
    covariates: [
      { kind: 'stream', name: 'other' },
      { kind: 'stream', name: 'slow' },
      { kind: 'stream', name: 'never' },
    ],
  }),
  spec('other', { covariates: [{ kind: 'stream', name: 'target' }] }),
  spec('slow', { intervalMs: 5 * MINUTE, horizonMs: 40 * MINUTE }),
];

const engineOf = (specs = SPECS): Engine => {
  const engine = new Engine(fakeModel());
  for (const one of specs) engine.add(one);
  return engine;
};

function readings(steps: number): Reading[] {
  const noise = normal(1);
  let driver = 0;
  const drivers = Array.from({ length: steps }, () => (driver = 0.9 * driver + noise()));
  const values = drivers.map((_, t) => 20 + (drivers[t - 3] ?? 0) + 0.1 * noise());
  const gappy = drivers.map((x, t) => (t % 40 > 33 ? Number.NaN : x));
  return [
    ...readingsOf('target', values, MINUTE, START, 2),
    ...readingsOf('other', gappy, MINUTE, START, 3),
    ...readingsOf(
      'slow',
      drivers.filter((_, t) => t % 5 === 0),
      5 * MINUTE,
      START,
      4,
    ),
  ];
}

describe('covariates', () => {
  it('are seen as they were at the time also when much has waited', async () => {
    const all = readings(400);
    const told = async (most?: number) => {
      const engine = engineOf();
      for (const one of all) engine.push({ ...one, arrivalMs: Number.NaN });
      const forecasts = [];
      do forecasts.push(...(await engine.tick(null, true, most === undefined ? {} : { most })));
      while (engine.nextDueMs(START) === START);
      return forecasts.map(essence);
    };
    const expected = await told();
    expect(expected.length).toBeGreaterThan(800);
    expect(await told(16)).toEqual(expected);
  });

  it('never let a forecast use a later sample, live or in one go', async () => {
    const steps = 160;
    const cutMs = START + 120 * MINUTE;
    const all = readings(steps);
    const changed = all.map((one) => (one.timeMs < cutMs ? one : { ...one, value: one.value + 50 }));
    const told = async (list: readonly Reading[], live: boolean) => {
      const engine = engineOf();
      let forecasts = [];
      if (live) {
        let next = 0;
        const sorted = [...list].sort((a, b) => a.timeMs - b.timeMs);
        for (let t = 0; t <= steps; t++) {
          const nowMs = START + t * MINUTE;
          while (next < sorted.length && sorted[next].timeMs < nowMs) {
            const one = sorted[next++];
            engine.push({ ...one, arrivalMs: one.timeMs });
          }
          forecasts.push(...(await engine.tick(nowMs, true)));
        }
      } else {
        forecasts = await inOrder(engine, list);
      }
      return forecasts
        .filter(({ originMs, stepMs }) => originMs + stepMs <= cutMs)
        .map(({ stream, originMs, quantiles }) => `${stream} ${originMs} ${quantiles.join(' ')}`);
    };
    for (const live of [true, false]) {
      const expected = await told(all, live);
      expect(expected.length).toBeGreaterThan(250);
      expect(await told(changed, live)).toEqual(expected);
    }
  });

  it('take a stream that leads into account, at the leads where it does', async () => {
    const all = readings(STEPS).map((one) => ({ ...one }));
    const mae = async (specs: StreamSpec[]): Promise<number[]> => {
      const engine = engineOf(specs);
      await inOrder(engine, all);
      return engine.scores('target').map((score) => score.mae);
    };
    const without = await mae(SPECS.map((one) => ({ ...one, covariates: [] })));
    const with_ = await mae(SPECS);
    // Leads 1 and 2 of the knots 1, 2, 4, 8: the driver is three steps ahead.
    expect(with_[0] / without[0]).toBeLessThan(0.8);
    expect(with_[1] / without[1]).toBeLessThan(0.8);
    expect(with_[3] / without[3]).toBeLessThan(1.05);
  });

  it('take a table into account that says what will be', async () => {
    const noise = normal(5);
    const next = uniform(8);
    let state = 0;
    const on = Array.from({ length: STEPS }, () => {
      if (next() < 0.2) state = 1 - state;
      return state;
    });
    const values = on.map((x) => 20 + 3 * x + 0.3 * noise());
    const mae = async (known: boolean): Promise<number[]> => {
      const engine = engineOf([
        spec('target', known ? { covariates: [{ kind: 'table', name: 'tariff' }] } : {}),
      ]);
      engine.know(
        'tariff',
        on.map((value, t) => ({ timeMs: START + t * MINUTE, value })),
      );
      await inOrder(engine, readingsOf('target', values, MINUTE, START));
      return engine.scores('target').map((score) => score.mae);
    };
    const without = await mae(false);
    for (const [j, error] of (await mae(true)).entries()) expect(error / without[j]).toBeLessThan(0.8);
  });

  it('do no harm if they are uninformative', async () => {
    const noise = normal(6);
    const useless = readingsOf('other', Array.from({ length: STEPS }, noise), MINUTE, START, 7);
    const own = readings(STEPS).filter(({ stream }) => stream === 'target');
    const loss = async (covariates: StreamSpec['covariates'] = []): Promise<number[]> => {
      const engine = engineOf([spec('target', { covariates }), spec('other')]);
      await inOrder(engine, [...own, ...useless]);
      return engine.scores('target').map((score) => score.loss);
    };
    const without = await loss();
    const beside = await loss([{ kind: 'stream', name: 'other' }]);
    for (const [j, value] of beside.entries()) expect(value / without[j]).toBeLessThan(1.02);
  });

  it.each([0.3, 0.5, 0.77, 0.9])('continue unchanged after a clean restart, at %d of the way', async (at) => {
    const tickMs = 5000;
    const samples = arrivals(readings(300), { delayMs: 20_000, tickMs, seed: 9 });
    const cut = Math.floor(at * samples.length);
    // A restart falls between two ticks.
    const cutMs = Math.floor(samples[cut].arrivalMs / tickMs) * tickMs;
    const before = samples.filter(({ arrivalMs }) => arrivalMs <= cutMs);
    const after = samples.slice(before.length);
    const steady = engineOf();
    const expected = await live(steady, samples, tickMs);

    const first = engineOf();
    await live(first, before, tickMs, cutMs);
    const second = new Engine(fakeModel());
    const from = new Map<string, number>();
    for (const one of SPECS) {
      const snapshot = first.snapshot(one.name);
      second.add(one, snapshot ?? undefined);
      from.set(one.name, snapshot?.replayFromMs ?? 0);
    }
    for (const sample of before)
      if (sample.timeMs >= (from.get(sample.stream) ?? 0)) second.push({ ...sample, arrivalMs: Number.NaN });
    const got = await live(second, after, tickMs);
    expect(got.length).toBeGreaterThan(20);
    const known = new Map(expected.map((one) => [`${one.stream} ${one.seq}`, essence(one)]));
    for (const one of got) expect(essence(one)).toEqual(known.get(`${one.stream} ${one.seq}`));
  });

  it('are part of the state: the same after a restart, made anew for others', async () => {
    const all = readings(300);
    const cutMs = START + 200 * MINUTE;
    const one = engineOf();
    await inOrder(
      one,
      all.filter(({ timeMs }) => timeMs < cutMs),
    );
    const snapshot = one.snapshot('target');
    if (snapshot === null) throw new Error('no snapshot');
    const other = new Engine(fakeModel());
    expect(() => other.add(spec('target'), snapshot)).toThrow();
    expect(() =>
      other.add(spec('target', { covariates: [{ kind: 'stream', name: 'another' }] }), snapshot),
    ).toThrow();
    other.add(SPECS[0], snapshot);
    expect(other.streams().length).toBe(1);
  });

  it('link streams for as long as one names the other, in whatever order they come back', async () => {
    const all = readings(100);
    const one = engineOf();
    await inOrder(one, all);
    const snapshots = SPECS.map(({ name }) => one.snapshot(name)!);
    expect(SPECS.map(({ name }) => one.linked(name))).toEqual([true, true, true]);
    const again = new Engine(fakeModel());
    for (const i of [2, 1, 0]) again.add(SPECS[i]!, snapshots[i]);
    expect(SPECS.map(({ name }) => again.linked(name))).toEqual([true, true, true]);
    expect(again.snapshot('slow')!.bytes).toEqual(snapshots[2]!.bytes);
    const later = new Engine(fakeModel());
    later.add(SPECS[2]!, snapshots[2]);
    expect(later.linked('slow')).toBe(false);
    const freed = later.snapshot('slow')!;
    expect(freed.bytes.length).toBeLessThan(snapshots[2]!.bytes.length);
    expect(() => new Engine(fakeModel()).add(SPECS[2]!, freed)).not.toThrow();
  });

  it('show nothing of a stream that was removed, also when it comes back', async () => {
    const all = readings(60);
    const comeBack = async (list: readonly Reading[]) => {
      const engine = engineOf();
      await inOrder(engine, list);
      engine.remove('other');
      engine.add(SPECS[1]);
      return engine.snapshot('other')?.bytes;
    };
    const never = await comeBack(all.filter(({ stream }) => stream !== 'other'));
    expect(never).toBeDefined();
    expect(await comeBack(all)).toEqual(never);
  });
});
