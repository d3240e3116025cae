/** Streams whose situations differ: what is published must hold in each of them, not only on average over all. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { Model } from '../../src/forecast/model.ts';
import {
  baseModel,
  dutyCycle,
  excursions,
  impulses,
  MINUTE,
  play,
  rareMachine,
  sawtooth,
  share,
  steps,
  unevenCycle,
} from './situations.ts';

let model: Model;
beforeAll(() => {
  model = baseModel();
});

describe('each situation of a stream', () => {
  it.each([12, 5])('is held where an impulse comes every %i buckets', async (period) => {
    const outcome = await play(model, impulses(1, period, 0.05, 1), 5 * MINUTE);
    expect(share(outcome, 'impulse')).toBeGreaterThan(0.65);
    expect(share(outcome, 'impulse')).toBeLessThan(0.95);
    expect(share(outcome, 'zero')).toBeGreaterThan(0.75);
    expect(outcome.beyond).toBeLessThan(1);
  });

  it.each([
    [92, 15, 1.2],
    [1800, 200, 17],
  ])('is held in a tank that is filled to %i', async (top, bottom, fall) => {
    const outcome = await play(model, sawtooth(1, top, bottom, fall), 60 * MINUTE);
    for (const situation of ['falling', 'after the jump']) {
      expect(share(outcome, situation), situation).toBeGreaterThan(0.7);
      expect(share(outcome, situation), situation).toBeLessThan(0.97);
    }
    expect(outcome.beyond).toBeLessThan(0.2);
  });

  it.each([
    [1750, 300, 7, 250],
    [1000, 100, 3, 100],
    [100, 5, 0.5, 40],
  ])('counts no refill twice in a tank that is filled to %i or less', async (top, bottom, fall, spread) => {
    const outcome = await play(model, sawtooth(2, top, bottom, fall, 1600, spread), 60 * MINUTE);
    expect(share(outcome, 'falling')).toBeGreaterThan(0.7);
    expect(outcome.beyond).toBeLessThan(0.15);
  });

  it('is held after more than half of the refills of a tank that is seldom filled, and not always to its top', async () => {
    const outcome = await play(model, sawtooth(4, 1500, 200, 5, 1600, 300), 60 * MINUTE);
    expect(share(outcome, 'after the jump')).toBeGreaterThan(0.5);
    expect(share(outcome, 'falling')).toBeGreaterThan(0.7);
  });

  it('is held in a machine that is on for a quarter of its cycle', async () => {
    const outcome = await play(model, dutyCycle(1, 40, 10, 5, 1800), MINUTE);
    expect(share(outcome, 'off')).toBeGreaterThan(0.6);
    expect(share(outcome, 'on')).toBeGreaterThan(0.6);
    expect(outcome.beyond).toBeLessThan(1);
  });

  it.each([
    [12, { on: 20, off: 1 }],
    [16, { on: 40, off: 2 }],
  ])('is held in a machine that is on for %i of 40 buckets, and noisier then', async (on, noise) => {
    const outcome = await play(model, unevenCycle(1, on, 1000, noise), 5 * MINUTE);
    expect(share(outcome, 'on')).toBeGreaterThan(0.72);
    expect(share(outcome, 'on')).toBeLessThan(0.95);
    expect(share(outcome, 'off')).toBeGreaterThan(0.75);
  });

  it.each([
    [6, 190, 3200, 1, 12],
    [4, 120, 2400, 2, 6],
  ])('is held in a machine that is on for %i buckets and off for %i', async (on, off, length, seed, loss) => {
    const outcome = await play(model, rareMachine(seed, on, off, 1900, length), MINUTE);
    expect(share(outcome, 'after the jump')).toBeGreaterThan(0.6);
    expect(share(outcome, 'off')).toBeGreaterThan(0.75);
    // Nearly twice as much if its forecasts have the weights of the time when it is off.
    expect(outcome.loss).toBeLessThan(loss);
  });

  it('is held after each of few jumps, also where the first of them looked lasting', async () => {
    const outcome = await play(model, excursions(998, 0.01, 6, 1200), 5 * MINUTE);
    expect(share(outcome, 'after the jump')).toBeGreaterThan(0.7);
    expect(share(outcome, 'after the jump')).toBeLessThan(0.95);
    expect(share(outcome, 'constant')).toBeGreaterThan(0.9);
  });

  it('leaves no median far outside of the range of a stream with steps to other levels', async () => {
    const outcome = await play(model, steps(1, 12, 0.2), 10 * MINUTE);
    expect(share(outcome, 'steady')).toBeGreaterThan(0.7);
    expect(outcome.beyond).toBeLessThan(1);
  });
});
