import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UTC, zoneOffset } from '../../src/series/calendar.ts';
import { E } from '../../src/series/experts.ts';
import { AHEAD, Features, I, squash, unsquash } from '../../src/series/features.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';
import { ordinary, SHAPES } from '../support/series.ts';

const START = Date.UTC(2025, 2, 28);
const INTERVAL = 1_800_000;
const LEADS = 12;
const WIDTH = I + LEADS * AHEAD;

const make = (leads = LEADS, intervalMs = INTERVAL) => new Features(intervalMs, leads, UTC);

function feed(features: Features, values: ArrayLike<number>, from: number, to: number): void {
  for (let t = from; t < to; t++) {
    const observed = !Number.isNaN(values[t]);
    const value = observed ? values[t] : features.steps > 0 ? features.anchor[0] : 0;
    features.update(START + t * INTERVAL, value, observed);
  }
}

/** Everything the network would see now, [WIDTH]. */
function inputs(features: Features): Float32Array {
  const out = new Float32Array(WIDTH);
  features.past(out, 0);
  for (let k = 0; k < features.leads; k++) features.ahead(k, out, I + k * AHEAD);
  return out;
}

function save(features: Features): Uint8Array {
  const writer = new StateWriter();
  features.persist(writer);
  return writer.finish();
}

describe('features', () => {
  for (const [name, shape] of Object.entries(SHAPES)) {
    it(`are finite and bounded on a series that is ${name}`, () => {
      const values = shape(700);
      const features = make();
      for (let t = 0; t < values.length; t++) {
        feed(features, values, t, t + 1);
        const out = inputs(features);
        for (let i = 0; i < WIDTH; i++) {
          if (!(Math.abs(out[i]) <= 1000)) expect.fail(`input ${i} is ${out[i]} at step ${t}`);
        }
        for (let k = 0; k < LEADS; k++) {
          if (!(features.scale[k] > 0 && Number.isFinite(features.scale[k] + features.anchor[k])))
            expect.fail(
              `anchor ${features.anchor[k]}, scale ${features.scale[k]} at step ${t}, lead ${k + 1}`,
            );
        }
      }
    });
  }

  it('are causal: another value at step c changes what is written from c on, and nothing before', () => {
    const values = ordinary(11)(400);
    fc.assert(
      fc.property(
        fc.integer({ min: 20, max: 399 }),
        fc.double({ min: 1, max: 1e6, noNaN: true }),
        (cut, jump) => {
          // Both run side by side to the end, so that anything shared between streams would show too.
          const one = make();
          const two = make();
          for (let t = 0; t < values.length; t++) {
            feed(one, values, t, t + 1);
            two.update(START + t * INTERVAL, t === cut ? values[t] + jump : values[t], true);
            if (t <= cut && Math.abs(t - cut) < 20) {
              if (t < cut) expect(inputs(two)).toEqual(inputs(one));
              else expect(inputs(two)).not.toEqual(inputs(one));
            }
          }
        },
      ),
      { numRuns: 10 },
    );
  });

  it('are the same for a stream in another unit: y -> a y + b', () => {
    const values = ordinary(13)(600);
    for (const [a, b] of [
      [1.8, 32],
      [1000, 0],
      [0.001, -5],
      [1, 1000],
      [1e-9, 0],
      [1e12, 0],
    ]) {
      const one = make();
      const two = make();
      let worst = 0;
      for (let t = 0; t < 600; t++) {
        feed(one, values, t, t + 1);
        feed(
          two,
          [...values].map((y) => a * y + b),
          t,
          t + 1,
        );
        // Until the leads are scored, scales come from a single step and innovations saturate.
        if (t <= LEADS) continue;
        const x = inputs(one);
        const y = inputs(two);
        for (let i = 0; i < WIDTH; i++) worst = Math.max(worst, Math.abs(x[i] - y[i]));
      }
      // What is left is the history's single precision, and that forecasts wait in 16 bits.
      expect(worst, `a = ${a}, b = ${b}`).toBeLessThan(0.02);
      for (let k = 0; k < LEADS; k++) {
        expect((two.anchor[k] - b) / a).toBeCloseTo(one.anchor[k], 2);
        expect(two.scale[k] / a).toBeCloseTo(one.scale[k], 2);
      }
    }
  });

  it('are bit for bit the same after a restore, at any step', () => {
    const values = SHAPES.gappy(500);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 499 }), (cut) => {
        const whole = make();
        feed(whole, values, 0, cut);
        const restored = make();
        const reader = new StateReader(save(whole));
        restored.persist(reader);
        reader.finish();
        expect(save(restored)).toEqual(save(whole));
        feed(whole, values, cut, cut + 1);
        feed(restored, values, cut, cut + 1);
        expect(inputs(restored)).toEqual(inputs(whole));
        feed(whole, values, cut + 1, 500);
        feed(restored, values, cut + 1, 500);
        expect(inputs(restored)).toEqual(inputs(whole));
        expect(save(restored)).toEqual(save(whole));
      }),
      { numRuns: 12 },
    );
  });

  it('write at the offset they are given and nowhere else', () => {
    const features = make();
    feed(features, ordinary(14)(50), 0, 50);
    const out = new Float32Array(WIDTH + 20).fill(77);
    features.past(out, 10);
    for (let k = 0; k < LEADS; k++) features.ahead(k, out, 10 + I + k * AHEAD);
    expect([...out.subarray(0, 10)]).toEqual(new Array(10).fill(77));
    expect([...out.subarray(10 + WIDTH)]).toEqual(new Array(10).fill(77));
    expect(out.subarray(10, 10 + WIDTH)).toEqual(inputs(features));
  });

  it('describe a gap: mask, age, and observed value', () => {
    const features = make();
    feed(features, ordinary(15)(40), 0, 40);
    expect(features.gapAge).toBe(0);
    const seen = features.observations;
    feed(features, new Array(45).fill(Number.NaN), 40, 45);
    expect(features.gapAge).toBe(5);
    expect(features.observations).toBe(seen);
    expect(features.steps).toBe(45);
    const masked = inputs(features);
    feed(features, ordinary(15)(46), 45, 46);
    expect(features.gapAge).toBe(0);
    expect(inputs(features)[14]).toBe(0);
    expect(masked[14]).toBe(1);
  });

  it('work at every interval and horizon', () => {
    for (const [interval, leads] of [
      [100, 1],
      [1000, 336],
      [600_000, 144],
      [21_600_000, 28],
      [86_400_000, 14],
      [604_800_000, 4],
    ]) {
      const features = new Features(interval, leads, zoneOffset('Europe/Berlin'));
      const values = ordinary(16, 12)(80);
      for (let t = 0; t < 80; t++) features.update(START + t * interval, values[t], true);
      const out = new Float32Array(I + leads * AHEAD);
      features.past(out, 0);
      for (let k = 0; k < leads; k++) features.ahead(k, out, I + k * AHEAD);
      expect(
        out.every((x) => Number.isFinite(x)),
        `${interval} ms, ${leads} leads`,
      ).toBe(true);
    }
  });

  it('start every lead with the experts, as offsets from the anchor in scales', () => {
    const features = make();
    feed(features, ordinary(17)(300), 0, 300);
    const out = new Float32Array(AHEAD);
    for (const k of [0, 5, 11]) {
      features.ahead(k, out, 0);
      for (let e = 0; e < E; e++) {
        const point = features.anchor[k] + features.scale[k] * out[e];
        expect(point).toBeCloseTo(features.forecasts[e * LEADS + k], 3);
        expect(unsquash(squash(out[e]))).toBeCloseTo(out[e], 6);
      }
    }
  });
});
