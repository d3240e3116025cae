import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/forecast/model.ts';
import { AHEAD, I } from '../../src/series/features.ts';
import { judge } from '../../src/training/gate.ts';
import {
  HOLDOUT_DEFAULTS,
  type HoldoutSeries,
  holdoutLosses,
  originStride,
} from '../../src/training/holdout.ts';
import { Random } from '../../src/training/random.ts';
import { FILE_SETTINGS } from '../../src/training/replay.ts';

const LEADS = 6;
const Q = 9;

/**
 * A model whose answer does not depend on anything: `raw` at every lead and level, in scales from the anchor.
 * @param own the same of an own network
 */
function fixed(raw: number, spread = 0, own: number | null = null): Model {
  return {
    id: 'fixed',
    version: '1',
    hash: `${raw}`,
    stateRows: 1,
    hidden: 1,
    stepper: async (leads) => ({
      inputs: I + leads * AHEAD,
      layers: 1,
      hidden: 1,
      leads,
      run: async (n, _x, h) => ({
        quantiles: Float32Array.from({ length: n * leads * Q }, (_, i) => raw + spread * ((i % Q) - 4)),
        ...(own !== null && { own: new Float32Array(n * leads * Q).fill(own) }),
        h,
      }),
      release: async () => {},
    }),
  };
}

const rng = new Random(1);
/** An observed value every hour around 20; from `holdoutFrom` on the last part is the holdout. */
function series(name: string, value: (t: number) => number, n = 400, leads = LEADS): HoldoutSeries {
  return {
    name,
    group: 'g',
    intervalMs: 3_600_000,
    startMs: Date.UTC(2024, 0, 1),
    values: Float64Array.from({ length: n }, (_, t) => value(t)),
    leads,
    settings: FILE_SETTINGS,
    holdoutFrom: n - 120,
  };
}
const noisy = (name: string) => series(name, () => 20 + rng.normal());
const mean = (x: Float64Array) => {
  const known = x.filter(Number.isFinite);
  return known.reduce((a, b) => a + b, 0) / known.length;
};

describe('holdoutLosses', () => {
  it('scores both models and both naives at the same origins, in units of the naive', async () => {
    const [losses] = await holdoutLosses([noisy('a')], fixed(3), fixed(0, 0.3));
    expect(losses!.candidate).toHaveLength(120);
    expect(mean(losses!.naive)).toBeCloseTo(1, 6);
    expect(mean(losses!.candidate)).toBeLessThan(0.95);
    expect(mean(losses!.champion)).toBeLessThan(0.95);
    expect(mean(losses!.seasonal)).toBeGreaterThan(0.5);
  });

  it('scores a direction the shorter way round, on the side of the median where it is', async () => {
    const skewed = new Random(7);
    const off = Array.from({ length: 400 }, () => 8 * skewed.exponential());
    const scored = async (degrees: number, settings = FILE_SETTINGS) => {
      const one = { ...series('a', (t) => (degrees + off[t]!) % 360), settings };
      const [losses] = await holdoutLosses([one], fixed(0, 0.1), fixed(0, 0.1));
      return mean(losses!.candidate);
    };
    const circular: typeof FILE_SETTINGS = { ...FILE_SETTINGS, aggregate: 'circular-mean' };
    const apart = await scored(120);
    expect(await scored(120, circular)).toBeCloseTo(apart, 2);
    expect(await scored(350, circular)).toBeCloseTo(apart, 2);
  });

  it('scores published forecasts: a network that is off by three scales has little effect', async () => {
    const [losses] = await holdoutLosses([noisy('a')], fixed(3, 0.3), fixed(0, 0.3));
    expect(mean(losses!.champion)).toBeLessThan(0.95);
    // The stream's own correction has made the gain already.
    const { gain } = judge([losses!], LEADS);
    expect(Math.abs(gain)).toBeLessThan(0.1);
  });

  it('gives the own networks of both the same start', async () => {
    const model = fixed(0, 0.3, 0.5);
    const [losses] = await holdoutLosses([noisy('a')], model, model);
    expect(losses!.candidate).toEqual(losses!.champion);
    expect(losses!.candidate).not.toEqual(
      (await holdoutLosses([noisy('a')], model, fixed(0, 0.3)))[0]!.candidate,
    );
  });

  it('scores only observed buckets of the holdout', async () => {
    const given = noisy('a');
    given.values.fill(Number.NaN, 340, 360);
    const [losses] = await holdoutLosses([given], fixed(0), fixed(0));
    // Origins are 279, 280, ...; from 339 to 353 all six leads are missing.
    const missing = [...losses!.naive]
      .map((one, at) => (Number.isNaN(one) ? at : -1))
      .filter((at) => at >= 0);
    expect(missing).toEqual(Array.from({ length: 15 }, (_, i) => 60 + i));
    // The same network is worth the same.
    expect(losses!.candidate).toEqual(losses!.champion);
  });

  it('is causal: buckets after an origin do not change its forecast', async () => {
    const whole = noisy('a');
    const cut: HoldoutSeries = { ...whole, values: whole.values.slice() };
    cut.values.fill(999, 380);
    const [a] = await holdoutLosses([whole], fixed(0), fixed(0.2));
    const [b] = await holdoutLosses([cut], fixed(0), fixed(0.2));
    // The unit is the whole holdout's; the ratio of the two models at an early origin is not.
    for (let at = 0; at < 90; at++) {
      expect(a!.candidate[at]! / a!.naive[at]!).toBeCloseTo(b!.candidate[at]! / b!.naive[at]!, 9);
    }
  });

  it('gives a diverged network infinite loss', async () => {
    const [losses] = await holdoutLosses([noisy('a')], fixed(0), fixed(Number.NaN));
    expect(losses!.candidate.every((one) => one === Number.POSITIVE_INFINITY)).toBe(true);
    expect(judge([losses!], 6).promote).toBe(false);
  });

  it('handles streams of different lengths and horizons, and no streams', async () => {
    const all = [
      noisy('a'),
      { ...series('b', () => rng.normal(), 200, 12), holdoutFrom: 150 },
      { ...noisy('c'), holdoutFrom: 390 },
    ];
    const losses = await holdoutLosses(all, fixed(0), fixed(0));
    expect(losses.map((one) => [one.stream, one.naive.length])).toEqual([
      ['a', 120],
      ['b', 25],
      ['c', 10],
    ]);
    expect(await holdoutLosses([], fixed(0), fixed(0))).toEqual([]);
  });

  it('has several origins per horizon', () => {
    expect([1, 6, 24, 96].map((leads) => originStride(leads, HOLDOUT_DEFAULTS.originsPerHorizon))).toEqual([
      1, 1, 4, 16,
    ]);
  });
});
