import { describe, expect, it } from 'vitest';
import { ADAPTER_KNOTS, Adapter } from '../../src/forecast/adapter.ts';
import { MEDIAN, Q } from '../../src/quantiles.ts';
import { UTC } from '../../src/series/calendar.ts';
import { Features } from '../../src/series/features.ts';
import { LeadKnots } from '../../src/series/lead-knots.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';
import { normal } from '../support/random.ts';
import { SHAPES } from '../support/series.ts';

const LEADS = 12;
const MINUTE = 60_000;

/** A stream with an adapter over a "network" that says what it is told to. */
class Rig {
  readonly features = new Features(MINUTE, LEADS, UTC);
  readonly adapter = new Adapter(new LeadKnots(ADAPTER_KNOTS, LEADS));
  readonly network = new Float64Array(LEADS * Q);
  readonly out = new Float64Array(LEADS * Q);
  /** Medians of the last forecasts, newest first. */
  private readonly due: { network: number; adapted: number }[][] = [];
  /** [LEADS] summed absolute errors in the second half. */
  readonly network1 = new Float64Array(LEADS);
  readonly adapted = new Float64Array(LEADS);

  /** @param median of lead k + 1; NaN: the network says nothing */
  step(t: number, y: number, median: (k: number) => number, counts = false): void {
    const { features, adapter, network, out } = this;
    const observed = !Number.isNaN(y);
    const value = observed ? y : features.steps > 0 ? features.anchor[0] : 0;
    if (counts && observed) this.count(y);
    adapter.observe(value, observed);
    features.update(t * MINUTE, value, observed);
    adapter.look(features, t * MINUTE);
    const silent = Number.isNaN(median(0));
    for (let k = 0; k < LEADS; k++) {
      for (let q = 0; q < Q; q++) network[k * Q + q] = median(k) + features.scale[k] * 0.5 * (q - MEDIAN);
    }
    adapter.answer(silent ? null : network, features, observed, out);
    if (this.due.length > LEADS) this.due.pop();
    this.due.unshift(
      Array.from({ length: LEADS }, (_, k) => ({
        network: network[k * Q + MEDIAN],
        adapted: out[k * Q + MEDIAN],
      })),
    );
  }

  private count(y: number): void {
    for (let k = 0; k < LEADS; k++) {
      const made = this.due[k]?.[k];
      if (made === undefined) continue;
      this.network1[k] += Math.abs(y - made.network);
      this.adapted[k] += Math.abs(y - made.adapted);
    }
  }
}

/** An autoregressive series, x(t) = 1.6 x(t-1) - 0.7 x(t-2) + noise, and a network that says it stays as it is. */
function waves(rig: Rig, steps: number, seed: number, from = 0): void {
  const noise = normal(seed);
  let [a, b] = [0, 0];
  for (let t = from; t < from + steps; t++) {
    [a, b] = [1.6 * a - 0.7 * b + noise(), a];
    const y = 20 + a;
    rig.step(t, y, () => y, t > from + steps / 2);
  }
}

describe('the adapter', () => {
  it('finds what a network leaves out', () => {
    const rig = new Rig();
    waves(rig, 4000, 1);
    for (const k of [0, 1, 3, 7]) {
      expect(rig.adapted[k] / rig.network1[k], `lead ${k + 1}`).toBeLessThan(0.8);
    }
  });

  it('leaves a network alone whose errors are noise', () => {
    const rig = new Rig();
    const noise = normal(2);
    for (let t = 0; t < 4000; t++) rig.step(t, 20 + noise(), () => 20, t > 2000);
    for (let k = 0; k < LEADS; k++) {
      expect(rig.adapted[k] / rig.network1[k], `lead ${k + 1}`).toBeLessThan(1.03);
    }
  });

  it('draws the quantiles together as far as its error is smaller, and keeps their order', () => {
    const rig = new Rig();
    waves(rig, 4000, 3);
    const width = (of: Float64Array, k: number): number => of[k * Q + Q - 1] - of[k * Q];
    expect(width(rig.out, 0) / width(rig.network, 0)).toBeLessThan(0.8);
    for (let k = 0; k < LEADS; k++) {
      for (let q = 1; q < Q; q++) {
        expect(rig.out[k * Q + q]).toBeGreaterThanOrEqual(rig.out[k * Q + q - 1]);
      }
    }
  });

  for (const [name, shape] of Object.entries(SHAPES)) {
    it(`is finite on a series that is ${name}`, () => {
      const rig = new Rig();
      shape(600).forEach((y, t) => {
        // The network is silent at times.
        rig.step(t, y, () =>
          t % 50 > 40 ? Number.NaN : rig.features.steps > 0 ? rig.features.anchor[0] : 0,
        );
        expect(rig.out.every(Number.isFinite), `step ${t}`).toBe(true);
      });
    });
  }

  it('forgets what it knew of a network when another answers, and learns anew', () => {
    const rig = new Rig();
    waves(rig, 4000, 4);
    const median = (): number[] => [rig.out[MEDIAN], rig.network[MEDIAN]];
    expect(median()[0]).not.toBe(median()[1]);
    rig.adapter.reset();
    waves(rig, 1, 5, 4000);
    expect(median()[0]).toBe(median()[1]);
    waves(rig, 600, 5, 4001);
    rig.adapted.fill(0);
    rig.network1.fill(0);
    waves(rig, 400, 5, 4601);
    expect(rig.adapted[0] / rig.network1[0]).toBeLessThan(0.8);
  });

  it('goes on from a restored state as if it had never stopped', () => {
    const rig = new Rig();
    waves(rig, 333, 6);
    const other = new Rig();
    for (const part of ['features', 'adapter'] as const) {
      const writer = new StateWriter();
      rig[part].persist(writer);
      const reader = new StateReader(writer.finish());
      other[part].persist(reader);
      reader.finish();
    }
    waves(rig, 40, 7, 333);
    waves(other, 40, 7, 333);
    expect([...other.out]).toEqual([...rig.out]);
  });
});
