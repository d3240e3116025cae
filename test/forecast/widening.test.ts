import { describe, expect, it } from 'vitest';
import { TrackScratch } from '../../src/forecast/track-scratch.ts';
import { Widening } from '../../src/forecast/widening.ts';
import { ArrayBlock } from '../../src/series/array-block.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';
import { normal } from '../support/random.ts';

const LEADS = 48;
/** Half of the 80 % interval of noise of 1, and the mean distance from its median. */
const HALF = 1.2816;
const USUAL = 0.8;

/** Noise about a constant, forecast with the interval that is right for noise of 1. */
class Rig {
  readonly widening: Widening;
  private readonly knots: readonly number[];
  private readonly random: () => number;
  private step = 0;

  constructor(seed: number) {
    const { knots } = new TrackScratch(LEADS);
    this.knots = knots.knots;
    this.widening = new Widening(knots, 0.8, new ArrayBlock());
    this.random = normal(seed);
  }

  /** @param half of the learnt interval @param usual mean distance from its median so far */
  pass(steps: number, noise: number, half = HALF, usual = USUAL): this {
    for (let i = 0; i < steps; i++) {
      const missed = Math.abs(noise * this.random());
      for (const [j, k] of this.knots.entries()) {
        if (this.step >= k) this.widening.learn(j, missed, half * Math.exp(this.widening.at(j)), usual);
      }
      this.widening.follow();
      this.step++;
    }
    return this;
  }

  /** How many times wider at a lead. */
  at(lead: number): number {
    return Math.exp(this.widening.atLead(lead - 1));
  }
}

const SEEDS = [1, 2, 3, 4, 5];

describe('the widening', () => {
  for (const seed of SEEDS) {
    it(`is almost nothing while the noise stays as it is (seed ${seed})`, () => {
      const rig = new Rig(seed);
      let steps = 0;
      for (let i = 0; i < 3000; i++) if (rig.pass(1, 1).at(1) > 1.1) steps++;
      expect(steps).toBeLessThan(30);
    });

    it(`reaches all leads within some steps of a lasting change, before their own errors are known (seed ${seed})`, () => {
      const rig = new Rig(seed).pass(500, 1).pass(40, 10);
      for (const lead of [1, 4, 16, 48]) expect(rig.at(lead), `lead ${lead}`).toBeGreaterThan(1.5);
      expect(rig.pass(100, 10).at(48)).toBeGreaterThan(2.5);
    });

    it(`is over as soon as the noise has fallen, or the learnt width has grown (seed ${seed})`, () => {
      const after = [
        new Rig(seed).pass(500, 1).pass(200, 10).pass(30, 1),
        new Rig(seed)
          .pass(500, 1)
          .pass(200, 10)
          .pass(30, 10, 10 * HALF),
      ];
      for (const rig of after) {
        for (const lead of [1, 4]) expect(rig.at(lead), `lead ${lead}`).toBeLessThan(1.5);
        expect(rig.pass(200, 1).at(48)).toBeLessThan(1.1);
      }
    });

    it(`is over as soon where one far reading has made far ones usual (seed ${seed})`, () => {
      const rig = new Rig(seed)
        .pass(500, 1)
        .pass(60, 10)
        .pass(60, 1, HALF, 100 * USUAL);
      for (const lead of [1, 4]) expect(rig.at(lead), `lead ${lead}`).toBeLessThan(1.5);
    });

    it(`of a burst of some steps does not reach the long leads, and is soon over (seed ${seed})`, () => {
      const rig = new Rig(seed).pass(500, 1).pass(6, 10);
      for (let i = 0; i < 100; i++) expect(rig.pass(1, 1).at(48)).toBeLessThan(1.5);
      for (const lead of [1, 4, 16, 48]) expect(rig.at(lead), `lead ${lead}`).toBeLessThan(1.1);
    });
  }

  it('is slight after one reading, however far it is', () => {
    const rig = new Rig(7).pass(500, 1);
    expect(rig.pass(1, 1e9).at(1)).toBeLessThan(1.5);
    expect(rig.pass(10, 1).at(1)).toBeLessThan(1.1);
  });

  it('does not come of misses where the interval is narrow beside what is usual', () => {
    const rig = new Rig(8).pass(500, 1).pass(60, 0.05, 0.01);
    expect(rig.at(48)).toBeLessThan(1.2);
  });

  it('is the same after a restart', () => {
    const rig = new Rig(9).pass(300, 1).pass(20, 10);
    const writer = new StateWriter();
    rig.widening.persist(writer);
    const other = new Rig(9);
    other.widening.persist(new StateReader(writer.finish()));
    for (const lead of [1, 16, 48]) expect(other.at(lead)).toBe(rig.at(lead));
  });

  it('goes on after what is no number', () => {
    const { knots } = new TrackScratch(LEADS);
    const widening = new Widening(knots, 0.8, new ArrayBlock());
    widening.learn(0, Number.NaN, HALF, USUAL);
    widening.learn(0, Infinity, Infinity, Infinity);
    widening.follow();
    expect(widening.at(0)).toBe(0);
    for (let i = 0; i < 20; i++) widening.learn(0, 10, HALF, USUAL);
    widening.follow();
    expect(widening.at(0)).toBeGreaterThan(1);
  });
});
